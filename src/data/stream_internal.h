/* What stream.c and archive.c share. */
#ifndef TD_DATA_STREAM_INTERNAL_H
#define TD_DATA_STREAM_INTERNAL_H

#include "data/stream.h"

/* The largest file read, and the most that is unpacked from one. */
#define TD_STREAM_LIMIT ((size_t)4 << 30)

/* Deflate's best: no more bytes than this can come from one. */
#define TD_DEFLATE_RATIO 1032

/* A kind of stream: the first member of the kind's own struct, which is one block of td_alloc. */
struct td_stream {
    tdsnn_context *ctx;
    char *place;
    size_t room;
    /* Gives up to `size` bytes: fewer only at the end. False with *cause set if it cannot. */
    bool (*pull)(td_stream *stream, void *out, size_t size, size_t *got, const char **cause);
    void (*close)(td_stream *stream); /* all but place and the struct */
};

/* A stream of `size` bytes' struct whose place is `path`, or "path: entry". */
tdsnn_status td_stream_create(tdsnn_context *ctx, size_t size, const char *path, const char *entry,
                              td_stream **stream);

#endif
