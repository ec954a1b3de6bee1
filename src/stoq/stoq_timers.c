/* Deadlines: a binary heap with embedded nodes. */
#include "stoq_table.h"

#define CAPACITY_MIN 16

void stoq_timers_init(struct stoq_timers *timers)
{
    *timers = (struct stoq_timers){0};
}

void stoq_timers_release(struct stoq_timers *timers)
{
    hm_free(timers->heap);
    *timers = (struct stoq_timers){0};
}

static int resize(struct stoq_timers *timers, size_t capacity)
{
    struct stoq_timer **heap = hm_realloc(timers->heap, capacity * sizeof(struct stoq_timer *));

    if (heap == NULL)
        return STOQ_ENOMEM;
    timers->heap = heap;
    timers->capacity = capacity;
    return 0;
}

int stoq_timers_reserve(struct stoq_timers *timers)
{
    if (timers->reserved == timers->capacity &&
        resize(timers, timers->capacity == 0 ? CAPACITY_MIN : timers->capacity * 2) != 0)
        return STOQ_ENOMEM;
    timers->reserved++;
    return 0;
}

void stoq_timers_unreserve(struct stoq_timers *timers)
{
    timers->reserved--;
    if (timers->capacity > CAPACITY_MIN && timers->reserved < timers->capacity / 4)
        (void)resize(timers, timers->capacity / 2); /* without memory it stays large */
}

static void place(struct stoq_timers *timers, size_t index, struct stoq_timer *timer)
{
    timers->heap[index] = timer;
    timer->index = index;
}

static void rise(struct stoq_timers *timers, struct stoq_timer *timer)
{
    size_t index = timer->index;

    while (index > 0 && timers->heap[(index - 1) / 2]->at_ns > timer->at_ns) {
        place(timers, index, timers->heap[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    place(timers, index, timer);
}

static void sink(struct stoq_timers *timers, struct stoq_timer *timer)
{
    size_t index = timer->index;

    for (;;) {
        size_t child = 2 * index + 1;

        if (child + 1 < timers->count &&
            timers->heap[child + 1]->at_ns < timers->heap[child]->at_ns)
            child++;
        if (child >= timers->count || timers->heap[child]->at_ns >= timer->at_ns)
            break;
        place(timers, index, timers->heap[child]);
        index = child;
    }
    place(timers, index, timer);
}

static void take_out(struct stoq_timers *timers, struct stoq_timer *timer)
{
    struct stoq_timer *last = timers->heap[--timers->count];

    if (last != timer) {
        place(timers, timer->index, last);
        rise(timers, last);
        sink(timers, last);
    }
    timer->index = SIZE_MAX;
}

void stoq_timers_set(struct stoq_timers *timers, struct stoq_timer *timer, uint64_t at_ns)
{
    uint64_t before = timer->at_ns;

    timer->at_ns = at_ns;
    if (at_ns == STOQ_NEVER) {
        if (timer->index != SIZE_MAX)
            take_out(timers, timer);
        return;
    }
    if (timer->index == SIZE_MAX) {
        place(timers, timers->count++, timer);
        rise(timers, timer);
    } else if (at_ns < before) {
        rise(timers, timer);
    } else if (at_ns > before) {
        sink(timers, timer);
    }
}

struct stoq_timer *stoq_timers_first(const struct stoq_timers *timers)
{
    return timers->count > 0 ? timers->heap[0] : NULL;
}
