/* What a stream has to send, until the peer has acknowledged it: a list of pieces whose bytes never move. */
#include "stoq_queue.h"

/* A copied piece is at least this large, so that small writes share one; at most this large, so that memory goes back
 * as acknowledgements come in. */
#define PIECE_BYTES_MIN 1024
#define PIECE_BYTES_MAX 65536

struct stoq_piece {
    struct stoq_piece *after;
    const uint8_t *data;
    uint64_t offset; /* of data[0] in the stream */
    size_t len;
    size_t capacity; /* of own; 0 for the caller's bytes */
    void (*release)(void *cookie); /* NULL for a copy */
    void *cookie;
    uint8_t own[];
};

static uint64_t piece_end(const struct stoq_piece *piece)
{
    return piece->offset + piece->len;
}

/* The piece is already out of the list: release may use the queue. */
static void piece_free(struct stoq_piece *piece)
{
    void (*release)(void *) = piece->release;
    void *cookie = piece->cookie;

    hm_free(piece);
    if (release != NULL)
        release(cookie);
}

static void list_free(struct stoq_piece *piece)
{
    while (piece != NULL) {
        struct stoq_piece *after = piece->after;

        piece_free(piece);
        piece = after;
    }
}

void stoq_sendq_init(struct stoq_sendq *queue, size_t limit)
{
    *queue = (struct stoq_sendq){.limit = limit};
}

void stoq_sendq_release(struct stoq_sendq *queue)
{
    struct stoq_piece *first = queue->first;

    queue->first = queue->last = queue->next = NULL;
    queue->acked = queue->sent = queue->end;
    queue->dropped = queue->dropped || first != NULL;
    list_free(first);
}

size_t stoq_sendq_room(const struct stoq_sendq *queue)
{
    uint64_t held = queue->end - queue->acked;

    return held >= queue->limit || queue->fin ? 0 : queue->limit - (size_t)held;
}

static void queue_append(struct stoq_sendq *queue, struct stoq_piece *piece)
{
    piece->offset = queue->end;
    if (queue->last != NULL)
        queue->last->after = piece;
    else
        queue->first = piece;
    queue->last = piece;
}

/* The last piece's end has moved by len. */
static void queue_grown(struct stoq_sendq *queue, size_t len)
{
    if (queue->next == NULL)
        queue->next = queue->last;
    queue->end += len;
}

/* A piece of our own with room for some of len bytes: the last one, or a new one; NULL without memory. */
static struct stoq_piece *queue_tail(struct stoq_sendq *queue, size_t len)
{
    struct stoq_piece *last = queue->last;
    size_t capacity = len < PIECE_BYTES_MIN ? PIECE_BYTES_MIN : len;

    if (last != NULL && last->len < last->capacity)
        return last;
    if (capacity > PIECE_BYTES_MAX)
        capacity = PIECE_BYTES_MAX;
    struct stoq_piece *piece = hm_malloc(sizeof(*piece) + capacity);
    if (piece == NULL)
        return NULL;
    *piece = (struct stoq_piece){.data = piece->own, .capacity = capacity};
    queue_append(queue, piece);
    return piece;
}

int64_t stoq_sendq_copy(struct stoq_sendq *queue, const void *data, size_t len)
{
    const uint8_t *from = data;
    size_t room = stoq_sendq_room(queue), taken = 0;

    if (len > room)
        len = room;
    while (taken < len) {
        struct stoq_piece *piece = queue_tail(queue, len - taken);

        if (piece == NULL)
            return taken > 0 ? (int64_t)taken : STOQ_ENOMEM;
        size_t part = piece->capacity - piece->len;
        if (part > len - taken)
            part = len - taken;
        memcpy(piece->own + piece->len, from + taken, part);
        piece->len += part;
        queue_grown(queue, part);
        taken += part;
    }
    return (int64_t)taken;
}

int stoq_sendq_hold(struct stoq_sendq *queue, const void *data, size_t len,
                    void (*release)(void *cookie), void *cookie)
{
    if (len == 0) {
        if (release != NULL)
            release(cookie);
        return 0;
    }
    if (queue->fin)
        return STOQ_ECLOSED;
    if (len > stoq_sendq_room(queue) && queue->end != queue->acked)
        return STOQ_EBUSY;
    struct stoq_piece *piece = hm_malloc(sizeof(*piece));
    if (piece == NULL)
        return STOQ_ENOMEM;
    *piece = (struct stoq_piece){.data = data, .len = len, .release = release, .cookie = cookie};
    queue_append(queue, piece);
    queue_grown(queue, len);
    return 0;
}

size_t stoq_sendq_peek(const struct stoq_sendq *queue, struct stoq_bytes *vectors, size_t count)
{
    uint64_t from = queue->sent;
    size_t filled = 0;

    for (const struct stoq_piece *piece = queue->next; piece != NULL && filled < count;
         piece = piece->after) {
        size_t skip = (size_t)(from - piece->offset);

        vectors[filled++] = (struct stoq_bytes){.data = piece->data + skip,
                                                .len = piece->len - skip};
        from = piece_end(piece);
    }
    return filled;
}

void stoq_sendq_sent(struct stoq_sendq *queue, size_t bytes)
{
    queue->sent += bytes;
    while (queue->next != NULL && queue->sent >= piece_end(queue->next))
        queue->next = queue->next->after;
}

void stoq_sendq_acked(struct stoq_sendq *queue, uint64_t below)
{
    if (below > queue->sent)
        below = queue->sent;
    if (below <= queue->acked)
        return;
    queue->acked = below;
    while (queue->first != NULL && piece_end(queue->first) <= queue->acked) {
        struct stoq_piece *piece = queue->first;

        queue->first = piece->after;
        if (queue->first == NULL)
            queue->last = NULL;
        piece_free(piece);
    }
}

void stoq_sendq_rewind(struct stoq_sendq *queue)
{
    queue->sent = queue->acked;
    queue->next = queue->first;
}

void stoq_sendq_drop(struct stoq_sendq *queue)
{
    struct stoq_piece *first = queue->first;

    queue->first = queue->last = queue->next = NULL;
    queue->acked = queue->end = queue->sent;
    queue->dropped = queue->dropped || first != NULL;
    list_free(first);
}
