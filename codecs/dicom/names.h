/* Layer: codecs/dicom. From attribute text to names of files, and comparing people's names.
 *
 * All text is UTF-8 (invalid sequences are treated as U+FFFD). Unicode work is utf8proc's. Pure functions, any thread.
 * Results are appended to `out`, which remembers when memory runs out.
 * What these make is recorded in the log when it is made: changing them renames nothing that exists.
 */
#ifndef CODECS_DICOM_NAMES_H
#define CODECS_DICOM_NAMES_H

#include "codecs/base/buf.h"

#ifdef __cplusplus
extern "C" {
#endif

#define NAME_BYTES_MAX 120
#define NAME_TEMPLATE_BYTES_MAX 1024

/* One path component from any text: NFC; control characters, each of / \ : * ? " < > | and U+FFFD count as blanks, and
 * a run of blanks becomes one `_`; no leading dot, no trailing dot or space, no leading or trailing `_`; reserved
 * device names of Windows (CON, NUL, COM1 ... also before a dot) get a `_` behind, the only case of a trailing one; at
 * most `max` bytes, cut between grapheme clusters (`max` <= NAME_BYTES_MAX; a reserved name that has no room for its
 * `_` is cut). May come out empty. Bidirectional controls and zero-width characters dropped. A second pass changes
 * nothing.
 * `~` is an ordinary character: a text may say "x~2" by itself, so uniqueness is checked by name_fold() alone. */
void name_component(struct buf *out, const char *utf8, size_t max);

/* The key under which two sibling names are the same: case folded, NFC (as APFS, NTFS and Samba compare). */
void name_fold(struct buf *out, const char *utf8);

/* A sibling name made unique: "base~N" with the cut made so that NAME_BYTES_MAX holds; N >= 2. An extension does not
 * occur (names carry none). */
void name_with_number(struct buf *out, const char *base, unsigned number);

/* A template like "{date}_{description|modality}" or "{number:03}": `{a|b}` is the first that is not empty, `:0N` pads
 * whole numbers with zeros to N characters, the sign among them (3: "7", "007" and "+7" are "007", "-1" is "-01",
 * "170031" stays); values that are no whole number ("1.0") pass unchanged. Fields that come out empty take the joining
 * `_`, `-`, `.` or space before them along, those at the start the one behind. Each value passes name_component()
 * before it is put in; the whole passes it again. `value` returns the text of a field or NULL, valid until its next
 * call. The result may be empty: the caller has a fallback. ERROR_USAGE for a template that is not well formed. */
typedef const char *(*name_field)(void *context, const char *field);
struct error name_render(struct buf *out, const char *pattern, name_field value, void *context);
/* Whether a template is well formed (NAME_TEMPLATE_BYTES_MAX; no character that names cannot have) and uses only the
 * `count` fields given: ERROR_USAGE says which is unknown. */
struct error name_template_check(const char *pattern, const char *const *fields, size_t count);

/* Person names, PN in UTF-8 (PS3.5 6.2.1.1): `=` between groups, `^` between components. Where a group has no `^` and
 * exactly one comma, the comma separates: "Doe, John" is Doe^John. Groups beyond the third and components beyond the
 * fifth are ignored. For display in a name: the alphabetic group, or where that is empty the ideographic, then the
 * phonetic one; family, given, middle joined by "_"; prefix and suffix left out. Not yet a name_component(). */
void person_display(struct buf *out, const char *pn);
/* For comparing: each component group, case, accents and widths (full and half) folded, blanks and punctuation removed,
 * empty trailing components and groups dropped; used as key and by person_compare. Accents are the marks on Latin,
 * Greek and Cyrillic letters, strokes (ø, ł), Hebrew points and Arabic vowel signs; the marks of other scripts make
 * other letters (kana, Thai, Indic) and stay. So do spellings: Mueller is not Müller. */
void person_fold(struct buf *out, const char *pn);

enum person_relation {
    PERSON_SAME,      /* equal but for case, accents, spacing (also where the components are cut), missing components
                         (Doe^John and DOE^JOHN^A) or the other writing (one has groups that the other lacks, the common
                         ones are the same; or a group of one is the same as another group of the other, as where the
                         ideographic name was sent in the place of the alphabetic one) */
    PERSON_DIFFERENT, /* everything else, among it names of which no group is common */
    PERSON_UNKNOWN,   /* one of them is empty or a placeholder (a group that is a placeholder counts as empty), or
                         memory ran out */
};
enum person_relation person_compare(const char *a, const char *b);

/* Whether a value identifies nobody: empty, 0, UNKNOWN, ANONYMOUS, ANON, NONE, N/A, NULL (any case, trimmed, `^` and
 * `_` ignored at the ends), or one of `more` (NULL-terminated, may be NULL); for dates also 19000101 and 00010101. */
bool is_placeholder(const char *utf8, const char *const *more);

#ifdef __cplusplus
}
#endif
#endif
