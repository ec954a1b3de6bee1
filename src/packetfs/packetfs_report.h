/* What a long call tells its caller while it runs: progress some ten times a second, findings, and whether to stop. Any thread. */
#ifndef HM_PACKETFS_REPORT_H
#define HM_PACKETFS_REPORT_H

#include <pthread.h>

#include "packetfs_object.h"

#define PACKETFS_REPORT_EVERY_NS UINT64_C(100000000)

struct packetfs_report {
    const struct packetfs_watch *watch; /* or NULL */
    const char *stage;
    pthread_mutex_t lock;
    _Atomic uint64_t next_ns;
    _Atomic bool cancelled;
    _Atomic uint64_t files_done, bytes_done, bytes_new;
    _Atomic uint64_t files_total, bytes_total;
};

void packetfs_report_init(struct packetfs_report *report, const struct packetfs_watch *watch,
                          const char *stage);
void packetfs_report_release(struct packetfs_report *report);
uint64_t packetfs_now_ns(void); /* monotonic */
/* Tells where things are, if it is time. false: the caller wants to stop. */
bool packetfs_report_tick(struct packetfs_report *report);
/* The last word: what is done, whenever the last one was. */
void packetfs_report_end(struct packetfs_report *report);
void packetfs_report_finding(struct packetfs_report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
