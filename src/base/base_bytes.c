#include "base_bytes.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define BUF_FIRST_BYTES ((size_t)64)

bool hm_slice_equal(struct hm_slice a, struct hm_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

int hm_slice_compare(struct hm_slice a, struct hm_slice b)
{
    size_t shared = a.len < b.len ? a.len : b.len;
    int order = shared == 0 ? 0 : memcmp(a.data, b.data, shared);

    if (order != 0)
        return order;
    return (a.len > b.len) - (a.len < b.len);
}

void hm_buf_release(struct hm_buf *buf)
{
    if (buf == NULL)
        return;
    hm_free(buf->data);
    *buf = (struct hm_buf){0};
}

void hm_buf_clear(struct hm_buf *buf)
{
    buf->len = 0;
}

int hm_buf_reserve(struct hm_buf *buf, size_t extra)
{
    size_t need;
    size_t cap;
    uint8_t *data;

    if (__builtin_add_overflow(buf->len, extra, &need))
        return HM_ENOMEM;
    if (need <= buf->cap)
        return 0;
    cap = buf->cap < BUF_FIRST_BYTES ? BUF_FIRST_BYTES : buf->cap;
    while (cap < need) {
        if (__builtin_mul_overflow(cap, (size_t)2, &cap))
            cap = need;
    }
    data = hm_realloc(buf->data, cap);
    if (data == NULL)
        return HM_ENOMEM;
    buf->data = data;
    buf->cap = cap;
    return 0;
}

int hm_buf_append(struct hm_buf *buf, const void *data, size_t len)
{
    int rc;

    if (len == 0)
        return 0;
    rc = hm_buf_reserve(buf, len);
    if (rc != 0)
        return rc;
    memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    return 0;
}

int hm_buf_append_str(struct hm_buf *buf, const char *text)
{
    return hm_buf_append(buf, text, strlen(text));
}

int hm_buf_printf(struct hm_buf *buf, const char *format, ...)
{
    va_list args;
    int length;
    int rc;

    va_start(args, format);
    length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0)
        return HM_EINVAL;
    rc = hm_buf_reserve(buf, (size_t)length + 1);
    if (rc != 0)
        return rc;
    va_start(args, format);
    (void)vsnprintf((char *)buf->data + buf->len, (size_t)length + 1, format, args);
    va_end(args);
    buf->len += (size_t)length;
    return 0;
}

struct hm_slice hm_buf_slice(const struct hm_buf *buf)
{
    return hm_slice_of(buf->data, buf->len);
}

const char *hm_buf_cstr(struct hm_buf *buf)
{
    if (hm_buf_reserve(buf, 1) != 0)
        return "";
    buf->data[buf->len] = '\0';
    return (const char *)buf->data;
}

void hm_wipe(void *data, size_t len)
{
    if (len != 0)
        explicit_bzero(data, len);
}

bool hm_equal_ct(const void *a, const void *b, size_t len)
{
    const volatile uint8_t *left = a;
    const volatile uint8_t *right = b;
    uint8_t difference = 0;

    for (size_t i = 0; i < len; i++)
        difference = (uint8_t)(difference | (left[i] ^ right[i]));
    return difference == 0;
}

void hm_fd_release(const int *fd)
{
    int saved = errno;

    if (*fd >= 0)
        (void)close(*fd);
    errno = saved;
}
