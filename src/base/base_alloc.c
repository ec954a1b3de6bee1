/* The allocator front. It exists so that a test can fail the Nth allocation of its own thread. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base_bytes.h"

static _Thread_local unsigned long alloc_countdown;

void hm_alloc_fail_at(unsigned long nth)
{
    alloc_countdown = nth;
}

static bool alloc_must_fail(void)
{
    if (alloc_countdown == 0)
        return false;
    alloc_countdown--;
    return alloc_countdown == 0;
}

/* Zero bytes give a pointer that may be freed, so that NULL means one thing only. */
void *hm_malloc(size_t size)
{
    if (alloc_must_fail())
        return NULL;
    return malloc(size != 0 ? size : 1);
}

void *hm_calloc(size_t count, size_t size)
{
    if (alloc_must_fail())
        return NULL;
    if (count == 0 || size == 0)
        return calloc(1, 1);
    return calloc(count, size);
}

void *hm_realloc(void *ptr, size_t size)
{
    if (alloc_must_fail())
        return NULL;
    return realloc(ptr, size != 0 ? size : 1);
}

void hm_free(void *ptr)
{
    free(ptr);
}

void hm_free_release(void *ptr_to_ptr)
{
    void *ptr;

    memcpy(&ptr, ptr_to_ptr, sizeof(ptr));
    hm_free(ptr);
}

char *hm_strdup(const char *text)
{
    return hm_strndup(text, strlen(text));
}

char *hm_strndup(const char *text, size_t len)
{
    size_t actual = strnlen(text, len);
    char *copy = hm_malloc(actual + 1);

    if (copy == NULL)
        return NULL;
    memcpy(copy, text, actual);
    copy[actual] = '\0';
    return copy;
}

char *hm_asprintf(const char *format, ...)
{
    va_list args;
    int length;
    char *text;

    va_start(args, format);
    length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0)
        return NULL;
    text = hm_malloc((size_t)length + 1);
    if (text == NULL)
        return NULL;
    va_start(args, format);
    (void)vsnprintf(text, (size_t)length + 1, format, args);
    va_end(args);
    return text;
}
