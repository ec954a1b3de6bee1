/* Quantities with a unit: durations, byte sizes, points in time. */
#include <stdio.h>
#include <time.h>

#include "base_encode.h"
#include "base_math.h"

#define QUOTE_MAX_CHARS 40

struct duration_unit {
    const char *name;
    uint64_t ms;
};

/* Largest first: a sum is read and written in this order. */
static const struct duration_unit duration_units[] = {
    {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1},
};

/* Length of the digits and letters that text begins with; whole sums only, so no loop is longer
 * than its text. */
static size_t span_of(const char *text, char low, char high)
{
    size_t len = 0;

    while (text[len] >= low && text[len] <= high)
        len++;
    return len;
}

static bool digits_value(const char *text, size_t len, uint64_t *value)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < len; i++) {
        if (!hm_mul_u64(sum, 10, &sum) || !hm_add_u64(sum, (uint64_t)(text[i] - '0'), &sum))
            return false;
    }
    *value = sum;
    return true;
}

/* Index of the unit named by the len characters at text, looking from `from` on; or the count. */
static size_t duration_unit_find(const char *text, size_t len, size_t from)
{
    size_t i = from;

    for (; i < HM_COUNT_OF(duration_units); i++) {
        if (strlen(duration_units[i].name) == len && memcmp(duration_units[i].name, text, len) == 0)
            break;
    }
    return i;
}

int hm_duration_parse_ms(const char *text, uint64_t *ms, struct hm_error *error)
{
    const char *at = text;
    uint64_t sum = 0;
    size_t unit = 0;

    do {
        size_t digits = span_of(at, '0', '9');
        size_t letters = span_of(at + digits, 'a', 'z');
        size_t found = duration_unit_find(at + digits, letters, unit);
        uint64_t part = 0;

        if (digits == 0 || found == HM_COUNT_OF(duration_units))
            return hm_fail(error, HM_EPARSE,
                           "'%.*s' is not a duration; write 500ms, 30s, 1m, 2h, 1d or "
                           "a sum such as 1h30m, largest unit first",
                           QUOTE_MAX_CHARS, text);
        if (!digits_value(at, digits, &part) ||
            !hm_mul_u64(part, duration_units[found].ms, &part) || !hm_add_u64(sum, part, &sum))
            return hm_fail(error, HM_ERANGE, "duration '%.*s' is too long", QUOTE_MAX_CHARS, text);
        unit = found + 1;
        at += digits + letters;
    } while (*at != '\0');
    *ms = sum;
    return 0;
}

void hm_duration_format_ms(uint64_t ms, char out[32])
{
    size_t used = 0;

    if (ms == 0) {
        memcpy(out, "0s", 3);
        return;
    }
    for (size_t i = 0; i < HM_COUNT_OF(duration_units); i++) {
        uint64_t count = ms / duration_units[i].ms;

        ms %= duration_units[i].ms;
        if (count != 0)
            used += (size_t)snprintf(out + used, 32 - used, "%llu%s", (unsigned long long)count,
                                     duration_units[i].name);
    }
}

/* Power of 1024 that a size suffix names, or -1. */
static int size_suffix_shift(const char *suffix)
{
    static const char letters[] = "KMGT";
    const char *found;

    if (suffix[0] == '\0' || strcmp(suffix, "B") == 0)
        return 0;
    found = strchr(letters,
                   suffix[0] >= 'a' && suffix[0] <= 'z' ? suffix[0] - 'a' + 'A' : suffix[0]);
    if (found == NULL || (suffix[1] != '\0' && strcmp(suffix + 1, "iB") != 0))
        return -1;
    return 10 * (int)(found - letters + 1);
}

int hm_size_parse(const char *text, uint64_t *bytes, struct hm_error *error)
{
    size_t digits = span_of(text, '0', '9');
    int shift = size_suffix_shift(text + digits);
    uint64_t value = 0;

    if (digits == 0 || shift < 0)
        return hm_fail(error, HM_EPARSE,
                       "'%.*s' is not a size; write a whole number of bytes, or with K, M, "
                       "G or T for powers of 1024, such as 64M or 512KiB",
                       QUOTE_MAX_CHARS, text);
    if (!digits_value(text, digits, &value) || !hm_mul_u64(value, UINT64_C(1) << shift, &value))
        return hm_fail(error, HM_ERANGE, "size '%.*s' is too large", QUOTE_MAX_CHARS, text);
    *bytes = value;
    return 0;
}

void hm_size_format(uint64_t bytes, char out[32])
{
    static const char letters[] = "KMGTPE";
    uint64_t tenths = 0;
    size_t unit = 0;

    if (bytes < 1024) {
        (void)snprintf(out, 32, "%llu B", (unsigned long long)bytes);
        return;
    }
    for (; unit < sizeof(letters) - 1; unit++) {
        uint64_t one = UINT64_C(1) << (10 * (unit + 1));

        /* rounded half up; ten times 2^60 still fits */
        tenths = bytes / one * 10 + (bytes % one * 10 + one / 2) / one;
        if (tenths < 10240)
            break;
    }
    if (unit == sizeof(letters) - 1)
        unit--;
    (void)snprintf(out, 32, "%llu.%llu %ciB", (unsigned long long)(tenths / 10),
                   (unsigned long long)(tenths % 10), letters[unit]);
}

void hm_time_format_ms(uint64_t wall_ms, char out[32])
{
    const uint64_t last_ms = UINT64_C(253402300799999); /* the end of year 9999 */
    struct tm parts = {0};
    time_t seconds;

    if (wall_ms > last_ms)
        wall_ms = last_ms;
    seconds = (time_t)(wall_ms / 1000);
    (void)gmtime_r(&seconds, &parts);
    /* the remainders tell the compiler how wide each field can be; they change nothing */
    (void)snprintf(out, 32, "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ", (parts.tm_year + 1900) % 10000,
                   (parts.tm_mon + 1) % 100, parts.tm_mday % 100, parts.tm_hour % 100,
                   parts.tm_min % 100, parts.tm_sec % 100, (unsigned)(wall_ms % 1000));
}
