/* Messages: what is written is read, and what follows no format is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sync/packetfs_wire.h"

static void test_frames(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    static const uint8_t large[300];
    struct hm_slice body = {0};
    struct hm_slice in;
    enum packetfs_wire_type type;

    (void)state;
    assert_int_equal(packetfs_wire_frame(PACKETFS_WIRE_GET, hm_slice_of(large, 300), &out), 0);
    assert_int_equal(packetfs_wire_frame(PACKETFS_WIRE_DONE, (struct hm_slice){0}, &out), 0);
    assert_int_equal(out.len, 303 + 2);
    for (size_t len = 0; len < 303; len++) {
        in = hm_slice_of(out.data, len);
        assert_int_equal(packetfs_wire_frame_take(&in, &type, &body, NULL), 1);
        assert_int_equal(in.len, len);
    }
    in = hm_buf_slice(&out);
    assert_int_equal(packetfs_wire_frame_take(&in, &type, &body, NULL), 0);
    assert_int_equal(type, PACKETFS_WIRE_GET);
    assert_int_equal(body.len, 300);
    assert_int_equal(packetfs_wire_frame_take(&in, &type, &body, NULL), 0);
    assert_int_equal(type, PACKETFS_WIRE_DONE);
    assert_int_equal(packetfs_wire_frame_take(&in, &type, &body, NULL), 1);
    assert_int_equal(packetfs_wire_frame(PACKETFS_WIRE_GET,
                                         hm_slice_of(large, PACKETFS_WIRE_BODY_MAX_BYTES + 1),
                                         &out),
                     HM_ELIMIT);
}

static void test_hostile_frames(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        int code;
    } cases[] = {
        {"\x00\x00", 2, HM_EPARSE},
        {"\x11\x00", 2, HM_EPARSE},
        {"\x06\x80\x00", 3, 1},
        {"\x06\x80\x80\x80\x80\x80", 6, HM_EPARSE},
        {"\x06\xff\xff\xff\x7f", 5, HM_ELIMIT},
        {"\x06\x80\x80\x00\x00\x00\x00", 7, HM_EPARSE},
    };
    enum packetfs_wire_type type;
    struct hm_slice body;

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(cases); i++) {
        struct hm_slice in = hm_slice_of(cases[i].bytes, cases[i].len);

        assert_int_equal(packetfs_wire_frame_take(&in, &type, &body, NULL), cases[i].code);
        assert_int_equal(in.len, cases[i].len);
    }
}

static void test_hello(void **state)
{
    const struct packetfs_wire_hello hello = {.role = PACKETFS_WIRE_SINK,
                                              .volume_id = {1},
                                              .replica = {2},
                                              .session = {3},
                                              .sequence = 1ULL << 40,
                                              .pattern_port = 4479,
                                              .bulk_port = 65535,
                                              .newest_only = true,
                                              .label = hm_slice_str("home")};
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct packetfs_wire_hello got;

    (void)state;
    assert_int_equal(packetfs_wire_hello_write(&hello, &out), 0);
    for (size_t len = 0; len < out.len; len++)
        assert_int_not_equal(packetfs_wire_hello_read(hm_slice_of(out.data, len), &got, NULL), 0);
    assert_int_equal(packetfs_wire_hello_read(hm_buf_slice(&out), &got, NULL), 0);
    assert_int_equal(got.role, hello.role);
    assert_memory_equal(got.replica, hello.replica, sizeof(got.replica));
    assert_int_equal(got.sequence, hello.sequence);
    assert_int_equal(got.pattern_port, 4479);
    assert_int_equal(got.bulk_port, 65535);
    assert_true(got.newest_only);
    assert_true(hm_slice_equal(got.label, hello.label));
    out.data[1] = 3;
    assert_int_equal(packetfs_wire_hello_read(hm_buf_slice(&out), &got, NULL), HM_EPARSE);
    out.data[1] = 2;
    out.data[out.len - 1] = 0;
    assert_int_equal(packetfs_wire_hello_read(hm_buf_slice(&out), &got, NULL), HM_EPARSE);
    out.data[0] = 2;
    assert_int_equal(packetfs_wire_hello_read(hm_buf_slice(&out), &got, NULL), HM_EUNSUPPORTED);
}

static void test_lists_of_snapshots(void **state)
{
    struct packetfs_wire_part part = {.depth = 3, .prefix = {0x12, 0x30}};
    struct packetfs_wire_ids ids = {.form = PACKETFS_WIRE_LIST, .count = 2};
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct packetfs_wire_ids got;
    struct hm_slice in;

    (void)state;
    ids.ids[0][0] = ids.ids[1][0] = 0x12;
    ids.ids[0][1] = 0x31;
    ids.ids[1][1] = 0x3f;
    assert_int_equal(packetfs_wire_ids_write(&ids, &out), 0);
    in = hm_buf_slice(&out);
    assert_int_equal(packetfs_wire_ids_take(&in, &part, &got, NULL), 0);
    assert_int_equal(in.len, 0);
    assert_memory_equal(got.ids, ids.ids, 32);
    out.data[2 + 1] = 0x41; /* not of the part */
    in = hm_buf_slice(&out);
    assert_int_equal(packetfs_wire_ids_take(&in, &part, &got, NULL), HM_EPARSE);
    out.data[2 + 1] = 0x3f;
    out.data[2 + 16 + 1] = 0x31; /* not in order */
    in = hm_buf_slice(&out);
    assert_int_equal(packetfs_wire_ids_take(&in, &part, &got, NULL), HM_EPARSE);
    /* a whole id cannot be split */
    part.depth = 32;
    hm_buf_clear(&out);
    ids.form = PACKETFS_WIRE_SPLIT;
    assert_int_equal(packetfs_wire_ids_write(&ids, &out), 0);
    in = hm_buf_slice(&out);
    assert_int_equal(packetfs_wire_ids_take(&in, &part, &got, NULL), HM_EPARSE);
}

static void test_objects(void **state)
{
    struct packetfs_wire_packer *packer;
    struct packetfs_wire_object object;
    struct hm_random_seeded seeded;
    struct hm_random random = hm_random_seeded_source(&seeded, 5);
    static uint8_t base[200000];
    static uint8_t plain[200000];
    static const size_t sizes[] = {1, 100, 65536, 200000};

    (void)state;
    assert_int_equal(random.fill(random.ctx, base, sizeof(base)), 0);
    assert_int_equal(packetfs_wire_packer_new(3, &packer, NULL), 0);
    for (size_t i = 0; i < HM_COUNT_OF(sizes); i++) {
        HM_CLEANUP(hm_buf) struct hm_buf body = {0};
        HM_CLEANUP(hm_buf) struct hm_buf out = {0};
        size_t whole;

        memcpy(plain, base, sizes[i]);
        plain[sizes[i] / 2] ^= 1;
        assert_int_equal(packetfs_wire_pack(packer, hm_slice_of(plain, sizes[i]),
                                            (struct hm_slice){0}, &body, NULL),
                         0);
        whole = body.len;
        assert_true(whole <= sizes[i] + 5);
        assert_int_equal(packetfs_wire_object_read(hm_buf_slice(&body), &object, NULL), 0);
        assert_int_equal(packetfs_wire_unpack(packer, &object, (struct hm_slice){0}, &out, NULL),
                         0);
        assert_int_equal(out.len, sizes[i]);
        assert_memory_equal(out.data, plain, sizes[i]);
        hm_buf_clear(&body);
        hm_buf_clear(&out);
        assert_int_equal(packetfs_wire_pack(packer, hm_slice_of(plain, sizes[i]),
                                            hm_slice_of(base, sizes[i]), &body, NULL),
                         0);
        assert_int_equal(packetfs_wire_object_read(hm_buf_slice(&body), &object, NULL), 0);
        assert_true(sizes[i] < 1000 || (object.form == PACKETFS_WIRE_DELTA && body.len < 100));
        assert_int_equal(
            packetfs_wire_unpack(packer, &object, hm_slice_of(base, sizes[i]), &out, NULL), 0);
        assert_memory_equal(out.data, plain, sizes[i]);
        hm_buf_clear(&out);
        if (object.form == PACKETFS_WIRE_DELTA)
            assert_int_equal(
                packetfs_wire_unpack(packer, &object, (struct hm_slice){0}, &out, NULL), HM_EPARSE);
        /* more or less than was said */
        if (object.form != PACKETFS_WIRE_PLAIN) {
            object.plain_len--;
            assert_int_equal(
                packetfs_wire_unpack(packer, &object, hm_slice_of(base, sizes[i]), &out, NULL),
                HM_EPARSE);
            object.plain_len += 2;
            assert_int_equal(
                packetfs_wire_unpack(packer, &object, hm_slice_of(base, sizes[i]), &out, NULL),
                HM_EPARSE);
        }
    }
    packetfs_wire_packer_free(packer);
    packetfs_wire_packer_free(NULL);
}

static void test_a_failure_of_the_peer_is_made_fit(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct hm_error error = {0};

    (void)state;
    assert_int_equal(packetfs_wire_fail_write(HM_ECORRUPT, "bad\x1b[31m news", &out), 0);
    assert_int_equal(packetfs_wire_fail_read(hm_buf_slice(&out), &error), HM_ECORRUPT);
    assert_string_equal(error.text, "the peer says: bad [31m news");
    assert_int_equal(packetfs_wire_fail_read(hm_slice_of("\x00", 1), &error), HM_EINTERNAL);
    assert_int_equal(packetfs_wire_fail_read(hm_slice_of("\x7f", 1), &error), HM_EINTERNAL);
    assert_int_equal(packetfs_wire_fail_read((struct hm_slice){0}, &error), HM_EPARSE);
}

static void test_requests_have_limits(void **state)
{
    static struct packetfs_wire_get get;
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    HM_CLEANUP(hm_buf) struct hm_buf many = {0};

    (void)state;
    assert_int_equal(packetfs_wire_get_write(&get, &out), HM_ELIMIT);
    get.count = PACKETFS_WIRE_GET_MAX;
    get.wants[7].has_base = true;
    assert_int_equal(packetfs_wire_get_write(&get, &out), 0);
    memset(&get, 0, sizeof(get));
    assert_int_equal(packetfs_wire_get_read(hm_buf_slice(&out), &get, NULL), 0);
    assert_int_equal(get.count, PACKETFS_WIRE_GET_MAX);
    assert_true(get.wants[7].has_base && !get.wants[8].has_base);
    assert_int_equal(packetfs_wire_get_read(hm_slice_of(out.data, out.len - 1), &get, NULL),
                     HM_EPARSE);
    assert_int_equal(hm_buf_append(&many, "\x81\x02", 2), 0); /* 257 */
    assert_int_equal(hm_buf_append(&many, out.data + 2, out.len - 2), 0);
    assert_int_equal(packetfs_wire_get_read(hm_buf_slice(&many), &get, NULL), HM_EPARSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_hostile_frames),
        cmocka_unit_test(test_hello),
        cmocka_unit_test(test_lists_of_snapshots),
        cmocka_unit_test(test_objects),
        cmocka_unit_test(test_a_failure_of_the_peer_is_made_fit),
        cmocka_unit_test(test_requests_have_limits),
    };

    return cmocka_run_group_tests_name("packetfs_wire", tests, NULL, NULL);
}
