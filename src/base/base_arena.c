#include "base_arena.h"

#include <stdarg.h>
#include <stdio.h>

#define ARENA_CHUNK_FIRST_BYTES ((size_t)64 << 10)
#define ARENA_CHUNK_MAX_BYTES   ((size_t)16 << 20)
#define ARENA_ALIGN_BYTES       ((size_t)16)

struct hm_arena_chunk {
    struct hm_arena_chunk *next;
    size_t size; /* of bytes */
    size_t used;
    _Alignas(16) uint8_t bytes[];
};

void hm_arena_init(struct hm_arena *arena, size_t limit)
{
    *arena = (struct hm_arena){.limit = limit != 0 ? limit : HM_ARENA_LIMIT_BYTES};
}

static void arena_free_chain(struct hm_arena_chunk *chunk)
{
    while (chunk != NULL) {
        struct hm_arena_chunk *next = chunk->next;

        hm_free(chunk);
        chunk = next;
    }
}

void hm_arena_clear(struct hm_arena *arena)
{
    arena->used = 0;
    if (arena->head == NULL)
        return;
    arena_free_chain(arena->head->next);
    arena->head->next = NULL;
    arena->head->used = 0;
}

void hm_arena_release(struct hm_arena *arena)
{
    if (arena == NULL)
        return;
    arena_free_chain(arena->head);
    arena->head = NULL;
    arena->used = 0;
}

static struct hm_arena_chunk *arena_chunk_new(size_t size)
{
    struct hm_arena_chunk *chunk = hm_malloc(sizeof(*chunk) + size);

    if (chunk == NULL)
        return NULL;
    chunk->next = NULL;
    chunk->size = size;
    chunk->used = 0;
    return chunk;
}

/* The head is where small objects go. A large object gets a chunk of its own behind the head, so
 * that the room left in the head is not lost. */
static struct hm_arena_chunk *arena_chunk_for(struct hm_arena *arena, size_t size)
{
    struct hm_arena_chunk *head = arena->head;
    struct hm_arena_chunk *chunk;
    size_t next_size = ARENA_CHUNK_FIRST_BYTES;

    if (head != NULL && head->size - head->used >= size)
        return head;
    if (head != NULL && head->size >= ARENA_CHUNK_FIRST_BYTES)
        next_size = head->size < ARENA_CHUNK_MAX_BYTES ? head->size * 2 : head->size;
    if (head != NULL && size > next_size / 4) {
        chunk = arena_chunk_new(size);
        if (chunk == NULL)
            return NULL;
        chunk->next = head->next;
        head->next = chunk;
        return chunk;
    }
    chunk = arena_chunk_new(size > next_size ? size : next_size);
    if (chunk == NULL)
        return NULL;
    chunk->next = head;
    arena->head = chunk;
    return chunk;
}

void *hm_arena_alloc(struct hm_arena *arena, size_t size)
{
    size_t limit = arena->limit != 0 ? arena->limit : HM_ARENA_LIMIT_BYTES;
    struct hm_arena_chunk *chunk;
    size_t rounded;
    uint8_t *out;

    if (size == 0)
        size = 1;
    if (__builtin_add_overflow(size, ARENA_ALIGN_BYTES - 1, &rounded))
        return NULL;
    rounded &= ~(ARENA_ALIGN_BYTES - 1);
    if (arena->used > limit || rounded > limit - arena->used)
        return NULL;
    chunk = arena_chunk_for(arena, rounded);
    if (chunk == NULL)
        return NULL;
    out = chunk->bytes + chunk->used;
    chunk->used += rounded;
    arena->used += rounded;
    memset(out, 0, rounded);
    return out;
}

void *hm_arena_dup(struct hm_arena *arena, const void *data, size_t len)
{
    void *out = hm_arena_alloc(arena, len);

    if (out != NULL && len != 0)
        memcpy(out, data, len);
    return out;
}

char *hm_arena_strdup(struct hm_arena *arena, const char *text)
{
    return hm_arena_dup(arena, text, strlen(text) + 1);
}

char *hm_arena_printf(struct hm_arena *arena, const char *format, ...)
{
    va_list args;
    int length;
    char *text;

    va_start(args, format);
    length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0)
        return NULL;
    text = hm_arena_alloc(arena, (size_t)length + 1);
    if (text == NULL)
        return NULL;
    va_start(args, format);
    (void)vsnprintf(text, (size_t)length + 1, format, args);
    va_end(args);
    return text;
}
