/* What a stream has received and its reader has not taken: chunks, read from the front. */
#include "stoq_queue.h"

#define CHUNK_BYTES_MIN 2048 /* small packets share a chunk */

struct stoq_chunk {
    struct stoq_chunk *after;
    size_t read, len, capacity; /* bytes[read .. len) wait */
    uint8_t bytes[];
};

void stoq_recvq_init(struct stoq_recvq *queue)
{
    *queue = (struct stoq_recvq){0};
}

void stoq_recvq_release(struct stoq_recvq *queue)
{
    struct stoq_chunk *chunk = queue->first;

    while (chunk != NULL) {
        struct stoq_chunk *after = chunk->after;

        hm_free(chunk);
        chunk = after;
    }
    queue->first = queue->last = NULL;
    queue->bytes = 0;
}

int stoq_recvq_push(struct stoq_recvq *queue, const uint8_t *data, size_t len)
{
    struct stoq_chunk *last = queue->last, *fresh = NULL;
    size_t fits = last != NULL ? last->capacity - last->len : 0;

    if (fits > len)
        fits = len;
    size_t rest = len - fits;
    if (rest > 0) {
        size_t capacity = rest < CHUNK_BYTES_MIN ? CHUNK_BYTES_MIN : rest;

        fresh = hm_malloc(sizeof(*fresh) + capacity);
        if (fresh == NULL)
            return STOQ_ENOMEM;
        *fresh = (struct stoq_chunk){.len = rest, .capacity = capacity};
        memcpy(fresh->bytes, data + fits, rest);
    }
    if (fits > 0) {
        memcpy(last->bytes + last->len, data, fits);
        last->len += fits;
    }
    if (fresh != NULL) {
        if (last != NULL)
            last->after = fresh;
        else
            queue->first = fresh;
        queue->last = fresh;
    }
    queue->bytes += len;
    return 0;
}

size_t stoq_recvq_read(struct stoq_recvq *queue, void *out, size_t len)
{
    uint8_t *to = out;
    size_t done = 0;

    while (done < len && queue->first != NULL) {
        struct stoq_chunk *chunk = queue->first;
        size_t part = chunk->len - chunk->read;

        if (part > len - done)
            part = len - done;
        memcpy(to + done, chunk->bytes + chunk->read, part);
        chunk->read += part;
        done += part;
        if (chunk->read == chunk->len) {
            queue->first = chunk->after;
            if (queue->first == NULL)
                queue->last = NULL;
            hm_free(chunk);
        }
    }
    queue->bytes -= done;
    return done;
}
