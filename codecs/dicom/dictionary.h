/* Layer: codecs/dicom, private to dictionary.c and the tables that are generated at build time. The look-ups for
 * everyone else are in dataset.h. Constant data, any thread; keywords are offsets so that nothing needs relocation.
 */
#ifndef CODECS_DICOM_DICTIONARY_H
#define CODECS_DICOM_DICTIONARY_H

#include <stdbool.h>
#include <stdint.h>

#define DICTIONARY_SLOTS_LOG2 14

struct dictionary_entry {
    uint32_t tag;
    char vr[4];
    uint32_t keyword; /* offset in dictionary_keywords */
};

/* Tags that differ from `first` in group (even ones, up to the group of `last`) or element (up to that of `last`). */
struct dictionary_range {
    uint32_t first, last;
    char vr[4];
    uint32_t keyword;
};

struct dictionary_uid {
    const char *uid, *name;
    bool storage;
};

extern const struct dictionary_entry dictionary_entries[]; /* by tag */
extern const unsigned dictionary_entry_count;
/* Open addressing over (tag * 0x9E3779B1) >> (32 - DICTIONARY_SLOTS_LOG2): place in dictionary_entries + 1, 0 free. */
extern const uint16_t dictionary_slots[1 << DICTIONARY_SLOTS_LOG2];
extern const uint16_t dictionary_by_keyword[]; /* places in dictionary_entries, by keyword */
extern const unsigned dictionary_by_keyword_count;
extern const struct dictionary_range dictionary_ranges[]; /* by first tag */
extern const unsigned dictionary_range_count;
extern const char dictionary_keywords[];
extern const struct dictionary_uid dictionary_uids[]; /* by uid, as strcmp orders */
extern const unsigned dictionary_uid_count;
extern const char *const dictionary_storage[]; /* by uid */
extern const unsigned dictionary_storage_count;

#endif
