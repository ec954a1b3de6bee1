/* The decoder of a job's output. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "nexus_frames.h"

struct taken {
    struct hm_buf streams[3];
    int rc;
};

static int take(void *ctx, int stream, const uint8_t *data, size_t len, struct hm_error *error)
{
    struct taken *taken = ctx;

    if (taken->rc)
        return hm_fail(error, taken->rc, "enough");
    assert_in_range(stream, 1, 2);
    assert_true(len > 0);
    return hm_buf_append(&taken->streams[stream], data, len);
}

static void taken_release(struct taken *taken)
{
    for (size_t i = 0; i < 3; i++)
        hm_buf_release(&taken->streams[i]);
}

static const uint8_t sample[] = "\x01\x00\x00\x00\x00\x00\x00\x05hello"
                                "\x02\x00\x00\x00\x00\x00\x00\x03"
                                "err"
                                "\x01\x00\x00\x00\x00\x00\x00\x00"
                                "\x01\x00\x00\x00\x00\x00\x00\x01!";
#define SAMPLE_BYTES (sizeof(sample) - 1)

/* Cut anywhere, in pieces of any size, the payload is the same. */
static void test_any_pieces(void **state)
{
    (void)state;
    for (size_t piece = 1; piece <= SAMPLE_BYTES; piece++) {
        struct nexus_frames frames = {0};
        struct taken taken = {0};

        for (size_t at = 0; at < SAMPLE_BYTES; at += piece) {
            size_t len = SAMPLE_BYTES - at < piece ? SAMPLE_BYTES - at : piece;

            assert_int_equal(nexus_frames_feed(&frames, sample + at, len, take, &taken, NULL), 0);
        }
        assert_int_equal(nexus_frames_end(&frames, NULL), 0);
        assert_string_equal(hm_buf_cstr(&taken.streams[1]), "hello!");
        assert_string_equal(hm_buf_cstr(&taken.streams[2]), "err");
        taken_release(&taken);
    }
}

static void test_cut_off(void **state)
{
    (void)state;
    for (size_t len = 0; len <= SAMPLE_BYTES; len++) {
        struct nexus_frames frames = {0};
        struct taken taken = {0};
        bool whole = len == 0 || len == 13 || len == 24 || len == 32 || len == SAMPLE_BYTES;

        assert_int_equal(nexus_frames_feed(&frames, sample, len, take, &taken, NULL), 0);
        assert_int_equal(nexus_frames_end(&frames, NULL), whole ? 0 : HM_EPARSE);
        taken_release(&taken);
    }
}

static void refuse(const char *header, int code)
{
    struct nexus_frames frames = {0};
    struct taken taken = {0};
    struct hm_error error = {0};

    assert_int_equal(nexus_frames_feed(&frames, (const uint8_t *)header, 8, take, &taken, &error),
                     code);
    assert_non_null(strstr(error.text, "at byte 0"));
    taken_release(&taken);
}

static void test_hostile_headers(void **state)
{
    (void)state;
    refuse("\x00\x00\x00\x00\x00\x00\x00\x01", HM_EPARSE);
    refuse("\x03\x00\x00\x00\x00\x00\x00\x01", HM_EPARSE);
    refuse("\x01\x01\x00\x00\x00\x00\x00\x01", HM_EPARSE);
    refuse("\x01\x00\x00\x01\x00\x00\x00\x01", HM_EPARSE);
    refuse("\x01\x00\x00\x00\xff\xff\xff\xff", HM_ELIMIT);
    refuse("\x01\x00\x00\x00\x01\x00\x00\x01", HM_ELIMIT);
    refuse("HTTP/1.1", HM_EPARSE);
}

static void test_largest_frame(void **state)
{
    static const uint8_t header[8] = {2, 0, 0, 0, 1, 0, 0, 0};
    struct nexus_frames frames = {0};
    struct taken taken = {0};

    (void)state;
    assert_int_equal(nexus_frames_feed(&frames, header, 8, take, &taken, NULL), 0);
    assert_int_equal(frames.left, NEXUS_FRAME_MAX_BYTES);
    assert_int_equal(nexus_frames_end(&frames, NULL), HM_EPARSE);
}

static void test_taker_ends_it(void **state)
{
    struct nexus_frames frames = {0};
    struct taken taken = {.rc = HM_EIO};

    (void)state;
    assert_int_equal(nexus_frames_feed(&frames, sample, SAMPLE_BYTES, take, &taken, NULL), HM_EIO);
    taken_release(&taken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_pieces),      cmocka_unit_test(test_cut_off),
        cmocka_unit_test(test_hostile_headers), cmocka_unit_test(test_largest_frame),
        cmocka_unit_test(test_taker_ends_it),
    };

    return cmocka_run_group_tests_name("nexus_frames", tests, NULL, NULL);
}
