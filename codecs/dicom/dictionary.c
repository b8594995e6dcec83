/* What lives here: look-ups in the dictionary of tags and UIDs (declared in dataset.h). The tables are generated from
 * DCMTK's at build time (generate/dictionary_dcmtk.cc).
 *
 * A tag is found by one probe of a hash table, as it happens for each element of an implicit VR data set. Rules for
 * whole classes of tags (group lengths, private creators; PS3.5 7.2 and 7.8) are code; the few repeating groups
 * (PS3.5 7.6) are searched one by one, as they are rare.
 */
#include "codecs/dicom/dictionary.h"

#include "codecs/dicom/dataset.h"

#include <stdlib.h>
#include <string.h>

#define GROUP(tag) ((tag) >> 16)
#define ELEMENT(tag) ((tag)&0xFFFF)

static const struct dictionary_entry *find_tag(uint32_t tag)
{
    const uint32_t mask = (1U << DICTIONARY_SLOTS_LOG2) - 1;
    uint32_t slot = tag * UINT32_C(0x9E3779B1) >> (32 - DICTIONARY_SLOTS_LOG2);
    for (; dictionary_slots[slot]; slot = (slot + 1) & mask) {
        const struct dictionary_entry *entry = &dictionary_entries[dictionary_slots[slot] - 1];
        if (entry->tag == tag)
            return entry;
    }
    return NULL;
}

static const struct dictionary_range *find_range(uint32_t tag)
{
    if (GROUP(tag) % 2)
        return NULL;
    for (unsigned i = 0; i < dictionary_range_count; i++) {
        const struct dictionary_range *range = &dictionary_ranges[i];
        if (GROUP(tag) >= GROUP(range->first) && GROUP(tag) <= GROUP(range->last) &&
            ELEMENT(tag) >= ELEMENT(range->first) && ELEMENT(tag) <= ELEMENT(range->last))
            return range;
    }
    return NULL;
}

const char *dictionary_vr(uint32_t tag)
{
    if (ELEMENT(tag) == 0)
        return "UL";
    if (GROUP(tag) % 2)
        return ELEMENT(tag) >= 0x10 && ELEMENT(tag) <= 0xFF ? "LO" : "UN";
    const struct dictionary_entry *entry = find_tag(tag);
    if (entry)
        return entry->vr;
    const struct dictionary_range *range = find_range(tag);
    return range ? range->vr : "UN";
}

const char *dictionary_keyword(uint32_t tag)
{
    const struct dictionary_entry *entry = find_tag(tag);
    if (entry)
        return dictionary_keywords + entry->keyword;
    const struct dictionary_range *range = find_range(tag);
    return dictionary_keywords + (range ? range->keyword : 0);
}

/* "GGGG,EEEE" or "GGGGEEEE". */
static bool tag_from_digits(const char *text, uint32_t *tag)
{
    uint32_t value = 0;
    unsigned digits = 0;
    for (; *text; text++) {
        if (*text == ',' && digits == 4 && text[1])
            continue;
        const char *digit = strchr("0123456789abcdefABCDEF", *text);
        if (!digit || digits == 8)
            return false;
        unsigned place = (unsigned)(digit - "0123456789abcdefABCDEF");
        value = value << 4 | (place < 16 ? place : place - 6);
        digits++;
    }
    *tag = value;
    return digits == 8;
}

static int compare_keyword(const void *key, const void *place)
{
    return strcmp(key, dictionary_keywords + dictionary_entries[*(const uint16_t *)place].keyword);
}

uint32_t dictionary_tag(const char *keyword)
{
    uint32_t tag;
    const uint16_t *place = bsearch(keyword, dictionary_by_keyword, dictionary_by_keyword_count,
                                    sizeof *dictionary_by_keyword, compare_keyword);
    if (place)
        return dictionary_entries[*place].tag;
    for (unsigned i = 0; i < dictionary_range_count; i++) {
        if (strcmp(keyword, dictionary_keywords + dictionary_ranges[i].keyword) == 0)
            return dictionary_ranges[i].first;
    }
    return tag_from_digits(keyword, &tag) ? tag : 0;
}

static int compare_uid(const void *key, const void *row)
{
    return strcmp(key, ((const struct dictionary_uid *)row)->uid);
}

static const struct dictionary_uid *find_uid(const char *uid)
{
    return bsearch(uid, dictionary_uids, dictionary_uid_count, sizeof *dictionary_uids, compare_uid);
}

const char *uid_name(const char *uid)
{
    const struct dictionary_uid *row = find_uid(uid);
    if (row)
        return row->name;
    const struct syntax *syntax = syntax_by_uid(uid);
    return syntax->code ? syntax->name : "";
}

bool uid_is_storage(const char *uid)
{
    const struct dictionary_uid *row = find_uid(uid);
    return row && row->storage;
}

bool uid_is_plain(const char *uid)
{
    size_t length = strlen(uid);
    return length > 0 && length <= 64 && uid[0] != '.' && strspn(uid, "0123456789.") == length;
}

const char *const *uid_storage_classes(size_t *count)
{
    *count = dictionary_storage_count;
    return dictionary_storage;
}
