#include "freed_memory.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const void *_Atomic wanted; /* NULL: nobody looks */
static size_t wanted_len;
static atomic_uint found;

void freed_look_for(const void *bytes, size_t len)
{
    wanted_len = len;
    atomic_store(&found, 0);
    atomic_store(&wanted, bytes);
}

unsigned freed_found(void)
{
    atomic_store(&wanted, NULL);
    return atomic_load(&found);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
void __libc_free(void *ptr);
void *__libc_realloc(void *ptr, size_t size);

static void look(const void *ptr)
{
    const void *bytes = atomic_load(&wanted);

    if (ptr && bytes && memmem(ptr, malloc_usable_size((void *)(uintptr_t)ptr), bytes, wanted_len))
        atomic_fetch_add(&found, 1);
}

void free(void *ptr)
{
    look(ptr);
    __libc_free(ptr);
}

/* May leave the old bytes where they were. */
void *realloc(void *ptr, size_t size)
{
    look(ptr);
    return __libc_realloc(ptr, size);
}

bool freed_can_look(void)
{
    return true;
}
#else
bool freed_can_look(void)
{
    print_message("a sanitizer keeps freed memory away from the test\n");
    return false;
}
#endif
