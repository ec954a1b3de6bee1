/* Numbers as people write them: whole numbers and decimal amounts. */
#include <stdio.h>

#include "base_encode.h"
#include "base_math.h"

#define DECIMAL_DIGITS_MAX 18

/* Error texts quote at most this much of what was given. */
#define QUOTE_MAX_CHARS 40

/* Reads digits at *at and moves past them. HM_EPARSE when there is none, HM_ERANGE past 64 bits. */
static int number_read(const char **at, uint64_t *value)
{
    const char *c = *at;
    uint64_t sum = 0;

    if (*c < '0' || *c > '9')
        return HM_EPARSE;
    for (; *c >= '0' && *c <= '9'; c++) {
        if (!hm_mul_u64(sum, 10, &sum) || !hm_add_u64(sum, (uint64_t)(*c - '0'), &sum))
            return HM_ERANGE;
    }
    *at = c;
    *value = sum;
    return 0;
}

int hm_u64_parse(const char *text, uint64_t *value, struct hm_error *error)
{
    const char *at = text;
    uint64_t result = 0;
    int rc = number_read(&at, &result);

    if (rc == HM_ERANGE)
        return hm_fail(error, HM_ERANGE, "'%.*s' is more than 18446744073709551615",
                       QUOTE_MAX_CHARS, text);
    if (rc != 0 || *at != '\0')
        return hm_fail(error, HM_EPARSE, "'%.*s' is not a whole number", QUOTE_MAX_CHARS, text);
    *value = result;
    return 0;
}

static uint64_t power_of_ten(unsigned digits)
{
    uint64_t power = 1;

    while (digits-- > 0)
        power *= 10;
    return power;
}

/* Digits after the point at *at, scaled to `digits` places. */
static int fraction_read(const char **at, unsigned digits, uint64_t *value)
{
    const char *c = *at;
    uint64_t sum = 0;
    unsigned count = 0;

    for (; *c >= '0' && *c <= '9'; c++) {
        if (count == digits)
            return HM_ERANGE;
        sum = sum * 10 + (uint64_t)(*c - '0');
        count++;
    }
    if (count == 0)
        return HM_EPARSE;
    *at = c;
    *value = sum * power_of_ten(digits - count);
    return 0;
}

int hm_decimal_parse(const char *text, unsigned digits, uint64_t *value, struct hm_error *error)
{
    const char *at = text;
    uint64_t whole = 0;
    uint64_t fraction = 0;
    int rc;

    if (digits > DECIMAL_DIGITS_MAX)
        return hm_fail(error, HM_EINVAL, "%u decimal digits asked for, at most %d are kept", digits,
                       DECIMAL_DIGITS_MAX);
    rc = number_read(&at, &whole);
    if (rc == 0 && *at == '.') {
        at++;
        rc = fraction_read(&at, digits, &fraction);
        if (rc == HM_ERANGE)
            return hm_fail(error, HM_EPARSE, "'%.*s' has more than %u digits after the point",
                           QUOTE_MAX_CHARS, text, digits);
    }
    if (rc == HM_EPARSE || (rc == 0 && *at != '\0'))
        return hm_fail(error, HM_EPARSE, "'%.*s' is not a decimal number such as 12.5",
                       QUOTE_MAX_CHARS, text);
    if (rc != 0 || !hm_mul_u64(whole, power_of_ten(digits), &whole) ||
        !hm_add_u64(whole, fraction, &whole))
        return hm_fail(error, HM_ERANGE, "'%.*s' is too large", QUOTE_MAX_CHARS, text);
    *value = whole;
    return 0;
}

void hm_decimal_format(uint64_t value, unsigned digits, char out[40])
{
    char fraction[24];
    uint64_t power;
    int length;

    if (digits > DECIMAL_DIGITS_MAX)
        digits = DECIMAL_DIGITS_MAX;
    power = power_of_ten(digits);
    if (value % power == 0) {
        (void)snprintf(out, 40, "%llu", (unsigned long long)(value / power));
        return;
    }
    length = snprintf(fraction, sizeof(fraction), "%0*llu", (int)digits,
                      (unsigned long long)(value % power));
    while (length > 0 && fraction[length - 1] == '0')
        fraction[--length] = '\0';
    (void)snprintf(out, 40, "%llu.%.18s", (unsigned long long)(value / power), fraction);
}
