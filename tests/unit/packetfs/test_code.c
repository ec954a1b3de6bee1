/* Codes for people: what is made, what may be typed, what is said of a slip. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "sync/packetfs_code.h"

static int no_fill(void *ctx, void *out, size_t len)
{
    (void)ctx;
    (void)out;
    (void)len;
    return HM_EIO;
}

/* One letter for another, one more, one less. */
static unsigned slips_between(const char *a, const char *b)
{
    size_t la = strlen(a), lb = strlen(b);
    unsigned rows[2][PACKETFS_CODE_WORD_CHARS + 1];

    for (size_t j = 0; j <= lb; j++)
        rows[0][j] = (unsigned)j;
    for (size_t i = 1; i <= la; i++) {
        unsigned *row = rows[i % 2];
        const unsigned *above = rows[(i - 1) % 2];

        row[0] = (unsigned)i;
        for (size_t j = 1; j <= lb; j++) {
            unsigned best = above[j - 1] + (a[i - 1] != b[j - 1]);

            best = above[j] + 1 < best ? above[j] + 1 : best;
            row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
        }
    }
    return rows[la % 2][lb];
}

static void test_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < PACKETFS_CODE_WORDS; i++) {
        size_t len = strlen(packetfs_code_words[i]);

        assert_in_range(len, 4, PACKETFS_CODE_WORD_CHARS);
        assert_int_equal(strspn(packetfs_code_words[i], "abcdefghijklmnopqrstuvwxyz"), len);
        assert_true(i == 0 || strcmp(packetfs_code_words[i - 1], packetfs_code_words[i]) < 0);
        for (size_t j = 0; j < i; j++)
            assert_true(slips_between(packetfs_code_words[i], packetfs_code_words[j]) >= 2);
    }
}

/* All of the list and all numbers come up, each about as often: the strength that the header names. */
static void test_made(void **state)
{
    enum { ROUNDS = 60000 };
    static unsigned seen[PACKETFS_CODE_WORDS], numbers[10];
    struct hm_random_seeded dice_state;
    struct hm_random dice = hm_random_seeded_source(&dice_state, 3);
    char code[PACKETFS_CODE_MAX_BYTES], again[PACKETFS_CODE_MAX_BYTES];
    const struct hm_random broken = {no_fill, NULL};
    (void)state;

    for (int i = 0; i < ROUNDS; i++) {
        assert_int_equal(packetfs_code_make(&dice, code, NULL), 0);
        assert_int_equal(packetfs_code_parse(hm_slice_str(code), again, NULL), 0);
        assert_string_equal(code, again);
        long number = strtol(code, NULL, 10);
        assert_in_range(number, PACKETFS_CODE_NUMBER_MIN, PACKETFS_CODE_NUMBER_MAX);
        numbers[number / 1000]++;
        char *second = strrchr(code, '-');
        *second++ = '\0';
        const char *both[] = {code + 5, second};
        for (size_t w = 0; w < PACKETFS_CODE_WORDS; w++)
            seen[w] += (unsigned)(strcmp(packetfs_code_words[w], both[0]) == 0) +
                       (unsigned)(strcmp(packetfs_code_words[w], both[1]) == 0);
    }
    for (size_t w = 0; w < PACKETFS_CODE_WORDS; w++)
        assert_in_range(seen[w], 2 * ROUNDS / PACKETFS_CODE_WORDS / 2,
                        2 * ROUNDS / PACKETFS_CODE_WORDS * 2);
    for (size_t n = 1; n < 10; n++)
        assert_in_range(numbers[n], ROUNDS / 9 / 2, ROUNDS / 9 * 2);
    assert_int_equal(packetfs_code_make(&broken, code, NULL), HM_EIO);
}

static void test_typed(void **state)
{
    static const char *const good[] = {"4821-harbor-violin", "4821-HARBOR-Violin",
                                       " 4821 harbor  violin ", "4821 - harbor - violin\t"};
    static const struct {
        const char *typed, *said;
    } bad[] = {
        {"", "looks like"},
        {"4821", "four digits"},
        {"4821-harbor", "four digits"},
        {"harbor-violin", "four digits"},
        {"4821-harbor-violin-x", "four digits"},
        {"0821-harbor-violin", "four digits"},
        {"48211-harbor-violin", "four digits"},
        {"482a-harbor-violin", "four digits"},
        {"4821harborviolin", "four digits"},
        {"4821-harbr-violin", "was it harbor?"},
        {"4821-harbor-vilin", "was it violin?"},
        {"4821-harbor-violinn", "was it violin?"},
        {"4821-harbxr-violin", "was it harbor?"},
        {"4821-qqqqq-violin", "word 1 of the code is in no code: read"},
        {"4821-harbor-v", "word 2 of the code is in no code: read"},
    };
    char code[PACKETFS_CODE_MAX_BYTES], untouched[PACKETFS_CODE_MAX_BYTES] = "kept";
    char too_long[256];
    struct hm_error error;
    (void)state;

    for (size_t i = 0; i < HM_COUNT_OF(good); i++) {
        assert_int_equal(packetfs_code_parse(hm_slice_str(good[i]), code, NULL), 0);
        assert_string_equal(code, "4821-harbor-violin");
    }
    for (size_t i = 0; i < HM_COUNT_OF(bad); i++) {
        if (packetfs_code_parse(hm_slice_str(bad[i].typed), untouched, &error) != HM_EINVAL ||
            strstr(error.text, bad[i].said) == NULL)
            fail_msg("%s: %s", bad[i].typed, error.text);
        assert_string_equal(untouched, "kept");
    }
    memset(too_long, ' ', sizeof(too_long));
    assert_int_equal(
        packetfs_code_parse(hm_slice_of(too_long, sizeof(too_long)), untouched, &error), HM_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_made),
        cmocka_unit_test(test_typed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
