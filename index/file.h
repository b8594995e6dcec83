/* Layer: index, inside. An edition's file by its row, and its record: for ingest and verify. */
#ifndef INDEX_FILE_H
#define INDEX_FILE_H

#include "index/archive.h"
#include "index/fold/record.h"

struct error file_open_row(struct pacs *pacs, const struct instance_row *row, struct instance_file **file);
/* Lives as long as the file is open. */
const struct instance_record *file_record(const struct instance_file *file);

#endif
