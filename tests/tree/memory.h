/* A small second implementation of what fs/ needs of index/index.h: rows in arrays, one archive a process. For tests of
 * views and notices, where odd histories are easier to write down as rows than to make of data sets. */
#ifndef TESTS_TREE_MEMORY_H
#define TESTS_TREE_MEMORY_H

#include "index/index.h"

struct pacs *memory_new(int64_t quiet_ms);
void memory_free(struct pacs *pacs);
/* Empties the cache. */
void memory_forget(struct pacs *pacs);
/* Ids are given in order of the calls; times are in seconds since 1970. `values`: tag, text, ..., 0. */
uint64_t memory_object(struct pacs *pacs, enum object_kind kind, uint64_t parent, const char *name, uint64_t time_s,
                       ...);
struct memory_instance {
    uint64_t series, time_s;
    const char *name, *uid;
    uint32_t flags, version;
    uint64_t supersedes; /* id of the edition that it takes the place of */
    int64_t number;
    double position;
    struct pixel_shape shape;
    uint64_t size;
};
uint64_t memory_instance(struct pacs *pacs, const struct memory_instance *instance);

#endif
