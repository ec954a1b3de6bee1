/* The block's overlay over the store: ranges in order with writes, deletions and undoing mixed in, long keys; and
 * the bytes of the key-value store's messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "ledger_fixture.h"
#include "ledger_kv_form.h"
#include "ledger_overlay_range.h"

#define KEYS   60
#define ROUNDS 400

/* What the state should be: by number of the key, in order; 0 is absent. */
struct naive {
    uint8_t now[KEYS];
};

struct change {
    struct ledger_overlay_undo undo;
    unsigned key;
    uint8_t was;
};

static struct hm_slice key_of(unsigned number, uint8_t out[480])
{
    /* Every third is longer than what a map keeps in itself. */
    int len = snprintf((char *)out, 480, "k%02u", number);
    size_t whole = number % 3 == 0 ? 300 : (size_t)len;

    if (whole > (size_t)len)
        memset(out + len, 'x', whole - (size_t)len);
    return hm_slice_of(out, whole);
}

static void range_check(struct ledger_overlay *overlay, const struct naive *naive, unsigned from,
                        unsigned to)
{
    struct ledger_overlay_range range;
    uint8_t room[3][480];
    struct hm_slice value;
    struct hm_slice key;

    assert_int_equal(ledger_overlay_range_open(overlay, key_of(from, room[0]), key_of(to, room[1]),
                                               &range, NULL),
                     0);
    for (unsigned i = from; i < to; i++) {
        if (!naive->now[i])
            continue;
        assert_int_equal(ledger_overlay_range_next(&range, &key, &value, NULL), 0);
        assert_true(hm_slice_equal(key, key_of(i, room[2])));
        assert_int_equal(value.len, 1);
        assert_int_equal(value.data[0], naive->now[i]);
    }
    assert_int_equal(ledger_overlay_range_next(&range, &key, &value, NULL), HM_ENOTFOUND);
    ledger_overlay_range_close(&range);
}

/* One write, through either door. */
static void write_one(struct ledger_overlay *overlay, struct hm_arena *arena, struct naive *naive,
                      unsigned number, uint8_t to, struct change *change)
{
    uint8_t room[480];
    struct hm_slice key = key_of(number, room);
    struct hm_slice found;
    struct hm_slice value = hm_slice_of(hm_arena_dup(arena, &to, 1), 1);
    int rc = ledger_overlay_peek(overlay, key, &found, NULL);

    assert_int_equal(rc, naive->now[number] ? 0 : HM_ENOTFOUND);
    if (rc == 0)
        assert_int_equal(found.data[0], naive->now[number]);
    *change = (struct change){.key = number, .was = naive->now[number]};
    assert_int_equal(
        ledger_overlay_set(overlay, key, rc == 0, to ? &value : NULL, &change->undo, NULL), 0);
    naive->now[number] = to;
}

static void test_ranges(void **state)
{
    struct hm_random_seeded seeded;
    struct hm_random random = hm_random_seeded_source(&seeded, 7);
    struct store_tree tree = {.leaf_table = LEDGER_TABLE_LEAF, .page_table = LEDGER_TABLE_PAGE};
    struct naive naive = {{0}};
    struct store *store;

    (void)state;
    assert_int_equal(store_open_memory(fixture_store_options(), &store, NULL), 0);
    for (unsigned block = 0; block < 12; block++) {
        struct change changes[16];
        struct ledger_overlay overlay;
        struct store_txn *txn;
        struct hm_arena arena;
        uint8_t root[32];

        hm_arena_init(&arena, 0);
        assert_int_equal(store_begin_write(store, &txn, NULL), 0);
        ledger_overlay_init(&overlay, txn, &arena, (const uint8_t *)"0123456789abcdef");
        for (unsigned round = 0; round < ROUNDS / 12; round++) {
            size_t count = hm_random_u64(&random) % 16;

            for (size_t i = 0; i < count; i++) {
                uint64_t draw = hm_random_u64(&random);

                write_one(&overlay, &arena, &naive, (unsigned)(draw % KEYS),
                          draw >> 32 & 1 ? (uint8_t)(1 + draw % 250) : 0, &changes[i]);
            }
            if (hm_random_u64(&random) % 3 == 0) { /* all of it is taken back */
                while (count > 0) {
                    ledger_overlay_take_back(&changes[--count].undo);
                    naive.now[changes[count].key] = changes[count].was;
                }
            }
            for (unsigned i = 0; i < 3; i++) {
                unsigned from = (unsigned)(hm_random_u64(&random) % KEYS);

                range_check(&overlay, &naive, from,
                            from + (unsigned)(hm_random_u64(&random) % (KEYS - from)));
            }
        }
        assert_int_equal(ledger_overlay_write(&overlay, &tree, root, NULL), 0);
        assert_int_equal(store_commit(txn, NULL), 0);
        hm_arena_release(&arena);
    }
    store_close(store);
}

/* The hand-made bytes are those of the schema, and read back. */
static void test_event_bytes(void **state)
{
    static const uint64_t numbers[] = {0, 1, 127, 128, 300, 1u << 20, UINT64_MAX};
    struct hm_arena arena;

    (void)state;
    hm_arena_init(&arena, 0);
    for (unsigned i = 0; i < 4 * HM_COUNT_OF(numbers); i++) {
        uint64_t number = numbers[i % HM_COUNT_OF(numbers)];
        struct ledger_kv_event event = {.revision = number,
                                        .sub = (uint32_t)number,
                                        .key = hm_slice_str("some key"),
                                        .deleted = i / HM_COUNT_OF(numbers) == 1,
                                        .height = number};
        HM_CLEANUP(hm_buf) struct hm_buf packed = {0};
        struct ledger_kv_event back;
        Hypermesh__KvEvent *message;
        struct hm_slice bytes;
        struct hm_slice entry;
        struct hm_slice key;

        if (!event.deleted)
            event.entry = (struct ledger_kv_entry){
                .value = hm_slice_of(numbers, i < HM_COUNT_OF(numbers) ? 0 : sizeof numbers),
                .create_revision = number,
                .mod_revision = number,
                .version = number ? number : 1,
                .lease = number};
        assert_int_equal(ledger_kv_event_write(&event, &arena, &bytes, &key, &entry), 0);
        assert_true(hm_slice_equal(key, event.key));
        assert_int_equal(WIRE_UNPACK(hypermesh__kv_event, bytes, bytes.len, &arena, &message, NULL),
                         0);
        assert_int_equal(wire_pack(&message->base, &packed), 0);
        assert_true(hm_slice_equal(hm_buf_slice(&packed), bytes));
        assert_int_equal(ledger_kv_event_read(bytes, &back), 0);
        assert_int_equal(back.revision, number);
        assert_int_equal(back.entry.lease, event.entry.lease);
        assert_true(hm_slice_equal(back.entry.value, event.entry.value));
        if (event.deleted) {
            assert_int_equal(entry.len, 0);
        } else {
            assert_int_equal(ledger_kv_entry_read(entry, &back.entry), 0);
            assert_int_equal(back.entry.version, event.entry.version);
        }
        for (size_t len = 0; len < bytes.len;
             len++) /* cut anywhere: refused, or a shorter message */
            (void)ledger_kv_event_read(hm_slice_of(bytes.data, len), &back);
    }
    hm_arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_event_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
