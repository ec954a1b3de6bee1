/* Clocks, waiting, percentiles and printing. */
#include "perf.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double seconds_of(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

double perf_seconds(void)
{
    return seconds_of(CLOCK_MONOTONIC);
}

double perf_cpu_seconds(void)
{
    return seconds_of(CLOCK_PROCESS_CPUTIME_ID);
}

int perf_complain(const struct stoq_error *error)
{
    fprintf(stderr, "stoqperf: %s\n",
            error->text[0] != '\0' ? error->text : stoq_code_name(error->code));
    return 1;
}

uint64_t perf_be64(const uint8_t bytes[8])
{
    uint64_t value = 0;

    for (int i = 0; i < 8; i++)
        value = value << 8 | bytes[i];
    return value;
}

void perf_put_be64(uint8_t bytes[8], uint64_t value)
{
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(value >> (56 - 8 * i));
}

/* --- waiting ---------------------------------------------------------------------------------------------------- */

void perf_gate_init(struct perf_gate *gate, unsigned waiting)
{
    pthread_condattr_t attributes;

    *gate = (struct perf_gate){.waiting = waiting};
    pthread_mutex_init(&gate->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&gate->changed, &attributes);
    pthread_condattr_destroy(&attributes);
}

void perf_gate_release(struct perf_gate *gate)
{
    pthread_cond_destroy(&gate->changed);
    pthread_mutex_destroy(&gate->lock);
}

void perf_gate_pass(struct perf_gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    if (gate->waiting > 0 && --gate->waiting == 0)
        pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}

void perf_gate_fail(struct perf_gate *gate, int code, const char *text)
{
    pthread_mutex_lock(&gate->lock);
    if (gate->failure.code == 0) {
        gate->failure.code = code;
        (void)snprintf(gate->failure.text, sizeof(gate->failure.text), "%s", text);
    }
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}

int perf_gate_wait(struct perf_gate *gate, double seconds, struct stoq_error *error)
{
    struct timespec until;
    int timed_out = 0, code = 0;
    double at = perf_seconds() + seconds;

    until.tv_sec = (time_t)at;
    until.tv_nsec = (long)((at - (double)until.tv_sec) * 1e9);
    pthread_mutex_lock(&gate->lock);
    while (gate->waiting > 0 && gate->failure.code == 0 && timed_out != ETIMEDOUT)
        timed_out = pthread_cond_timedwait(&gate->changed, &gate->lock, &until);
    if (gate->failure.code != 0) {
        *error = gate->failure;
        code = error->code;
    } else if (gate->waiting > 0) {
        *error = (struct stoq_error){.code = STOQ_ETIMEOUT};
        (void)snprintf(error->text, sizeof(error->text), "%u had not finished after %.0f s",
                       gate->waiting, seconds);
        code = STOQ_ETIMEOUT;
    }
    pthread_mutex_unlock(&gate->lock);
    return code;
}

/* --- percentiles ------------------------------------------------------------------------------------------------ */

int perf_times_add(struct perf_times *times, uint64_t ns)
{
    if (times->count == times->room) {
        size_t room = times->room == 0 ? 4096 : times->room * 2;
        uint64_t *grown = hm_realloc(times->ns, room * sizeof(*grown));
        if (grown == NULL)
            return STOQ_ENOMEM;
        times->ns = grown;
        times->room = room;
    }
    times->ns[times->count++] = ns;
    return 0;
}

static int compare_ns(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

double perf_times_ms(struct perf_times *times, double part)
{
    if (times->count == 0)
        return 0;
    qsort(times->ns, times->count, sizeof(*times->ns), compare_ns);
    size_t at = (size_t)(part * (double)times->count);
    return (double)times->ns[at < times->count ? at : times->count - 1] / 1e6;
}

void perf_times_release(struct perf_times *times)
{
    hm_free(times->ns);
    *times = (struct perf_times){0};
}

/* --- printing --------------------------------------------------------------------------------------------------- */

void perf_report_begin(struct perf_report *report, const struct perf_options *options,
                       const char *what)
{
    *report = (struct perf_report){.json = options->json, .first = true};
    if (report->json)
        printf("{\"measure\": \"%s\"", what);
    else
        printf("%s:", what);
}

void perf_report_number(struct perf_report *report, const char *name, double value,
                        const char *unit)
{
    if (report->json)
        printf(", \"%s\": %.6g", name, value);
    else
        printf("%s %.6g%s%s (%s)", report->first ? "" : ",", value, unit[0] != '\0' ? " " : "",
               unit, name);
    report->first = false;
}

void perf_report_text(struct perf_report *report, const char *name, const char *value)
{
    if (report->json)
        printf(", \"%s\": \"%s\"", name, value);
    else
        printf("%s %s", report->first ? "" : ",", value);
    report->first = false;
}

void perf_report_end(struct perf_report *report)
{
    puts(report->json ? "}" : "");
    fflush(stdout);
}
