/* Arena: memory for one request or one block, released at once. Not thread-safe. */
#ifndef HM_BASE_ARENA_H
#define HM_BASE_ARENA_H

#include "base_bytes.h"

#ifdef __cplusplus
extern "C" {
#endif

struct hm_arena_chunk;

struct hm_arena {
    struct hm_arena_chunk *head;
    size_t used; /* bytes handed out since init or clear */
    size_t limit; /* hm_arena_alloc past it fails; 0: HM_ARENA_LIMIT_BYTES */
};

#define HM_ARENA_LIMIT_BYTES ((size_t)1 << 30)

void hm_arena_init(struct hm_arena *arena, size_t limit);
void hm_arena_clear(struct hm_arena *arena); /* keeps one chunk for reuse */
void hm_arena_release(struct hm_arena *arena); /* frees all; idempotent */
/* 16-byte aligned, zeroed; NULL when memory or the limit is out. */
void *hm_arena_alloc(struct hm_arena *arena, size_t size);
void *hm_arena_dup(struct hm_arena *arena, const void *data, size_t len);
char *hm_arena_strdup(struct hm_arena *arena, const char *text);
char *hm_arena_printf(struct hm_arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#ifdef __cplusplus
}
#endif

#endif
