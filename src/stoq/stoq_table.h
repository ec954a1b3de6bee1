/* Connection ids to connections, and connections by deadline. Pure data. */
#ifndef STOQ_TABLE_H
#define STOQ_TABLE_H

#include "stoq_internal.h"

/* Hash table from connection ids (1-20 bytes) to a pointer, open addressing, SipHash-like keyed by `key`, because ids of
 * Initial packets are chosen by the other side. Doubles when three quarters full, halves when nearly empty. */
struct stoq_table {
    struct stoq_slot *slots;
    size_t capacity, used;
    uint8_t key[16];
};
int stoq_table_init(struct stoq_table *table, const uint8_t key[16]); /* STOQ_ENOMEM */
void stoq_table_release(struct stoq_table *table);
int stoq_table_put(struct stoq_table *table, const uint8_t *cid, size_t len,
                   void *value); /* STOQ_ENOMEM, STOQ_EINVAL (length); replaces */
void *stoq_table_get(const struct stoq_table *table, const uint8_t *cid, size_t len); /* NULL */
void stoq_table_remove(struct stoq_table *table, const uint8_t *cid, size_t len);

/* Binary heap of deadlines; the node is embedded. Room is reserved when a node is added, so moving never fails. */
struct stoq_timer {
    uint64_t at_ns;
    size_t index; /* place in the heap; SIZE_MAX: not in it */
};
static inline void stoq_timer_init(struct stoq_timer *timer)
{
    *timer = (struct stoq_timer){.at_ns = STOQ_NEVER, .index = SIZE_MAX};
}
struct stoq_timers {
    struct stoq_timer **heap;
    size_t count, capacity, reserved;
};
void stoq_timers_init(struct stoq_timers *timers);
void stoq_timers_release(struct stoq_timers *timers);
int stoq_timers_reserve(struct stoq_timers *timers); /* room for one node more; STOQ_ENOMEM */
void stoq_timers_unreserve(struct stoq_timers *timers);
void stoq_timers_set(struct stoq_timers *timers, struct stoq_timer *timer,
                     uint64_t at_ns); /* STOQ_NEVER: takes it out */
struct stoq_timer *stoq_timers_first(const struct stoq_timers *timers); /* NULL when empty */

#endif
