/* One thread waits for one word, and another wakes exactly it: no lock to queue for afterwards, no crowd. */
#ifndef HM_NODE_FUTEX_H
#define HM_NODE_FUTEX_H

#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Returns when the word may have another value than seen, or for no reason: look again. */
static inline void node_word_wait(_Atomic uint32_t *word, uint32_t seen)
{
    (void)syscall(SYS_futex, (void *)word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

/* The word's memory may be gone already when its waiter saw the value without sleeping: the kernel does not look at
 * it, and whoever else waits there looks again. */
static inline void node_word_set(_Atomic uint32_t *word, uint32_t value)
{
    atomic_store_explicit(word, value, memory_order_release);
    (void)syscall(SYS_futex, (void *)word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

#endif
