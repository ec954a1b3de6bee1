#include "packetfs_report.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <time.h>

uint64_t packetfs_now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

void packetfs_report_init(struct packetfs_report *report, const struct packetfs_watch *watch,
                          const char *stage)
{
    memset(report, 0, sizeof(*report));
    report->watch = watch;
    report->stage = stage;
    (void)pthread_mutex_init(&report->lock, NULL);
    atomic_store(&report->next_ns, packetfs_now_ns() + PACKETFS_REPORT_EVERY_NS);
}

void packetfs_report_release(struct packetfs_report *report)
{
    (void)pthread_mutex_destroy(&report->lock);
}

static void tell(struct packetfs_report *report)
{
    struct packetfs_progress progress = {
        .stage = report->stage,
        .files_done = atomic_load_explicit(&report->files_done, memory_order_relaxed),
        .files_total = atomic_load_explicit(&report->files_total, memory_order_relaxed),
        .bytes_done = atomic_load_explicit(&report->bytes_done, memory_order_relaxed),
        .bytes_total = atomic_load_explicit(&report->bytes_total, memory_order_relaxed),
        .bytes_new = atomic_load_explicit(&report->bytes_new, memory_order_relaxed),
    };

    if (!report->watch->progress(report->watch->ctx, &progress))
        atomic_store(&report->cancelled, true);
}

bool packetfs_report_tick(struct packetfs_report *report)
{
    if (report->watch == NULL || report->watch->progress == NULL)
        return true;
    uint64_t now = packetfs_now_ns();
    if (now >= atomic_load_explicit(&report->next_ns, memory_order_relaxed) &&
        pthread_mutex_trylock(&report->lock) == 0) {
        atomic_store_explicit(&report->next_ns, now + PACKETFS_REPORT_EVERY_NS,
                              memory_order_relaxed);
        tell(report);
        (void)pthread_mutex_unlock(&report->lock);
    }
    return !atomic_load_explicit(&report->cancelled, memory_order_relaxed);
}

void packetfs_report_end(struct packetfs_report *report)
{
    if (report->watch == NULL || report->watch->progress == NULL)
        return;
    (void)pthread_mutex_lock(&report->lock);
    tell(report);
    (void)pthread_mutex_unlock(&report->lock);
}

void packetfs_report_finding(struct packetfs_report *report, const char *format, ...)
{
    char text[HM_ERROR_TEXT_BYTES];
    va_list args;

    if (report->watch == NULL || report->watch->finding == NULL)
        return;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    hm_text_clean(text);
    (void)pthread_mutex_lock(&report->lock);
    report->watch->finding(report->watch->ctx, text);
    (void)pthread_mutex_unlock(&report->lock);
}
