/* Places the buffers of a session: each as low as those that are needed at the same time leave
 * room, so that what was written last is still in the cache when it is read. */
#include <string.h>

#include "dense/onednn_internal.h"

/* Leaves out those that no later step reads; gives how many are left. */
static int retire(td_onednn_buffer **live, int count, int step) {
    int left = 0;
    for (int i = 0; i < count; i++) {
        if (live[i]->last >= step) {
            live[left++] = live[i];
        }
    }
    return left;
}

/* Puts the buffer into the first gap between the live ones, which are in the order of their
 * offsets; gives how many there are then. Sizes are multiples of the alignment. */
static int insert(td_onednn_buffer **live, int count, td_onednn_buffer *buffer) {
    size_t offset = 0;
    int place = 0;
    while (place < count && live[place]->offset - offset < buffer->bytes) {
        offset = live[place]->offset + live[place]->bytes;
        place++;
    }
    buffer->offset = offset;
    memmove(live + place + 1, live + place, (size_t)(count - place) * sizeof *live);
    live[place] = buffer;
    return count + 1;
}

tdsnn_status td_onednn_place_buffers(tdsnn_context *ctx, td_onednn *compiled) {
    td_onednn_buffer **live = td_alloc(ctx, (size_t)compiled->buffer_count, sizeof *live);
    if (live == NULL) {
        return TDSNN_ERR_RUNTIME;
    }
    int count = 0;
    compiled->bytes = 0;
    for (int i = 0; i < compiled->buffer_count; i++) { /* in the order of their first steps */
        td_onednn_buffer *buffer = &compiled->buffers[i];
        count = insert(live, retire(live, count, buffer->first), buffer);
        size_t end = buffer->offset + buffer->bytes;
        compiled->bytes = end > compiled->bytes ? end : compiled->bytes;
    }
    td_free(live);
    return TDSNN_OK;
}
