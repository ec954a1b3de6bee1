#include "nexus_show.h"

const char *nexus_show_size(uint64_t bytes, struct hm_arena *arena)
{
    char text[32];

    if (bytes < 1024)
        return hm_arena_printf(arena, "%u B", (unsigned)bytes);
    hm_size_format(bytes, text);
    return hm_arena_strdup(arena, text);
}

const char *nexus_show_time(uint64_t wall_ms, struct hm_arena *arena)
{
    char text[32];

    if (wall_ms == 0)
        return "-";
    hm_time_format_ms(wall_ms, text);
    /* 2026-01-02T03:04:05.678Z; years past 9999 are as they come. */
    if (strlen(text) == 24) {
        text[10] = ' ';
        text[19] = '\0';
    }
    return hm_arena_strdup(arena, text);
}

const char *nexus_show_span_ms(uint64_t ms, struct hm_arena *arena)
{
    char text[32];

    if (ms < 1000)
        return hm_arena_printf(arena, "%u ms", (unsigned)ms);
    if (ms < 120000)
        return hm_arena_printf(arena, "%u.%u s", (unsigned)(ms / 1000),
                               (unsigned)(ms % 1000 / 100));
    hm_duration_format_ms(ms / 1000 * 1000, text);
    return hm_arena_strdup(arena, text);
}

const char *nexus_show_span_ns(uint64_t ns, struct hm_arena *arena)
{
    if (ns < 1000)
        return hm_arena_printf(arena, "%u ns", (unsigned)ns);
    if (ns < 1000000)
        return hm_arena_printf(arena, "%u.%u µs", (unsigned)(ns / 1000),
                               (unsigned)(ns % 1000 / 100));
    if (ns < 100000000)
        return hm_arena_printf(arena, "%u.%u ms", (unsigned)(ns / 1000000),
                               (unsigned)(ns % 1000000 / 100000));
    return nexus_show_span_ms(ns / 1000000, arena);
}

const char *nexus_show_share(uint64_t share_ppm, struct hm_arena *arena)
{
    char text[40];

    hm_decimal_format(share_ppm, 4, text);
    return hm_arena_printf(arena, "%s %%", text);
}

const char *nexus_show_share_limit(uint64_t share_ppm, struct hm_arena *arena)
{
    return share_ppm ? nexus_show_share(share_ppm, arena) : "any";
}

static const char *show_bits(uint64_t bits, struct hm_arena *arena)
{
    static const char *const units[] = {"bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"};
    size_t unit = 0;

    while (bits >= 1000 && bits % 1000 == 0 && unit + 1 < HM_COUNT_OF(units)) {
        bits /= 1000;
        unit++;
    }
    return hm_arena_printf(arena, "%llu %s", (unsigned long long)bits, units[unit]);
}

static const char *show_milli(uint64_t milli, const char *one, struct hm_arena *arena)
{
    char text[40];

    hm_decimal_format(milli, 3, text);
    return hm_arena_printf(arena, "%s %s%s", text, one, milli == 1000 ? "" : "s");
}

const char *nexus_show_capacity(const char *kind, uint64_t capacity, struct hm_arena *arena)
{
    if (strcmp(kind, "cpu") == 0)
        return show_milli(capacity, "core", arena);
    if (strcmp(kind, "gpu") == 0)
        return show_milli(capacity, "device", arena);
    if (strcmp(kind, "memory") == 0 || strcmp(kind, "storage") == 0)
        return nexus_show_size(capacity, arena);
    if (strcmp(kind, "container") == 0)
        return hm_arena_printf(arena, "%llu slot%s", (unsigned long long)capacity,
                               capacity == 1 ? "" : "s");
    if (strcmp(kind, "network") == 0)
        return show_bits(capacity, arena);
    return hm_arena_printf(arena, "%llu", (unsigned long long)capacity);
}

const char *nexus_show_short(const char *id, struct hm_arena *arena)
{
    static const char *const prefixes[] = {"asset1", "lease1", "hm1"};
    size_t keep = NEXUS_SHORT_CHARS;

    for (size_t i = 0; i < HM_COUNT_OF(prefixes); i++)
        if (strncmp(id, prefixes[i], strlen(prefixes[i])) == 0)
            keep = strlen(prefixes[i]) + NEXUS_SHORT_CHARS;
    if (id[0] == '\0')
        return "-";
    return strlen(id) <= keep ? id : hm_arena_printf(arena, "%.*s", (int)keep, id);
}

const char *nexus_show_hyper(const char *amount, struct hm_arena *arena)
{
    return amount[0] ? hm_arena_printf(arena, "%s HYPER", amount) : "-";
}
