/* What lives here: keys of patients and the comparison of two. */
#include "index/fold/identity.h"

#include "codecs/dicom/names.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SEPARATOR "\x1F"
#define ID_KEY_MAX                                                                                                     \
    400 /* an index key holds 480 bytes: longer parts are cut, which only makes two long IDs one patient               \
           when they agree that far (PS3.5 allows 64 characters) */

static void append_trimmed(struct buf *out, const char *text)
{
    size_t size = strlen(text);
    while (size && (unsigned char)text[size - 1] <= ' ')
        size--;
    while (size && (unsigned char)*text <= ' ') {
        text++;
        size--;
    }
    buf_append(out, text, size > ID_KEY_MAX ? ID_KEY_MAX : size);
}

bool belongs_to_nobody(const struct attributes *attributes)
{
    return strcmp(attribute(attributes, TAG_STUDY_UID), attribute(attributes, TAG_SOP_CLASS)) == 0;
}

void patient_key(struct buf *key, const struct attributes *attributes, const char *default_issuer,
                 const char *const *placeholders)
{
    const char *id = attribute(attributes, TAG_PATIENT_ID), *issuer = attribute(attributes, TAG_PATIENT_ID_ISSUER);
    const char *name = attribute(attributes, TAG_PATIENT_NAME);
    const char *birth = attribute(attributes, TAG_PATIENT_BIRTH_DATE);
    if (!is_placeholder(id, placeholders)) {
        buf_text(key, "I");
        append_trimmed(key, *issuer ? issuer : default_issuer ? default_issuer : "");
        buf_text(key, SEPARATOR);
        append_trimmed(key, id);
    } else if (!is_placeholder(name, placeholders) && !is_placeholder(birth, placeholders)) {
        buf_text(key, "N");
        person_fold(key, name);
        buf_text(key, SEPARATOR);
        append_trimmed(key, birth);
    } else if (belongs_to_nobody(attributes)) {
        buf_text(key, "O");
    } else {
        buf_text(key, "S");
        buf_text(key, attribute(attributes, TAG_STUDY_UID));
    }
}

bool patient_key_has_id(const char *key)
{
    return *key == 'I';
}

enum same_person compare_patients(const struct attributes *a, const struct attributes *b,
                                  const char *const *placeholders)
{
    const char *name_a = attribute(a, TAG_PATIENT_NAME), *name_b = attribute(b, TAG_PATIENT_NAME);
    const char *birth_a = attribute(a, TAG_PATIENT_BIRTH_DATE), *birth_b = attribute(b, TAG_PATIENT_BIRTH_DATE);
    bool names = !is_placeholder(name_a, placeholders) && !is_placeholder(name_b, placeholders);
    bool dates = !is_placeholder(birth_a, placeholders) && !is_placeholder(birth_b, placeholders);
    bool other_name = names && person_compare(name_a, name_b) == PERSON_DIFFERENT;
    bool other_date = dates && strcmp(birth_a, birth_b) != 0;
    if (other_name && other_date)
        return ANOTHER_PERSON;
    return other_name || other_date ? MAYBE_SAME_PERSON : SAME_PERSON;
}

bool instance_number_is_number(const char *text)
{
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (end == text || errno)
        return false;
    while (isspace((unsigned char)*end))
        end++;
    /* IS is a whole number (PS3.5 6.2); "1.0" is seen, and is one too. */
    if (*end == '.')
        end += 1 + strspn(end + 1, "0");
    (void)v;
    return *end == 0;
}

int64_t instance_number_of(const char *text)
{
    return instance_number_is_number(text) ? strtoll(text, NULL, 10) : 0;
}
