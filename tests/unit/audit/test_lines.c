/* An export holds what the chain holds, and no line of it can be dropped, doubled, moved or changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "audit_line.h"
#include "proof.h"

#define BLOCKS    4
#define LINES_MAX 64

struct chain {
    struct hm_arena arena;
    struct hm_slice genesis;
    struct hm_slice blocks[BLOCKS];
    Hypermesh__BlockRecord records[BLOCKS];
    uint8_t hashes[BLOCKS + 1][32]; /* 0: of the genesis */
};

static struct hm_slice packed(struct chain *chain, const ProtobufCMessage *message)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};

    assert_int_equal(wire_pack(message, &out), 0);
    return hm_slice_of(hm_arena_dup(&chain->arena, out.data, out.len), out.len);
}

static ProtobufCBinaryData id_of(struct chain *chain, uint8_t first)
{
    uint8_t id[32];

    memset(id, first, sizeof(id));
    return wire_bytes(hm_arena_dup(&chain->arena, id, sizeof(id)), sizeof(id));
}

static ProtobufCBinaryData data_of(struct hm_slice bytes)
{
    return wire_bytes(bytes.data, bytes.len);
}

static struct hm_slice make_tx(struct chain *chain, uint64_t number)
{
    Hypermesh__TxBody body = HYPERMESH__TX_BODY__INIT;
    Hypermesh__Tx tx = HYPERMESH__TX__INIT;
    Hypermesh__Operation transfer_op = HYPERMESH__OPERATION__INIT;
    Hypermesh__Transfer transfer = HYPERMESH__TRANSFER__INIT;
    Hypermesh__Operation put_op = HYPERMESH__OPERATION__INIT;
    Hypermesh__KvPut put = HYPERMESH__KV_PUT__INIT;
    Hypermesh__Operation *ops[] = {&transfer_op, &put_op};

    transfer.to = id_of(chain, 9);
    transfer.amount = 1000000000 + number;
    transfer.memo = (char *)(uintptr_t) "a \"note\"\n";
    transfer_op.op_case = HYPERMESH__OPERATION__OP_TRANSFER;
    transfer_op.transfer = &transfer;
    put.key = wire_bytes("\xff\x00k", 3);
    put.value = wire_bytes("v", 1);
    put_op.op_case = HYPERMESH__OPERATION__OP_KV_PUT;
    put_op.kv_put = &put;
    body.chain_id = (char *)(uintptr_t) "test-1";
    body.account = id_of(chain, 1);
    body.timestamp_ms = 1000 + number;
    body.n_ops = 2;
    body.ops = ops;
    tx.body = data_of(packed(chain, &body.base));
    tx.work_nonce = number;
    tx.signature = id_of(chain, 3);
    return packed(chain, &tx.base);
}

static void digest_of(struct hm_slice tx, struct hm_arena *arena, uint8_t out[32])
{
    struct audit_tx_line line = {0};

    assert_int_equal(audit_tx_read(tx, arena, &line), 0);
    memcpy(out, line.digest, 32);
}

static struct hm_slice make_batch(struct chain *chain, const struct hm_slice *txs, size_t count,
                                  bool right_root)
{
    Hypermesh__BatchHead head = HYPERMESH__BATCH_HEAD__INIT;
    Hypermesh__Batch batch = HYPERMESH__BATCH__INIT;
    ProtobufCBinaryData list[8];
    uint8_t digests[8][32];
    uint8_t root[32];

    for (size_t i = 0; i < count; i++) {
        list[i] = data_of(txs[i]);
        digest_of(txs[i], &chain->arena, digests[i]);
    }
    crypto_merkle_root(digests[0], count, root);
    head.chain_id = (char *)(uintptr_t) "test-1";
    head.node = id_of(chain, 2);
    head.tx_root = right_root ? wire_bytes(root, 32) : id_of(chain, 77);
    batch.head = data_of(packed(chain, &head.base));
    batch.signature = id_of(chain, 4);
    batch.n_txs = count;
    batch.txs = list;
    return packed(chain, &batch.base);
}

/* The same message with its fields in another order: readable, but packs to other bytes. */
static struct hm_slice turned(struct chain *chain, struct hm_slice batch)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    size_t head = 2 + batch.data[1]; /* short: one byte of length */

    assert_true(batch.data[1] < 0x80);
    assert_int_equal(hm_buf_append(&out, batch.data + head, batch.len - head), 0);
    assert_int_equal(hm_buf_append(&out, batch.data, head), 0);
    return hm_slice_of(hm_arena_dup(&chain->arena, out.data, out.len), out.len);
}

/* As the engine of a cluster orders a block. */
static Hypermesh__EngineFacts *make_facts(struct chain *chain)
{
    Hypermesh__EngineFacts *facts = hm_arena_alloc(&chain->arena, sizeof(*facts));

    *facts = (Hypermesh__EngineFacts)HYPERMESH__ENGINE_FACTS__INIT;
    facts->hash = id_of(chain, 0x70);
    facts->bft_time_ms = 5000;
    return facts;
}

static void make_block(struct chain *chain, size_t at, const struct hm_slice *items, size_t count)
{
    Hypermesh__BlockHeader header = HYPERMESH__BLOCK_HEADER__INIT;
    Hypermesh__Block block = HYPERMESH__BLOCK__INIT;
    ProtobufCBinaryData list[8];
    uint8_t hashes[8][32];
    uint8_t root[32];

    for (size_t i = 0; i < count; i++) {
        list[i] = data_of(items[i]);
        crypto_hash(items[i].data, items[i].len, hashes[i]);
    }
    crypto_merkle_root(hashes[0], count, root);
    header.chain_id = (char *)(uintptr_t) "test-1";
    header.height = at + 1;
    header.time_ms = 5000 + at;
    header.previous_hash = wire_bytes(chain->hashes[at], 32);
    header.previous_state_root = at == 0 ? id_of(chain, 0x50) : chain->records[at - 1].state_root;
    header.data_root = wire_bytes(root, 32);
    if (at == BLOCKS - 1)
        header.engine = make_facts(chain);
    block.header = data_of(packed(chain, &header.base));
    block.n_items = count;
    block.items = list;
    chain->blocks[at] = packed(chain, &block.base);
    proof_block_hash(wire_slice(block.header), chain->hashes[at + 1]);
    chain->records[at].state_root = id_of(chain, (uint8_t)(0x51 + at));
}

static void add_result(struct chain *chain, size_t at, struct hm_slice tx, int code)
{
    Hypermesh__BlockRecord *record = &chain->records[at];
    Hypermesh__TxResult *result = hm_arena_alloc(&chain->arena, sizeof(*result));
    uint8_t digest[32];

    if (!record->results)
        record->results = hm_arena_alloc(&chain->arena, 8 * sizeof(*record->results));
    digest_of(tx, &chain->arena, digest);
    hypermesh__tx_result__init(result);
    result->digest = wire_bytes(hm_arena_dup(&chain->arena, digest, 32), 32);
    result->code = code;
    result->text = (char *)(uintptr_t)(code ? "not enough" : "");
    result->fee = 2500;
    record->results[record->n_results++] = result;
}

static int setup(void **state)
{
    struct chain *chain = hm_calloc(1, sizeof(*chain));
    Hypermesh__Genesis genesis = HYPERMESH__GENESIS__INIT;
    struct hm_slice txs[4], items[4], wrong;

    hm_arena_init(&chain->arena, 0);
    for (size_t i = 0; i < BLOCKS; i++)
        hypermesh__block_record__init(&chain->records[i]);
    for (size_t i = 0; i < HM_COUNT_OF(txs); i++)
        txs[i] = make_tx(chain, i);
    wrong = hm_slice_str("\xff no transaction");
    genesis.chain_id = (char *)(uintptr_t) "test-1";
    chain->genesis = packed(chain, &genesis.base);
    crypto_hash(chain->genesis.data, chain->genesis.len, chain->hashes[0]);

    /* block 1: two batches, one with two transactions of which one was refused */
    items[0] = make_batch(chain, txs, 2, true);
    items[1] = make_batch(chain, txs + 2, 1, true);
    add_result(chain, 0, txs[0], 0);
    add_result(chain, 0, txs[1], HM_EFUNDS);
    add_result(chain, 0, txs[2], 0);
    make_block(chain, 0, items, 2);

    /* block 2: nothing but things that its time ended */
    chain->records[1].n_expired = 2;
    chain->records[1].expired = hm_arena_alloc(&chain->arena, 2 * sizeof(ProtobufCBinaryData));
    chain->records[1].expired[0] = id_of(chain, 0x61);
    chain->records[1].expired[1] = id_of(chain, 0x62);
    chain->records[1].n_silent = 1;
    chain->records[1].silent = hm_arena_alloc(&chain->arena, sizeof(ProtobufCBinaryData));
    chain->records[1].silent[0] = id_of(chain, 0x63);
    make_block(chain, 1, NULL, 0);

    /* block 3: what a hostile node may put there */
    items[0] = hm_slice_str("no batch at all");
    items[1] = turned(chain, make_batch(chain, txs + 3, 1, true));
    items[2] = make_batch(chain, &wrong, 1, true);
    items[3] = make_batch(chain, txs, 1, false);
    add_result(chain, 2, txs[3], 0);
    add_result(chain, 2, wrong, HM_EPARSE);
    add_result(chain, 2, txs[0], HM_EINVAL);
    make_block(chain, 2, items, 4);

    /* block 4: of a cluster, with its proposer's note in front */
    items[0] = hm_slice_str("\xf1\x08\x8b\x27"); /* time_ms 5003 */
    items[1] = make_batch(chain, txs + 1, 1, true);
    add_result(chain, 3, txs[1], 0);
    make_block(chain, 3, items, 2);
    *state = chain;
    return 0;
}

static int teardown(void **state)
{
    struct chain *chain = *state;

    hm_arena_release(&chain->arena);
    hm_free(chain);
    return 0;
}

static void export(struct chain *chain, size_t first, size_t last, struct hm_buf *out,
                   struct audit_summary *summary)
{
    struct audit_writer writer;

    audit_writer_init(&writer);
    if (first == 1)
        assert_int_equal(audit_write_genesis(&writer, chain->genesis, out, NULL), 0);
    else
        assert_int_equal(audit_write_from(&writer, first - 1, chain->hashes[first - 1], out, NULL),
                         0);
    for (size_t i = first; i <= last; i++) {
        struct audit_block cursor;
        int rc;

        assert_int_equal(audit_block_open(&cursor, chain->blocks[i - 1], &chain->records[i - 1],
                                          &chain->arena, NULL),
                         0);
        do {
            rc = audit_block_next(&cursor, &writer, out, NULL);
        } while (rc == 1);
        assert_int_equal(rc, 0);
    }
    assert_int_equal(audit_write_end(&writer, out, NULL), 0);
    *summary = writer.summary;
}

struct lines {
    struct hm_slice at[LINES_MAX];
    size_t count;
};

static void split(const struct hm_buf *text, struct lines *out)
{
    const uint8_t *at = text->data;
    size_t left = text->len;

    out->count = 0;
    while (left > 0) {
        const uint8_t *end = memchr(at, '\n', left);

        assert_non_null(end);
        assert_true(out->count < LINES_MAX);
        out->at[out->count++] = hm_slice_of(at, (size_t)(end - at));
        left -= (size_t)(end - at) + 1;
        at = end + 1;
    }
}

static int check(const uint8_t *known, const struct lines *lines, struct audit_summary *summary,
                 struct hm_error *error)
{
    struct audit_reader *reader = NULL;
    int rc = 0;

    assert_int_equal(audit_reader_new(known, &reader), 0);
    for (size_t i = 0; i < lines->count && rc == 0; i++)
        rc = audit_reader_line(reader, lines->at[i], error);
    if (rc == 0)
        rc = audit_reader_end(reader, summary, error);
    else
        assert_int_not_equal(audit_reader_end(reader, summary, NULL), 0);
    audit_reader_free(reader);
    return rc;
}

/* Refused, and by more than the sum over all lines, which whoever changes lines could make again. */
static void check_refused(const struct lines *lines, const char *what, size_t line)
{
    struct audit_summary summary;
    struct hm_error error = {0};

    if (check(NULL, lines, &summary, &error) == 0)
        fail_msg("taken: %s, line %zu: %.200s", what, line + 1, lines->at[line].data);
    if (strstr(error.text, "lines_hash"))
        fail_msg("only the sum told: %s, line %zu: %.200s", what, line + 1, lines->at[line].data);
    assert_int_equal(strncmp(error.text, "line ", 5), 0);
}

static void test_whole_chain(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    struct audit_summary written, read = {0};
    struct hm_error error = {0};
    struct lines lines;
    struct chain *chain = *state;

    export(chain, 1, BLOCKS, &text, &written);
    split(&text, &lines);
    if (check(chain->hashes[0], &lines, &read, &error))
        fail_msg("%s", error.text);
    assert_memory_equal(&read, &written, sizeof(read));
    assert_int_equal(read.from, 1);
    assert_int_equal(read.to, BLOCKS);
    assert_int_equal(read.blocks, BLOCKS);
    assert_int_equal(read.txs, 7);
    assert_int_equal(read.ops, 12); /* one transaction can't be read */
    assert_memory_equal(read.head_hash, chain->hashes[BLOCKS], 32);
    assert_non_null(strstr(hm_buf_cstr(&text), "\"code\":\"HM_EFUNDS\",\"text\":\"not enough\""));
    assert_non_null(strstr(hm_buf_cstr(&text), "{\"op\":\"transfer\",\"to\":\"hm1"));
    assert_non_null(strstr(hm_buf_cstr(&text), "\"ended\",\"height\":2,\"lease\":\"lease1"));
    assert_non_null(strstr(hm_buf_cstr(&text), "\"ended\",\"height\":2,\"challenge\":\"chal1"));
    assert_non_null(strstr(hm_buf_cstr(&text),
                           "{\"type\":\"batch\",\"height\":4,\"item\":0,\"bytes\":\"8QiLJw==\"}"));
    assert_int_equal(check(chain->hashes[1], &lines, &read, &error), HM_ECORRUPT);
}

static void test_ranges(void **state)
{
    struct chain *chain = *state;

    for (size_t first = 1; first <= BLOCKS; first++) {
        for (size_t last = first - 1; last <= BLOCKS; last++) {
            HM_CLEANUP(hm_buf) struct hm_buf text = {0};
            struct audit_summary written, read = {0};
            struct hm_error error = {0};
            struct lines lines;

            export(chain, first, last, &text, &written);
            split(&text, &lines);
            if (check(chain->hashes[first - 1], &lines, &read, &error))
                fail_msg("%zu to %zu: %s", first, last, error.text);
            assert_int_equal(read.from, first);
            assert_int_equal(read.to, last);
            assert_memory_equal(read.head_hash, chain->hashes[last], 32);
            assert_int_equal(check(chain->hashes[first % BLOCKS + 1], &lines, &read, &error),
                             first % BLOCKS + 1 == first - 1 ? 0 : HM_ECORRUPT);
        }
    }
}

static void test_dropped_doubled_swapped(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    struct audit_summary summary;
    struct hm_error error = {0};
    struct lines lines;
    struct chain *chain = *state;

    export(chain, 1, BLOCKS, &text, &summary);
    split(&text, &lines);
    for (size_t i = 0; i < lines.count; i++) {
        struct lines other = lines;

        memmove(&other.at[i], &other.at[i + 1], (lines.count - i - 1) * sizeof(other.at[0]));
        other.count--;
        if (i + 1 == lines.count) {
            assert_int_equal(check(NULL, &other, &summary, &error), HM_ECORRUPT);
            assert_non_null(strstr(error.text, "cut short"));
        } else {
            check_refused(&other, "a line dropped", i);
        }
        other = lines;
        memmove(&other.at[i + 1], &other.at[i], (lines.count - i) * sizeof(other.at[0]));
        other.count++;
        check_refused(&other, "a line doubled", i);
        /* what was cut off after any line */
        other.count = i + 1;
        if (i + 1 < lines.count)
            assert_int_equal(check(NULL, &other, &summary, &error), HM_ECORRUPT);
        for (size_t k = i + 1; k < lines.count; k++) {
            struct hm_slice kept = lines.at[i];

            other = lines;
            other.at[i] = other.at[k];
            other.at[k] = kept;
            /* The order of what a block's time ended is nowhere but in the lines. */
            if (memcmp(lines.at[i].data, "{\"type\":\"ended\"", 15) == 0 &&
                memcmp(lines.at[k].data, "{\"type\":\"ended\"", 15) == 0) {
                assert_int_equal(check(NULL, &other, &summary, &error), HM_ECORRUPT);
                continue;
            }
            check_refused(&other, "two lines swapped", i);
        }
    }
}

/* Parts of a line that come from the node's record and not from signed or linked bytes. */
static bool is_recorded(struct hm_slice line, size_t at)
{
    static const char *const names[] = {"\"code\":\"", "\"text\":\"", "\"rule\":\"", "\"fee\":\""};
    const char *text = (const char *)line.data;
    const char *bytes = memmem(text, line.len, "\"bytes\"", 7);

    if (memcmp(text, "{\"type\":\"ended\"", 15) == 0)
        return true;
    if (memcmp(text, "{\"type\":\"tx\"", 12) == 0) {
        const char *code = memmem(text, line.len, names[0], strlen(names[0]));

        return at >= (size_t)(code - text) && at < (size_t)(bytes - text);
    }
    return false;
}

static void test_every_byte_altered(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    struct audit_summary summary;
    struct lines lines;
    struct chain *chain = *state;

    export(chain, 1, BLOCKS, &text, &summary);
    split(&text, &lines);
    for (size_t i = 0; i < lines.count; i++) {
        uint8_t *line = (uint8_t *)(uintptr_t)lines.at[i].data;
        bool last = i + 1 == lines.count;

        for (size_t at = 0; at < lines.at[i].len; at++) {
            uint8_t kept = line[at];
            struct hm_error error = {0};

            line[at] = kept == '0'   ? '1'
                       : kept == 'A' ? 'B'
                       : kept == '"' ? ' '
                                     : (uint8_t)(kept ^ 1);
            if (line[at] < 0x20)
                line[at] = '~';
            if (last || is_recorded(lines.at[i], at))
                assert_int_not_equal(check(NULL, &lines, &summary, &error), 0);
            else
                check_refused(&lines, "a byte altered", i);
            line[at] = kept;
        }
    }
    assert_int_equal(check(chain->hashes[0], &lines, &summary, NULL), 0);
}

/* A field more, or the same JSON written otherwise. */
static void test_added_fields(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    HM_CLEANUP(hm_buf) struct hm_buf other = {0};
    struct audit_summary summary;
    struct hm_error error = {0};
    struct lines lines;
    struct chain *chain = *state;

    export(chain, 1, BLOCKS, &text, &summary);
    split(&text, &lines);
    for (size_t i = 0; i < lines.count; i++) {
        struct lines changed = lines;

        hm_buf_clear(&other);
        assert_int_equal(hm_buf_append(&other, lines.at[i].data, lines.at[i].len - 1), 0);
        assert_int_equal(hm_buf_append_str(&other, ",\"more\":1}"), 0);
        changed.at[i] = hm_buf_slice(&other);
        check_refused(&changed, "a field added", i);
        hm_buf_clear(&other);
        assert_int_equal(hm_buf_append_str(&other, " "), 0);
        assert_int_equal(hm_buf_append(&other, lines.at[i].data, lines.at[i].len), 0);
        changed.at[i] = hm_buf_slice(&other);
        check_refused(&changed, "a blank added", i);
    }
    assert_int_equal(check(NULL, &(struct lines){.count = 0}, &summary, &error), HM_ECORRUPT);
}

/* What the ledger never lets take effect must not be shown as having done so. */
static void test_wrong_root_took_effect(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    struct audit_summary summary;
    struct hm_error error = {0};
    struct lines lines;
    struct chain *chain = *state;

    chain->records[2].results[2]->code = 0;
    export(chain, 1, BLOCKS, &text, &summary);
    chain->records[2].results[2]->code = HM_EINVAL;
    split(&text, &lines);
    assert_int_equal(check(NULL, &lines, &summary, &error), HM_ECORRUPT);
    assert_non_null(strstr(error.text, "tx_root"));
}

static void test_out_of_memory(void **state)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    struct audit_summary summary;
    struct lines lines;
    struct chain *chain = *state;

    export(chain, 1, BLOCKS, &text, &summary);
    split(&text, &lines);
    for (unsigned n = 1; n < 4000; n += 7) {
        struct audit_reader *reader = NULL;
        int rc;

        hm_alloc_fail_at(n);
        rc = audit_reader_new(NULL, &reader);
        for (size_t i = 0; i < lines.count && rc == 0; i++)
            rc = audit_reader_line(reader, lines.at[i], NULL);
        hm_alloc_fail_at(0);
        assert_true(rc == 0 || rc == HM_ENOMEM);
        audit_reader_free(reader);
        if (rc == 0)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_whole_chain, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ranges, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dropped_doubled_swapped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_byte_altered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_added_fields, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_root_took_effect, setup, teardown),
        cmocka_unit_test_setup_teardown(test_out_of_memory, setup, teardown),
    };

    if (crypto_setup(NULL))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
