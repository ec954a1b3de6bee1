#include "put/packetfs_put_guess.h"

#define BUCKETS    65536
#define CANDIDATES 4 /* old pieces of one length that are compared */
#define NONE       UINT32_MAX

struct piece {
    uint64_t offset;
    uint32_t len;
    uint32_t same; /* the next in its bucket */
    bool ended; /* by the end of the data, not by a cut */
    struct packetfs_id id;
};

struct packetfs_guess {
    struct packetfs_objects objects;
    const struct packetfs_keys *keys;
    struct packetfs_list_cursor *cursor; /* NULL: all was read */
    struct piece *pieces;
    size_t count, capacity, next;
    uint32_t *buckets; /* by length */
    bool lost; /* where in the old list the bytes at hand are is not known */
};

static size_t bucket_of(size_t len)
{
    return (size_t)((uint32_t)len * 2654435761U >> 16) % BUCKETS;
}

void packetfs_guess_free(struct packetfs_guess *guess)
{
    if (guess == NULL)
        return;
    packetfs_list_close(guess->cursor);
    hm_free(guess->pieces);
    hm_free(guess->buckets);
    hm_free(guess);
}

static bool pieces_grow(struct packetfs_guess *guess)
{
    if (guess->count < guess->capacity)
        return true;
    size_t capacity = guess->capacity == 0 ? 256 : guess->capacity * 2;
    struct piece *grown = hm_realloc(guess->pieces, capacity * sizeof(*grown));
    if (grown == NULL)
        return false;
    guess->pieces = grown;
    guess->capacity = capacity;
    return true;
}

/* The next so many pieces of the old list. */
static void window_load(struct packetfs_guess *guess)
{
    struct packetfs_piece piece;

    guess->count = 0;
    guess->next = 0;
    memset(guess->buckets, 0xff, BUCKETS * sizeof(*guess->buckets));
    while (guess->cursor != NULL && guess->count < PACKETFS_GUESS_PIECES && pieces_grow(guess)) {
        if (packetfs_list_next(guess->cursor, &piece, NULL) != 0) {
            packetfs_list_close(guess->cursor);
            guess->cursor = NULL;
            if (guess->count > 0)
                guess->pieces[guess->count - 1].ended = true;
            break;
        }
        if (piece.hole || piece.len > PACKETFS_OBJECT_MAX_BYTES) {
            if (guess->count > 0)
                guess->pieces[guess->count - 1].ended = true;
            continue;
        }
        struct piece *added = &guess->pieces[guess->count];
        uint32_t *bucket = &guess->buckets[bucket_of((size_t)piece.len)];
        *added = (struct piece){
            .offset = piece.offset, .len = (uint32_t)piece.len, .same = *bucket, .id = piece.id};
        *bucket = (uint32_t)guess->count++;
    }
    /* What follows the last one is not known. */
    if (guess->count > 0 && guess->cursor != NULL)
        guess->pieces[guess->count - 1].ended = true;
}

struct packetfs_guess *packetfs_guess_new(const struct packetfs_objects *objects,
                                          const struct packetfs_keys *keys,
                                          const struct packetfs_content *content)
{
    struct packetfs_guess *guess = NULL;

    if (content->kind == PACKETFS_CONTENT_EMPTY)
        return NULL;
    guess = hm_calloc(1, sizeof(*guess));
    if (guess == NULL)
        return NULL;
    guess->objects = *objects;
    guess->keys = keys;
    guess->buckets = hm_malloc(BUCKETS * sizeof(*guess->buckets));
    if (guess->buckets == NULL ||
        packetfs_list_open(&guess->objects, content, &guess->cursor, NULL) != 0) {
        packetfs_guess_free(guess);
        return NULL;
    }
    window_load(guess);
    return guess;
}

void packetfs_guess_begin(struct packetfs_guess *guess, uint64_t offset)
{
    size_t low = 0, high = guess->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (guess->pieces[middle].offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    guess->next = low;
    guess->lost = low == guess->count;
}

/* A piece that is not in the volume any more must be put. */
static bool is_kept(const struct packetfs_guess *guess, const struct packetfs_id *id)
{
    return guess->objects.has(guess->objects.ctx, PACKETFS_PATTERN, id) == 0;
}

size_t packetfs_guess_take(struct packetfs_guess *guess, const uint8_t *data, size_t len, bool last,
                           struct packetfs_id *id)
{
    struct packetfs_id own;

    if (guess->lost)
        return 0;
    if (guess->next == guess->count) {
        if (guess->cursor == NULL)
            return 0;
        window_load(guess);
        if (guess->count == 0)
            return 0;
    }
    const struct piece *piece = &guess->pieces[guess->next];
    if (piece->len > len || (piece->ended && !(last && piece->len == len)))
        return 0;
    packetfs_keys_object_id(guess->keys, PACKETFS_PATTERN, hm_slice_of(data, piece->len), &own);
    if (!packetfs_id_equal(&own, &piece->id) || !is_kept(guess, &own)) {
        guess->lost = true; /* until a search finds a known piece again */
        return 0;
    }
    guess->next++;
    *id = own;
    return piece->len;
}

bool packetfs_guess_again(struct packetfs_guess *guess, const uint8_t *data, size_t len,
                          struct packetfs_id *id)
{
    struct packetfs_id own;
    bool hashed = false;
    unsigned compared = 0;

    for (uint32_t i = guess->buckets[bucket_of(len)]; i != NONE && compared < CANDIDATES;
         i = guess->pieces[i].same) {
        const struct piece *piece = &guess->pieces[i];
        if (piece->len != len)
            continue;
        compared++;
        if (!hashed)
            packetfs_keys_object_id(guess->keys, PACKETFS_PATTERN, hm_slice_of(data, len), &own);
        hashed = true;
        if (packetfs_id_equal(&own, &piece->id)) {
            guess->next = (size_t)i + 1;
            guess->lost = false;
            if (!is_kept(guess, &own))
                return false;
            *id = own;
            return true;
        }
    }
    return false;
}
