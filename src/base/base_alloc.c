/* The allocator front. It exists so that a test can fail the Nth allocation, of its own thread or of any.
 * Switched off, that costs a thread-local increment and two loads an allocation. */
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base_bytes.h"

/* A countdown is what is left until the failure: 1 fails the next allocation, 0 is off. One that lasts stays at 1. */
static _Thread_local struct {
    unsigned long count;
    unsigned long countdown;
    bool lasting;
} alloc_own;

static _Atomic unsigned long alloc_any_countdown;
static _Atomic bool alloc_any_lasting;
static _Atomic unsigned long alloc_failures;

void hm_alloc_fail_at(unsigned long nth)
{
    alloc_own.countdown = nth;
    alloc_own.lasting = false;
}

void hm_alloc_fail_from(unsigned long nth)
{
    alloc_own.countdown = nth;
    alloc_own.lasting = true;
}

void hm_alloc_fail_any_thread(unsigned long nth, bool lasting)
{
    atomic_store(&alloc_any_countdown, 0);
    atomic_store(&alloc_any_lasting, lasting);
    atomic_store(&alloc_any_countdown, nth);
}

unsigned long hm_alloc_count(void)
{
    return alloc_own.count;
}

unsigned long hm_alloc_failures(void)
{
    return atomic_load(&alloc_failures);
}

static bool alloc_any_hit(unsigned long left)
{
    bool lasting = atomic_load(&alloc_any_lasting);

    while (left != 0) {
        unsigned long next = left == 1 && lasting ? 1 : left - 1;

        if (atomic_compare_exchange_weak(&alloc_any_countdown, &left, next))
            return left == 1;
    }
    return false;
}

static bool alloc_own_hit(void)
{
    bool hit = alloc_own.countdown == 1;

    if (!hit || !alloc_own.lasting)
        alloc_own.countdown--;
    return hit;
}

static bool alloc_must_fail(void)
{
    unsigned long any = atomic_load_explicit(&alloc_any_countdown, memory_order_relaxed);
    bool hit = false;

    alloc_own.count++;
    if (__builtin_expect(any == 0 && alloc_own.countdown == 0, true))
        return false;
    if (alloc_own.countdown != 0)
        hit = alloc_own_hit();
    if (alloc_any_hit(any))
        hit = true;
    if (hit)
        atomic_fetch_add(&alloc_failures, 1);
    return hit;
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
