/* Layer: fs. series.json, study.json, patient.json: what a folder holds, as of one edition.
 *
 * `as_of` is the id of the newest edition that counts. Where a row has had no newer one, its counters are the answer;
 * for texts of the past they are counted again. Keys are documented in pacs-tree(7): stable, additions only.
 */
#ifndef FS_SUMMARY_H
#define FS_SUMMARY_H

#include "fs/file.h"

#include "codecs/base/json.h"

struct figures {
    uint64_t children, instances, bytes; /* children: series of a study, studies of a patient */
    uint64_t last_ns;                    /* the last arrival that changed what is shown */
};

/* Writes the text of one folder. `ordered`: false where only the size is wanted. */
struct error summary_series(const struct request *request, const struct object_row *series, uint64_t as_of,
                            struct json *json, bool ordered);
struct error summary_study(const struct request *request, const struct object_row *study, uint64_t as_of,
                           struct json *json);
struct error summary_patient(const struct request *request, const struct object_row *patient, uint64_t as_of,
                             struct json *json);

/* What is below a series, study or patient as of an edition. */
struct error figures_of(const struct request *request, const struct object_row *row, uint64_t as_of,
                        struct figures *figures);

/* ---- parts that the three texts share --------------------------------------------------------------------------- */

/* Objects under the keys "patient", "study", "series": identity, from the first instance of each. */
void summary_identity_patient(struct json *json, const struct object_row *patient);
void summary_identity_study(struct json *json, const struct object_row *study);
void summary_identity_series(struct json *json, const struct object_row *series);
/* Members of the object that is open: the same, without what the folder above says. */
void summary_members_study(struct json *json, const struct object_row *study);
void summary_members_series(struct json *json, const struct object_row *series);
/* "path" below a view's root. */
struct error summary_path(const struct request *request, struct json *json, const struct object_row *row);
/* A time in RFC 3339, UTC, nine digits of a second: always of one length. */
void summary_time(struct json *json, const char *key, uint64_t time_ns);

#endif
