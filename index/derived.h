/* Layer: index, inside. Where index/ and run/ are kept: in the archive, or for a reader of a read-only medium elsewhere.
 */
#ifndef INDEX_DERIVED_H
#define INDEX_DERIVED_H

#include "index/archive.h"

/* Sets pacs->derived where the archive lies on a read-only medium and is opened to be read; before anything of index/ or
 * run/ is opened. ERROR_REFUSED: the folder for it could be written to by others. */
struct error derived_place(struct pacs *pacs);

#endif
