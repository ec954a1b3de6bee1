/* Dictionaries by themselves: classes, their object, training and its limits, frames made with one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pack/packetfs_dict.h"

#define LEVEL   3
#define ENOUGH  200
#define OOM_MAX 400

static void line_of(unsigned n, struct hm_buf *out)
{
    hm_buf_clear(out);
    assert_int_equal(hm_buf_printf(out,
                                   "{\"time\": %u, \"level\": \"info\", \"service\": \"gateway\", "
                                   "\"message\": \"request %u was served\", \"status\": 200}\n",
                                   1700000000 + n * 37, n * n),
                     0);
}

static void random_of(unsigned n, struct hm_buf *out)
{
    struct hm_random_seeded state;
    struct hm_random source = hm_random_seeded_source(&state, n);

    hm_buf_clear(out);
    assert_int_equal(hm_buf_reserve(out, 700), 0);
    assert_int_equal(source.fill(source.ctx, out->data, 700), 0);
    out->len = 700;
}

static void samples_of(void (*make)(unsigned n, struct hm_buf *out), unsigned count,
                       struct packetfs_dict_samples *out)
{
    HM_CLEANUP(hm_buf) struct hm_buf one = {0};

    memset(out, 0, sizeof(*out));
    for (unsigned i = 0; i < count; i++) {
        make(i, &one);
        assert_int_equal(packetfs_dict_sample(out, hm_buf_slice(&one)), 0);
    }
}

static void trained(struct hm_buf *out)
{
    struct packetfs_dict_samples samples;

    samples_of(line_of, ENOUGH, &samples);
    assert_int_equal(packetfs_dict_train(&samples, PACKETFS_DICT_JSON, 7, LEVEL, NULL, out, NULL),
                     0);
    assert_true(out->len > 0);
    packetfs_dict_samples_release(&samples);
}

static void classes_by_a_look(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        enum packetfs_dict_class class;
    } rows[] = {
        {"", 0, PACKETFS_DICT_NONE},
        {"#include <stdio.h>\n", 19, PACKETFS_DICT_TEXT},
        {" \n{\"a\": 1}", 10, PACKETFS_DICT_JSON},
        {"[1, 2]", 6, PACKETFS_DICT_JSON},
        {"\t<html>", 7, PACKETFS_DICT_MARKUP},
        {"\x7f"
         "ELF\2\1\1\0\0\0\0\0\0",
         13, PACKETFS_DICT_ELF},
        {"\x7f"
         "EL",
         3, PACKETFS_DICT_BINARY},
        {"\0\1\2\3\0\0\0\0", 8, PACKETFS_DICT_BINARY},
        {"\xff\xfe\xfd\xfc\x80\x81\x01\x83", 8, PACKETFS_DICT_BINARY},
        {"gr\xc3\xbc\xc3\x9f"
         "e",
         7, PACKETFS_DICT_TEXT},
        {"   ", 3, PACKETFS_DICT_TEXT},
    };

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(rows); i++)
        assert_int_equal(packetfs_dict_class(hm_slice_of(rows[i].bytes, rows[i].len)),
                         rows[i].class);
}

static void the_object_there_and_back(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf object = {0};
    HM_CLEANUP(hm_buf) struct hm_buf again = {0};
    struct packetfs_dict_head head;
    struct hm_error error;

    (void)state;
    trained(&object);
    assert_int_equal(packetfs_dict_parse(hm_buf_slice(&object), &head, &error), 0);
    assert_int_equal(head.class, PACKETFS_DICT_JSON);
    assert_int_equal(head.sequence, 7);
    assert_int_equal(packetfs_dict_write(&head, &again), 0);
    assert_true(hm_slice_equal(hm_buf_slice(&again), hm_buf_slice(&object)));
    object.data[1] = 200; /* a class of later: fine to read with */
    assert_int_equal(packetfs_dict_parse(hm_buf_slice(&object), &head, &error), 0);
    for (size_t at = 0; at < 12; at++) {
        uint8_t was = object.data[at];
        int want = at == 0 ? HM_EUNSUPPORTED : HM_ECORRUPT;

        if (at == 1 || (at >= 4 && at < 8))
            continue;
        object.data[at] = 9;
        assert_int_equal(packetfs_dict_parse(hm_buf_slice(&object), &head, &error), want);
        object.data[at] = was;
    }
    object.data[1] = PACKETFS_DICT_NONE;
    assert_int_equal(packetfs_dict_parse(hm_buf_slice(&object), &head, &error), HM_ECORRUPT);
    for (size_t len = 0; len < 264; len += 8)
        assert_int_equal(packetfs_dict_parse(hm_slice_of(object.data, len), &head, &error),
                         HM_ECORRUPT);
}

static void too_few_samples_train_nothing(void **state)
{
    struct packetfs_dict_samples samples;
    HM_CLEANUP(hm_buf) struct hm_buf object = {0};

    (void)state;
    samples_of(line_of, PACKETFS_DICT_SAMPLES_MIN, &samples); /* some of them are held back */
    assert_true(samples.count < PACKETFS_DICT_SAMPLES_MIN);
    assert_int_equal(samples.count + samples.held_count, PACKETFS_DICT_SAMPLES_MIN);
    assert_int_equal(packetfs_dict_train(&samples, 2, 1, LEVEL, NULL, &object, NULL), 0);
    assert_int_equal(object.len, 0);
    packetfs_dict_samples_release(&samples);
    assert_int_equal(packetfs_dict_samples_bytes(&samples), 0);
    assert_int_equal(packetfs_dict_train(&samples, 2, 1, LEVEL, NULL, &object, NULL), 0);
    assert_int_equal(object.len, 0);
}

static void what_does_not_pay_is_not_kept(void **state)
{
    struct packetfs_dict_samples samples;
    HM_CLEANUP(hm_buf) struct hm_buf object = {0};
    struct packetfs_dict *dict = NULL;
    static const struct packetfs_id id;

    (void)state;
    samples_of(random_of, ENOUGH, &samples);
    assert_int_equal(packetfs_dict_train(&samples, 5, 1, LEVEL, NULL, &object, NULL), 0);
    assert_int_equal(object.len, 0);
    packetfs_dict_samples_release(&samples);
    /* Nor one that is no better than the one in use. */
    trained(&object);
    assert_int_equal(packetfs_dict_new(&id, hm_buf_slice(&object), LEVEL, &dict, NULL), 0);
    hm_buf_clear(&object);
    samples_of(line_of, ENOUGH, &samples);
    assert_int_equal(packetfs_dict_train(&samples, 2, 8, LEVEL, dict, &object, NULL), 0);
    assert_int_equal(object.len, 0);
    packetfs_dict_samples_release(&samples);
    packetfs_dict_free(dict);
}

static void frame_of(struct packetfs_codec *codec, const struct packetfs_dict *dict,
                     struct hm_slice bytes, struct hm_buf *out)
{
    struct packetfs_frame frame;

    hm_buf_clear(out);
    assert_int_equal(packetfs_codec_pack(codec, LEVEL, dict, bytes, &frame, NULL), 0);
    assert_int_equal(hm_buf_append(out, frame.head, sizeof(frame.head)), 0);
    assert_int_equal(hm_buf_append(out, frame.payload.data, frame.payload.len), 0);
    assert_int_equal(hm_buf_append(out, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", frame.fill), 0);
}

static void frames_need_their_dictionary(void **state)
{
    struct packetfs_dict *pack = NULL, *unpack = NULL, *other = NULL;
    struct packetfs_codec *codec = NULL;
    HM_CLEANUP(hm_buf) struct hm_buf object = {0};
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    HM_CLEANUP(hm_buf) struct hm_buf with = {0};
    HM_CLEANUP(hm_buf) struct hm_buf without = {0};
    HM_CLEANUP(hm_buf) struct hm_buf back = {0};
    struct packetfs_id id, other_id;
    struct hm_error error;
    uint64_t ref = 0;

    (void)state;
    memset(id.bytes, 0xab, sizeof(id.bytes));
    memset(other_id.bytes, 0xcd, sizeof(other_id.bytes));
    trained(&object);
    assert_int_equal(packetfs_codec_new(&codec), 0);
    assert_int_equal(packetfs_dict_new(&id, hm_buf_slice(&object), LEVEL, &pack, NULL), 0);
    assert_int_equal(packetfs_dict_new(&id, hm_buf_slice(&object), 0, &unpack, NULL), 0);
    assert_int_equal(packetfs_dict_new(&other_id, hm_buf_slice(&object), 0, &other, NULL), 0);
    line_of(123456, &bytes);
    frame_of(codec, pack, hm_buf_slice(&bytes), &with);
    frame_of(codec, NULL, hm_buf_slice(&bytes), &without);
    assert_true(with.len * 4 < without.len * 3);
    assert_true(
        packetfs_frame_dictionary(with.data, hm_slice_of(with.data + 4, with.len - 4), &ref));
    assert_int_equal(ref, 0xababababababababu);
    assert_false(packetfs_frame_dictionary(without.data,
                                           hm_slice_of(without.data + 4, without.len - 4), &ref));
    assert_int_equal(packetfs_codec_unpack(codec, unpack, hm_buf_slice(&with), &back, &error), 0);
    assert_true(hm_slice_equal(hm_buf_slice(&back), hm_buf_slice(&bytes)));
    /* None, another, and one that its own name does not save. */
    assert_int_equal(packetfs_codec_unpack(codec, NULL, hm_buf_slice(&with), &back, &error),
                     HM_ECORRUPT);
    assert_non_null(strstr(error.text, "abababababababab"));
    assert_int_equal(packetfs_codec_unpack(codec, other, hm_buf_slice(&with), &back, &error),
                     HM_ECORRUPT);
    hm_put_be32(with.data, 2u << 28 | 100);
    assert_int_equal(
        packetfs_codec_unpack(codec, unpack, hm_slice_of(with.data, 16), &back, &error),
        HM_ECORRUPT);
    hm_put_be32(with.data, 3u << 28 | 100);
    assert_int_equal(packetfs_codec_unpack(codec, unpack, hm_buf_slice(&with), &back, &error),
                     HM_EUNSUPPORTED);
    /* What does not shrink names none. */
    random_of(1, &bytes);
    frame_of(codec, pack, hm_buf_slice(&bytes), &with);
    assert_false(
        packetfs_frame_dictionary(with.data, hm_slice_of(with.data + 4, with.len - 4), &ref));
    packetfs_dict_free(pack);
    packetfs_dict_free(unpack);
    packetfs_dict_free(other);
    packetfs_codec_free(codec);
}

static void no_memory_is_no_dictionary(void **state)
{
    struct packetfs_dict_samples samples;
    HM_CLEANUP(hm_buf) struct hm_buf object = {0};
    bool done = false;

    (void)state;
    samples_of(line_of, ENOUGH, &samples);
    for (uint64_t nth = 1; !done && nth < OOM_MAX; nth++) {
        struct hm_error error = {0};
        int rc;

        hm_buf_release(&object);
        hm_alloc_fail_at(nth);
        rc = packetfs_dict_train(&samples, 2, 1, LEVEL, NULL, &object, &error);
        done = rc == 0;
        hm_alloc_fail_at(0);
        if (!done) {
            assert_int_equal(rc, HM_ENOMEM);
            assert_int_equal(object.len, 0);
        }
    }
    assert_true(done);
    assert_true(object.len > 0);
    packetfs_dict_samples_release(&samples);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_by_a_look),
        cmocka_unit_test(the_object_there_and_back),
        cmocka_unit_test(too_few_samples_train_nothing),
        cmocka_unit_test(what_does_not_pay_is_not_kept),
        cmocka_unit_test(frames_need_their_dictionary),
        cmocka_unit_test(no_memory_is_no_dictionary),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
