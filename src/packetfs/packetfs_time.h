/* How long a stage takes. */
#ifndef HM_PACKETFS_TIME_H
#define HM_PACKETFS_TIME_H

#include <stdint.h>
#include <time.h>

static inline uint64_t packetfs_ns(clockid_t clock)
{
    struct timespec now;

    (void)clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Processor time of this thread: a system call, for what takes longer than 100 us. */
static inline uint64_t packetfs_thread_ns(void)
{
    return packetfs_ns(CLOCK_THREAD_CPUTIME_ID);
}

/* For stages too short for a system call that do nothing but compute. */
static inline uint64_t packetfs_mono_ns(void)
{
    return packetfs_ns(CLOCK_MONOTONIC);
}

#endif
