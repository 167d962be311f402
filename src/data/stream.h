/* Bytes that are read once, from front to back: of a plain file, a gzip file, an entry of a zip
 * archive. What is read is bounded by what the file can really hold, so that a few bytes cannot ask
 * for gigabytes. */
#ifndef TD_DATA_STREAM_H
#define TD_DATA_STREAM_H

#include "base/context.h"

typedef struct td_stream td_stream;

/* Opens a file; one that starts as gzip files do is unpacked.
 * Errors: TDSNN_ERR_INPUT. Memory: td_stream_close. */
tdsnn_status td_stream_open(tdsnn_context *ctx, const char *path, td_stream **stream);

/* Opens FOLDER/NAME or FOLDER/NAME.gz, whichever is there.
 * Errors: TDSNN_ERR_INPUT; `set` names the files that belong there. */
tdsnn_status td_stream_open_in(tdsnn_context *ctx, const char *folder, const char *name,
                               const char *set, td_stream **stream);

/* Gives the next `size` bytes, or what there is before the end.
 * Errors: TDSNN_ERR_INPUT if the stream is damaged. */
tdsnn_status td_stream_read_some(td_stream *stream, void *out, size_t size, size_t *got);

/* Gives the next `size` bytes, all of them.
 * Errors: TDSNN_ERR_INPUT if the stream is damaged or ends before. */
tdsnn_status td_stream_read(td_stream *stream, void *out, size_t size);

/* Errors: TDSNN_ERR_INPUT unless everything has been read and its checksum, if any, is right. */
tdsnn_status td_stream_end(td_stream *stream);

/* The most bytes that may still come. */
size_t td_stream_room(const td_stream *stream);

/* The file's name, for messages. */
const char *td_stream_place(const td_stream *stream);
/* NULL is fine. */
void td_stream_close(td_stream *stream);

/* A zip archive, as .npz files are. */
typedef struct td_archive td_archive;
tdsnn_status td_archive_open(tdsnn_context *ctx, const char *path, td_archive **archive);
bool td_archive_has(const td_archive *archive, const char *name);
/* Errors: TDSNN_ERR_INPUT if there is no such entry or it is packed in a way that is not read. */
tdsnn_status td_archive_stream(td_archive *archive, const char *name, td_stream **stream);
/* After its streams; NULL is fine. */
void td_archive_close(td_archive *archive);

#endif
