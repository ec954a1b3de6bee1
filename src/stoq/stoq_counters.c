/* Counters as Prometheus's text (exposition format 0.0.4). */
#include "stoq_config.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
    const char *name, *help;
} counter_names[STOQ_COUNTERS] = {
#define STOQ_X(id, text, words) [STOQ_COUNT_##id] = {(text), (words)},
    STOQ_COUNTER_TABLE(STOQ_X)
#undef STOQ_X
};

/* What snprintf is to a buffer, for a text put together piece by piece. */
struct text {
    char *out;
    size_t capacity, needed;
};

__attribute__((format(printf, 2, 3))) static void text_add(struct text *text, const char *format,
                                                           ...)
{
    size_t used = text->needed < text->capacity ? text->needed : text->capacity;
    va_list args;

    va_start(args, format);
    int len = vsnprintf(used < text->capacity ? text->out + used : NULL, text->capacity - used,
                        format, args);
    va_end(args);
    if (len > 0)
        text->needed += (size_t)len;
}

size_t stoq_counters_text_rows(const struct stoq_counters_row *rows, size_t count, char *out,
                               size_t capacity)
{
    struct text text = {.out = out, .capacity = capacity};

    if (capacity > 0)
        out[0] = '\0';
    for (size_t i = 0; i < STOQ_COUNTERS; i++) {
        const char *name = counter_names[i].name;

        text_add(&text, "# HELP stoq_%s %s\n# TYPE stoq_%s counter\n", name, counter_names[i].help,
                 name);
        for (size_t row = 0; row < count; row++) {
            const char *labels = rows[row].labels != NULL ? rows[row].labels : "";
            bool bare = labels[0] == '\0';

            text_add(&text, "stoq_%s%s%s%s %llu\n", name, bare ? "" : "{", labels, bare ? "" : "}",
                     (unsigned long long)rows[row].counters[i]);
        }
    }
    return text.needed;
}

size_t stoq_counters_text(const uint64_t counters[STOQ_COUNTERS], const char *labels, char *out,
                          size_t capacity)
{
    struct stoq_counters_row row = {.counters = counters, .labels = labels};

    return stoq_counters_text_rows(&row, 1, out, capacity);
}
