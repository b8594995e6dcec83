/* Layer: index/ingest. A data set cut into chunks: compressed beside reception, handed to the writer as they are ready.
 *
 * At most CHUNKER_READY chunks wait in memory, and no further one after CHUNKER_BYTES, whatever the image's size; then
 * they go to the log. Cuts: where Pixel Data begin and end, at frames of native multi-frame images, every 256 KiB, and
 * in pixels that are compressed already every CHUNK_RAW_MAX. One thread at a time.
 */
#ifndef INDEX_INGEST_CHUNKER_H
#define INDEX_INGEST_CHUNKER_H

#include "index/archive.h"
#include "index/log/writer.h"

#define CHUNKER_READY 8
#define CHUNKER_BYTES (2u << 20)

struct chunker;

struct error chunker_new(struct chunker **chunker, struct pacs *pacs);
/* Waits for what is being compressed. */
void chunker_free(struct chunker *chunker);
/* Tells where pixels are, once known and before bytes beyond are added. `end` 0: not known yet. `frame` bytes a frame,
 * 0: no cuts at frames. `compressed`: they are stored as they are. */
void chunker_pixels(struct chunker *chunker, uint64_t offset, uint64_t end, uint64_t frame, bool compressed);
struct error chunker_add(struct chunker *chunker, const void *bytes, size_t size);
/* Closes the last chunk and waits until all are ready: the chunks that the log has not got, and the places of those
 * that it has. They stay the chunker's. */
struct error chunker_finish(struct chunker *chunker, struct write_chunk **chunks, size_t *count, struct buf **places);
/* All bytes so far, in order (for the quarantine). */
struct error chunker_replay(struct chunker *chunker, void (*take)(void *context, const void *bytes, size_t size),
                            void *context);

#endif
