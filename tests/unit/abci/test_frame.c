/* A message's length before it: Go's unsigned varint. */
#include "abci_world.h"

static int parse(const void *bytes, size_t len, struct hm_slice *message)
{
    return abci_frame_parse(hm_slice_of(bytes, len), message, NULL);
}

static void test_lengths(void **state)
{
    static const size_t sizes[] = {0, 1, 127, 128, 300, 16383, 16384, 2097151, 2097152};
    HM_AUTOFREE uint8_t *bytes = hm_calloc(1, ((size_t)4 << 20));

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(sizes); i++) {
        size_t header = abci_frame_header(sizes[i], bytes);
        struct hm_slice message = {0};

        for (size_t len = 0; len < header; len++)
            assert_int_equal(parse(bytes, len, &message), 0);
        if (sizes[i] > 0)
            assert_int_equal(parse(bytes, header + sizes[i] - 1, &message), 0);
        assert_null(message.data);
        assert_int_equal(parse(bytes, header + sizes[i] + 5, &message), 1);
        assert_ptr_equal(message.data, bytes + header);
        assert_int_equal(message.len, sizes[i]);
    }
}

static void test_known_headers(void **state)
{
    uint8_t out[ABCI_FRAME_HEADER_MAX_BYTES];

    (void)state;
    assert_int_equal(abci_frame_header(174, out), 2); /* as recorded: ae 01 */
    assert_memory_equal(out, "\xae\x01", 2);
    assert_int_equal(abci_frame_header(300, out), 2);
    assert_memory_equal(out, "\xac\x02", 2);
}

static void test_limits(void **state)
{
    struct hm_slice message = {0};
    struct hm_error error = {0};
    uint8_t bytes[ABCI_FRAME_HEADER_MAX_BYTES];
    size_t len = abci_frame_header(ABCI_MESSAGE_MAX_BYTES, bytes);

    (void)state;
    assert_int_equal(parse(bytes, len, &message), 0); /* waits for it */
    len = abci_frame_header(ABCI_MESSAGE_MAX_BYTES + 1, bytes);
    assert_int_equal(abci_frame_parse(hm_slice_of(bytes, len), &message, &error), HM_ELIMIT);
    assert_non_null(strstr(error.text, "134217729 bytes"));
    /* 2^64-1, 2^64 + ... and a varint that does not end */
    assert_int_equal(parse("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10, &message), HM_ELIMIT);
    assert_int_equal(parse("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02", 10, &message), HM_ELIMIT);
    assert_int_equal(parse("\x81\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", 11, &message),
                     HM_EPARSE);
    /* A longer form of a small number is one Go reads as well. */
    assert_int_equal(parse("\x81\x00x", 3, &message), 1);
    assert_int_equal(message.len, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_known_headers),
        cmocka_unit_test(test_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
