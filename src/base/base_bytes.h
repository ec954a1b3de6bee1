/* Bytes: a borrowed slice, a growable buffer, and the few operations secrets need. */
#ifndef HM_BASE_BYTES_H
#define HM_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base_error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Borrowed bytes; the owner is named where the slice is handed out. data may be NULL when len is 0. */
struct hm_slice {
    const uint8_t *data;
    size_t len;
};

static inline struct hm_slice hm_slice_of(const void *data, size_t len)
{
    struct hm_slice slice = {(const uint8_t *)data, len};

    return slice;
}

static inline struct hm_slice hm_slice_str(const char *text)
{
    return hm_slice_of(text, strlen(text));
}

bool hm_slice_equal(struct hm_slice a, struct hm_slice b);
int hm_slice_compare(struct hm_slice a, struct hm_slice b); /* <0, 0, >0; shorter prefix first */

/* Owned, growable bytes. Zero-initialised is empty and valid. */
struct hm_buf {
    uint8_t *data;
    size_t len;
    size_t cap;
};

void hm_buf_release(struct hm_buf *buf); /* frees; NULL and empty are fine; leaves it empty */
void hm_buf_clear(struct hm_buf *buf); /* len = 0, memory kept */
int hm_buf_reserve(struct hm_buf *buf, size_t extra); /* HM_ENOMEM */
int hm_buf_append(struct hm_buf *buf, const void *data, size_t len);
int hm_buf_append_str(struct hm_buf *buf, const char *text);
int hm_buf_printf(struct hm_buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
struct hm_slice hm_buf_slice(const struct hm_buf *buf); /* valid until the next change */
/* NUL-terminated view (terminator not counted in len), or "" when memory is out. */
const char *hm_buf_cstr(struct hm_buf *buf);

void hm_wipe(void *data, size_t len); /* not optimised away */
bool hm_equal_ct(const void *a, const void *b, size_t len); /* constant time in content */

/* Allocation goes through these so that tests can fail the Nth one (hm_alloc_fail_at). */
void *hm_malloc(size_t size);
void *hm_calloc(size_t count, size_t size);
void *hm_realloc(void *ptr, size_t size);
char *hm_strdup(const char *text);
char *hm_strndup(const char *text, size_t len);
char *hm_asprintf(const char *format, ...) __attribute__((format(printf, 1, 2))); /* NULL: memory */
void hm_free(void *ptr);
/* Tests only: the nth of the allocations above (and of what stands on them: buffers, arenas) made by this thread
 * from now on fails, counted from 1; 0 switches off. _at: that one alone; _from: that one and all after it. */
void hm_alloc_fail_at(unsigned long nth);
void hm_alloc_fail_from(unsigned long nth);
/* The same for all threads together, beside what the thread itself asked for; nth 0 switches off. */
void hm_alloc_fail_any_thread(unsigned long nth, bool lasting);
unsigned long hm_alloc_count(void); /* allocations this thread has asked for, failed ones too */
unsigned long hm_alloc_failures(void); /* allocations of all threads that failed on purpose */

/* Scope-bound cleanup: `HM_CLEANUP(hm_buf) struct hm_buf b = {0};` calls hm_buf_release(&b). */
#define HM_CLEANUP(type) __attribute__((cleanup(type##_release)))
void hm_free_release(void *ptr_to_ptr); /* for char *: __attribute__((cleanup(hm_free_release))) */
#define HM_AUTOFREE __attribute__((cleanup(hm_free_release)))
void hm_fd_release(const int *fd); /* closes when >= 0, keeps errno */
#define HM_AUTOCLOSE __attribute__((cleanup(hm_fd_release)))
/* Hands a pointer over: yields it and leaves NULL behind. */
#define HM_TAKE(ptr)                       \
    ({                                     \
        __typeof__(ptr) hm_taken_ = (ptr); \
        (ptr) = NULL;                      \
        hm_taken_;                         \
    })
#define HM_TAKE_FD(fd)        \
    ({                        \
        int hm_taken_ = (fd); \
        (fd) = -1;            \
        hm_taken_;            \
    })
#define HM_COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Big-endian loads and stores, unaligned. */
static inline void hm_put_be64(uint8_t out[8], uint64_t v)
{
    for (int i = 7; i >= 0; i--) {
        out[i] = (uint8_t)v;
        v >>= 8;
    }
}

static inline uint64_t hm_get_be64(const uint8_t in[8])
{
    uint64_t v = 0;

    for (int i = 0; i < 8; i++)
        v = v << 8 | in[i];
    return v;
}

static inline void hm_put_be32(uint8_t out[4], uint32_t v)
{
    for (int i = 3; i >= 0; i--) {
        out[i] = (uint8_t)v;
        v >>= 8;
    }
}

static inline uint32_t hm_get_be32(const uint8_t in[4])
{
    return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | in[3];
}

#ifdef __cplusplus
}
#endif

#endif
