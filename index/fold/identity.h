/* Layer: index/fold. Who a patient is: design section 6, Identity. */
#ifndef INDEX_FOLD_IDENTITY_H
#define INDEX_FOLD_IDENTITY_H

#include "index/fold/fold.h"

/* Appends the key under which images of the same patient find each other:
 *   "I" issuer U+001F ID         where Patient ID is no placeholder
 *   "N" folded name U+001F date  where name and birth date are none
 *   "O"                          where there is no study either (PS3.4 GG): all such objects stand together
 *   "S" Study Instance UID       otherwise
 * `issuer` of the data set, else the AE's default. */
void patient_key(struct buf *key, const struct attributes *attributes, const char *default_issuer,
                 const char *const *placeholders);
/* Whether the data set has no study of its own: the ingest put it under the UID of its SOP class. */
bool belongs_to_nobody(const struct attributes *attributes);
/* Whether the key names a person that carries an ID. */
bool patient_key_has_id(const char *key);

enum same_person {
    SAME_PERSON,
    MAYBE_SAME_PERSON, /* stays one patient, and is listed */
    ANOTHER_PERSON,    /* a different name and a different birth date, both present */
};
enum same_person compare_patients(const struct attributes *a, const struct attributes *b,
                                  const char *const *placeholders);

/* The number in Instance Number (IS), or 0 where it is none: then *_is_number is false. */
int64_t instance_number_of(const char *text);
bool instance_number_is_number(const char *text);

#endif
