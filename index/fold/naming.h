/* Layer: index/fold. What directories and files are called when they are first made: design section 6, Names. */
#ifndef INDEX_FOLD_NAMING_H
#define INDEX_FOLD_NAMING_H

#include "index/fold/fold.h"

/* The name by the archive's template for this level. `number` is the permanent number in the parent: a missing series
 * or instance number is shown as x and that. Never empty. */
struct error naming_render(struct buf *name, enum object_kind kind, const struct archive_conf *conf,
                           const struct attributes *attributes, uint64_t number);
/* Makes the `name` of an object of this kind unique among the children of `parent`, and unlike any file that the tree
 * puts beside them. */
struct error naming_unique(struct fold *fold, enum object_kind kind, uint64_t parent, struct buf *name);
/* The directory child of `parent` with this name; `*id` 0: none. */
struct error naming_find(struct fold *fold, uint64_t parent, const char *name, uint64_t *id);
/* The folder above patients (`patients = initial | idtail`), empty where there is none. */
void naming_patient_folder(struct buf *name, const struct archive_conf *conf, const char *patient_name,
                           const struct attributes *attributes);
/* Whether a template is well formed and uses fields of its level. */
struct error naming_check(enum object_kind kind, const char *pattern);

#endif
