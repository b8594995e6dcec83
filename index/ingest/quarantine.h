/* Layer: index/ingest. ARCHIVE/quarantine/: what was refused after receipt, each with its reason beside it.
 *
 * NAME.dcm holds the bytes as far as they came and the bound allows, NAME.reason one line of text. The oldest go when
 * the folder grows beyond its bound. One thread at a time per quarantine.
 */
#ifndef INDEX_INGEST_QUARANTINE_H
#define INDEX_INGEST_QUARANTINE_H

#include "index/archive.h"

struct quarantine;

/* Begins a file; `uid` (may be "") becomes part of its name. */
struct error quarantine_begin(struct quarantine **quarantine, struct pacs *pacs, const char *uid);
/* Appends; beyond the bound bytes are counted and dropped. A failure is remembered and told by finish. */
void quarantine_add(struct quarantine *quarantine, const void *bytes, size_t size);
/* Writes the reason, gives both files their names, makes room by deleting the oldest. Frees it. */
struct error quarantine_finish(struct quarantine *quarantine, const char *reason, const struct origin *origin);

#endif
