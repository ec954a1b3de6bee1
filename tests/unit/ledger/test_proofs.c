/* Each of the four proofs forged, moved to another transaction or too old: refused, named, and without
 * effect. */
#include "ledger_check.h"

/* What must not change when something is refused. */
static void state_root(uint8_t root[32])
{
    struct ledger_info info = check_info();

    memcpy(root, info.state_root, 32);
}

/* A block with this one item: all its transactions refused with the code, the text holds the words, and
 * the state root does not move. */
static void refused_item(struct hm_slice item, int code, const char *words)
{
    uint8_t before[32];
    uint8_t after[32];

    state_root(before);
    assert_int_equal(fixture_block(&fix, &item, 1), 0);
    state_root(after);
    assert_true(fix.record->n_results > 0);
    for (size_t i = 0; i < fix.record->n_results; i++) {
        const Hypermesh__TxResult *result = fix.record->results[i];

        if (result->code != code || !strstr(result->text, words))
            fail_msg("code %d (%s) with \"%s\"; wanted %d with \"%s\"", result->code,
                     hm_error_name(result->code), result->text, code, words);
        assert_int_equal(result->fee, 0);
    }
    assert_memory_equal(before, after, 32);
    fixture_resync(&fix);
}

static void refused_tx(struct hm_slice tx, int code, const char *words)
{
    refused_item(fixture_batch(&fix, &tx, 1), code, words);
}

static struct hm_slice pay_tx(Hypermesh__TxBody **body_out)
{
    Hypermesh__Operation *op = op_transfer(&fix, BOB, 7);
    Hypermesh__TxBody *body = fixture_body(&fix, ALICE, &op, 1);

    if (body_out) {
        *body_out = body;
        return (struct hm_slice){0};
    }
    return fixture_pack(&fix, &fixture_sign(&fix, ALICE, body, false)->base);
}

static struct hm_slice signed_body(Hypermesh__TxBody *body)
{
    return fixture_pack(&fix, &fixture_sign(&fix, ALICE, body, false)->base);
}

/* --- Stake --- */

static void test_signature_forged(void **state)
{
    Hypermesh__TxBody *body;
    Hypermesh__Tx *tx;

    (void)state;
    pay_tx(&body);
    tx = fixture_sign(&fix, ALICE, body, false);
    tx->signature.data[10] ^= 1;
    refused_tx(fixture_pack(&fix, &tx->base), HM_EPROOF_STAKE, "stake: the signature");
    /* Empty and short signatures. */
    pay_tx(&body);
    tx = fixture_sign(&fix, ALICE, body, false);
    tx->signature.len = 0;
    refused_tx(fixture_pack(&fix, &tx->base), HM_EPROOF_STAKE, "signature has 0 bytes");
}

/* A good signature of one transaction on another. */
static void test_signature_moved(void **state)
{
    Hypermesh__TxBody *body;
    Hypermesh__Tx *first;
    Hypermesh__Tx *second;

    (void)state;
    pay_tx(&body);
    first = fixture_sign(&fix, ALICE, body, false);
    fixture_resync(&fix);
    pay_tx(&body);
    body->fee_limit++;
    second = fixture_sign(&fix, ALICE, body, false);
    second->signature = first->signature;
    refused_tx(fixture_pack(&fix, &second->base), HM_EPROOF_STAKE, "stake: the signature");
}

/* What was remembered of a good transaction must not let the same body pass with a bad signature. */
static void test_signature_cache(void **state)
{
    Hypermesh__TxBody *body;
    Hypermesh__Tx *tx;
    struct hm_slice good;

    (void)state;
    pay_tx(&body);
    tx = fixture_sign(&fix, ALICE, body, false);
    good = fixture_pack(&fix, &tx->base);
    assert_int_equal(ledger_check_tx(fix.ledger, good, fix.next_ms, NULL, &fix.error), 0);
    tx->signature.data[0] ^= 1;
    refused_tx(fixture_pack(&fix, &tx->base), HM_EPROOF_STAKE, "stake: the signature");
}

static void test_foreign_session(void **state)
{
    Hypermesh__TxBody *body;

    (void)state;
    pay_tx(&body);
    body->session_key = wire_bytes(fix.people[BOB].session.public_key, 32);
    refused_tx(signed_body(body), HM_EPROOF_STAKE, "no such session key");
}

static void test_session_expired(void **state)
{
    struct hm_slice item;
    struct hm_slice tx;

    (void)state;
    fix.next_ms += fix.params.session_max_ms - 2 * FIXTURE_BLOCK_MS;
    assert_int_equal(fixture_do(&fix, ALICE, op_transfer(&fix, BOB, 1))->code, 0);
    fix.next_ms += 10 * FIXTURE_BLOCK_MS;
    tx = pay_tx(NULL);
    item = fixture_batch(&fix, &tx, 1); /* the node's session is over too: the batch falls first */
    refused_item(item, HM_EPROOF_STAKE, "the node has no such session key");
}

/* At the door and where proofs are shown, the state still lists a session that is over. */
static void test_session_over_at_the_door(void **state)
{
    struct hm_error error = {0};
    struct ledger_proof_case *that;
    struct ledger_view *view;
    struct hm_slice batch;
    struct hm_slice tx;

    (void)state;
    fix.next_ms += fix.params.session_max_ms;
    tx = pay_tx(NULL);
    batch = fixture_batch(&fix, &tx, 1);
    assert_int_equal(fixture_account(&fix, ALICE)->n_sessions, 1);
    assert_int_equal(ledger_check_tx(fix.ledger, tx, fix.next_ms, NULL, &error), HM_EPROOF_STAKE);
    assert_non_null(strstr(error.text, "the session expired"));
    view = check_view();
    assert_int_equal(
        ledger_proof_case_offered(view, batch, 0, fix.next_ms, &fix.arena, &that, NULL), 0);
    assert_int_equal(ledger_proof_case_check(that, LEDGER_PROOF_STAKE, NULL, &error),
                     HM_EPROOF_STAKE);
    assert_non_null(strstr(error.text, "the session expired"));
    assert_int_equal(ledger_proof_case_check(that, LEDGER_PROOF_SPACE, NULL, &error),
                     HM_EPROOF_STAKE);
    assert_non_null(strstr(error.text, "the node has no such session key"));
    ledger_view_close(view);
}

static void test_session_revoked(void **state)
{
    (void)state;
    assert_int_equal(
        fixture_do(&fix, ALICE, op_revoke(&fix, fix.people[ALICE].session.public_key))->code, 0);
    refused_tx(pay_tx(NULL), HM_EPROOF_STAKE, "no such session key");
}

static void test_scope(void **state)
{
    Hypermesh__Operation *op = op_grant(&fix, fix.people[ALICE].session.public_key,
                                        UINT64_C(1) << HYPERMESH__OPERATION__OP_BOND,
                                        fix.next_ms + 100000);
    struct hm_slice tx = fixture_root_tx(&fix, ALICE, &op, 1);

    (void)state;
    assert_int_equal(fixture_block_txs(&fix, &tx, 1), 0);
    assert_int_equal(fix.record->results[0]->code, 0);
    refused_tx(pay_tx(NULL), HM_EPROOF_STAKE, "scope lacks transfer");
    assert_int_equal(fixture_do(&fix, ALICE, op_bond(&fix, 5))->code, 0);
}

static void test_grant_needs_root(void **state)
{
    Hypermesh__Operation *op = op_grant(&fix, fix.people[BOB].session.public_key, 2,
                                        fix.next_ms + 1000);

    (void)state;
    refused_tx(fixture_tx(&fix, ALICE, &op, 1), HM_EPROOF_STAKE, "signed by the root keys");
}

static void test_root_forged(void **state)
{
    Hypermesh__TxBody *body;
    Hypermesh__Tx *tx;

    (void)state;
    pay_tx(&body);
    tx = fixture_sign(&fix, ALICE, body, true);
    tx->root->mldsa65_signature.data[100] ^= 1;
    refused_tx(fixture_pack(&fix, &tx->base), HM_EPROOF_STAKE, "root signature refused");
    pay_tx(&body);
    tx = fixture_sign(&fix, ALICE, body, true);
    tx->root->ed25519_signature.data[3] ^= 1;
    refused_tx(fixture_pack(&fix, &tx->base), HM_EPROOF_STAKE, "root signature refused");
    /* Somebody else's keys, well signed, on Alice's account. */
    pay_tx(&body);
    tx = fixture_sign(&fix, BOB, body, true);
    refused_tx(fixture_pack(&fix, &tx->base), HM_EPROOF_STAKE, "not those of the account");
}

static void test_bond_missing(void **state)
{
    Hypermesh__TxResult *result;
    Hypermesh__Operation *ops[2];

    (void)state;
    assert_int_equal(fixture_do(&fix, BOB, op_unbond(&fix, 950 * FIXTURE_HYPER))->code, 0);
    result = fixture_do(&fix, BOB, op_register(&fix, "cpu", 1, HYPERMESH__PRIVACY_LEVEL__PRIVATE));
    assert_int_equal(result->code, HM_EPROOF_STAKE);
    assert_non_null(strstr(result->text, "asset_register: stake: to offer assets"));
    assert_int_equal(result->facts->bonded, 50 * FIXTURE_HYPER);
    assert_int_equal(result->facts->bond_needed, fix.params.bond_provider);
    /* Bond and register in one transaction is fine. */
    ops[0] = op_bond(&fix, 50 * FIXTURE_HYPER);
    ops[1] = op_register(&fix, "cpu", 1, HYPERMESH__PRIVACY_LEVEL__PRIVATE);
    assert_int_equal(fixture_do_many(&fix, BOB, ops, 2)->code, 0);
}

/* --- Work --- */

static void test_work_missing(void **state)
{
    Hypermesh__TxBody *body;
    Hypermesh__Tx *tx;
    uint8_t body_digest[32];
    uint8_t digest[32];
    uint8_t signature[64];

    (void)state;
    pay_tx(&body);
    tx = fixture_sign(&fix, ALICE, body, false);
    proof_body_digest(wire_slice(tx->body), body_digest);
    do {
        tx->work_nonce++;
        proof_tx_digest(body_digest, tx->work_nonce, digest);
    } while (proof_work_bits(digest) >= fix.params.work_base_bits);
    crypto_ed25519_sign(&fix.people[ALICE].session, digest, 32, signature);
    tx->signature = wire_bytes(signature, 64);
    refused_tx(fixture_pack(&fix, &tx->base), HM_EPROOF_WORK, "work");
}

static void slow_work(Hypermesh__Params *params)
{
    params->work_base_bits = 2;
    params->work_free_txs = 4;
}

static int setup_slow(void **state)
{
    static const struct fixture_options options = {.params = slow_work};

    (void)state;
    return fixture_init(&fix, &options);
}

/* Signed at the rate of the start, the later ones of a rush do not have enough; other accounts do. */
static void test_work_rises(void **state)
{
    struct hm_slice txs[41];
    size_t refused = 0;

    (void)state;
    for (size_t i = 0; i < 40; i++) {
        Hypermesh__Operation *op = op_transfer(&fix, BOB, 1);

        txs[i] = fixture_tx(&fix, ALICE, &op, 1);
    }
    txs[40] = fixture_tx(&fix, CAROL, &(Hypermesh__Operation *){op_transfer(&fix, BOB, 1)}, 1);
    assert_int_equal(fixture_block_txs(&fix, txs, 41), 0);
    for (size_t i = 0; i < 40; i++)
        refused += fix.record->results[i]->code == HM_EPROOF_WORK;
    assert_true(refused > 0);
    assert_int_equal(fix.record->results[0]->code, 0);
    assert_int_equal(fix.record->results[40]->code, 0);
    fixture_resync(&fix);
    fix.next_ms += 3 * fix.params.work_window_ms;
    assert_int_equal(fixture_do(&fix, ALICE, op_transfer(&fix, BOB, 1))->facts->work_bits, 2);
}

/* --- Time --- */

static void test_time_window(void **state)
{
    Hypermesh__TxBody *body;

    (void)state;
    pay_tx(&body);
    body->timestamp_ms -= fix.params.time_window_ms + 1;
    refused_tx(signed_body(body), HM_EPROOF_TIME, "before block time");
    pay_tx(&body);
    body->timestamp_ms += fix.params.time_window_ms + 1;
    refused_tx(signed_body(body), HM_EPROOF_TIME, "after block time");
    pay_tx(&body);
    body->timestamp_ms += fix.params.time_window_ms;
    assert_int_equal(fixture_block_txs(&fix, (struct hm_slice[]){signed_body(body)}, 1), 0);
    assert_int_equal(fix.record->results[0]->code, 0);
}

static void test_anchor(void **state)
{
    Hypermesh__TxBody *body;

    (void)state;
    pay_tx(&body);
    body->anchor_hash.data[0] ^= 1;
    refused_tx(signed_body(body), HM_EPROOF_TIME, "not this chain's block");
    pay_tx(&body);
    body->anchor_height += 1; /* the block that is being made */
    refused_tx(signed_body(body), HM_EPROOF_TIME, "not among the recent blocks");
    pay_tx(&body);
    body->anchor_height = UINT64_MAX;
    refused_tx(signed_body(body), HM_EPROOF_TIME, "not among the recent blocks");
    pay_tx(&body);
    body->anchor_hash.len = 0;
    refused_tx(signed_body(body), HM_EPROOF_TIME, "anchor_hash");
}

static void short_anchor(Hypermesh__Params *params)
{
    params->anchor_max_blocks = 3;
}

static int setup_short(void **state)
{
    static const struct fixture_options options = {.params = short_anchor};

    (void)state;
    return fixture_init(&fix, &options);
}

static void test_anchor_old(void **state)
{
    Hypermesh__TxBody *body;
    struct ledger_view *view;
    struct hm_slice genesis;

    (void)state;
    /* Genesis is an anchor as long as it is near. */
    view = check_view();
    assert_int_equal(ledger_view_genesis(view, &genesis, NULL), 0);
    pay_tx(&body);
    body->anchor_height = 0;
    crypto_hash(genesis.data, genesis.len, body->anchor_hash.data);
    ledger_view_close(view);
    assert_int_equal(fixture_block_txs(&fix, (struct hm_slice[]){signed_body(body)}, 1), 0);
    assert_int_equal(fix.record->results[0]->code, 0);
    pay_tx(&body);
    for (int i = 0; i < 4; i++)
        assert_int_equal(fixture_block(&fix, NULL, 0), 0);
    refused_tx(signed_body(body), HM_EPROOF_TIME, "not among the recent blocks");
}

/* The same transaction twice: in one batch, in another batch, in another block. */
static void test_replayed(void **state)
{
    struct hm_slice tx = pay_tx(NULL);
    struct hm_slice twice[2] = {tx, tx};
    struct hm_slice items[2];
    uint64_t bob = fixture_account(&fix, BOB)->hyper;
    uint8_t digest[32];
    Hypermesh__TxResult *result;
    struct ledger_view *view;

    (void)state;
    items[0] = fixture_batch(&fix, twice, 2);
    items[1] = fixture_batch(&fix, &tx, 1);
    assert_int_equal(fixture_block(&fix, items, 2), 0);
    assert_int_equal(fix.record->n_results, 3);
    assert_int_equal(fix.record->results[0]->code, 0);
    assert_int_equal(fix.record->results[1]->code, HM_EPROOF_TIME);
    assert_int_equal(fix.record->results[2]->code, HM_EPROOF_TIME);
    assert_non_null(strstr(fix.record->results[1]->text, "does not follow"));
    refused_tx(tx, HM_EPROOF_TIME, "does not follow");
    assert_int_equal(fixture_account(&fix, BOB)->hyper, bob + 7);
    /* The index still leads to the one that counted. */
    fixture_tx_digest(tx, digest);
    view = check_view();
    assert_int_equal(ledger_view_tx(view, digest, &fix.arena, NULL, NULL, &result, NULL), 0);
    assert_int_equal(result->code, 0);
    ledger_view_close(view);
}

static void test_presence(void **state)
{
    Hypermesh__TxBody *body;

    (void)state;
    pay_tx(&body);
    body->presence.data[5] ^= 1;
    refused_tx(signed_body(body), HM_EPROOF_TIME, "does not follow");
}

/* --- Space, and the batch --- */

static struct hm_slice register_tx(void)
{
    Hypermesh__Operation *op = op_register(&fix, "cpu0", 1, HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC);

    return fixture_tx(&fix, ALICE, &op, 1);
}

static void test_space_missing(void **state)
{
    struct hm_slice tx = register_tx();

    (void)state;
    refused_item(fixture_seal(&fix, NODE, fixture_head(&fix, NODE, &tx, 1, false), &tx, 1),
                 HM_EPROOF_SPACE, "space");
    /* Money moves without. */
    tx = pay_tx(NULL);
    assert_int_equal(
        fixture_block(&fix,
                      (struct hm_slice[]){fixture_seal(
                          &fix, NODE, fixture_head(&fix, NODE, &tx, 1, false), &tx, 1)},
                      1),
        0);
    assert_int_equal(fix.record->results[0]->code, 0);
}

static void test_space_forged(void **state)
{
    struct hm_slice tx = register_tx();
    Hypermesh__BatchHead *head = fixture_head(&fix, NODE, &tx, 1, true);

    (void)state;
    head->openings[3]->label.data[0] ^= 1;
    refused_item(fixture_seal(&fix, NODE, head, &tx, 1), HM_EPROOF_SPACE, "space");
    tx = register_tx();
    head = fixture_head(&fix, NODE, &tx, 1, true);
    head->openings[0]->path.data[40] ^= 1;
    refused_item(fixture_seal(&fix, NODE, head, &tx, 1), HM_EPROOF_SPACE, "space");
    tx = register_tx();
    head = fixture_head(&fix, NODE, &tx, 1, true);
    head->n_openings--;
    refused_item(fixture_seal(&fix, NODE, head, &tx, 1), HM_EPROOF_SPACE, "space");
}

/* Openings of one batch in another: the transactions pick the positions. */
static void test_space_moved(void **state)
{
    struct hm_slice tx = register_tx();
    Hypermesh__BatchHead *first = fixture_head(&fix, NODE, &tx, 1, true);
    Hypermesh__BatchHead *second;

    (void)state;
    fixture_resync(&fix);
    tx = fixture_tx(
        &fix, ALICE,
        &(Hypermesh__Operation *){op_register(&fix, "other", 2, HYPERMESH__PRIVACY_LEVEL__PRIVATE)},
        1);
    second = fixture_head(&fix, NODE, &tx, 1, false);
    second->openings = first->openings;
    second->n_openings = first->n_openings;
    refused_item(fixture_seal(&fix, NODE, second, &tx, 1), HM_EPROOF_SPACE, "space");
}

/* Openings from before: the anchor picks the positions too. */
static void test_space_stale(void **state)
{
    struct hm_slice tx = register_tx();
    Hypermesh__BatchHead *old = fixture_head(&fix, NODE, &tx, 1, true);
    Hypermesh__BatchHead *head;

    (void)state;
    assert_int_equal(fixture_block(&fix, NULL, 0), 0);
    head = fixture_head(&fix, NODE, &tx, 1, false);
    head->openings = old->openings;
    head->n_openings = old->n_openings;
    refused_item(fixture_seal(&fix, NODE, head, &tx, 1), HM_EPROOF_SPACE, "space");
}

static void test_space_of_another(void **state)
{
    struct hm_slice tx = register_tx();
    Hypermesh__BatchHead *head = fixture_head(&fix, NODE, &tx, 1, true);

    (void)state;
    /* Bob has no plot; his signature does not make the node's openings his. */
    head->node = wire_bytes(fix.people[BOB].id, 32);
    head->session_key = wire_bytes(fix.people[BOB].session.public_key, 32);
    refused_item(fixture_seal(&fix, BOB, head, &tx, 1), HM_EPROOF_SPACE, "committed no plot");
}

/* One byte more behind what would be right. */
static ProtobufCBinaryData longer(ProtobufCBinaryData bytes)
{
    uint8_t *copy = hm_arena_alloc(&fix.arena, bytes.len + 1);

    assert_non_null(copy);
    memcpy(copy, bytes.data, bytes.len);
    return wire_bytes(copy, bytes.len + 1);
}

static void test_batch_head(void **state)
{
    struct hm_slice tx = register_tx();
    struct hm_slice other = pay_tx(NULL);
    Hypermesh__BatchHead *head = fixture_head(&fix, NODE, &tx, 1, true);

    (void)state;
    /* Other transactions than those the head names. */
    refused_item(fixture_seal(&fix, NODE, head, &other, 1), HM_EINVAL, "tx_root");
    head = fixture_head(&fix, NODE, &tx, 1, true);
    head->timestamp_ms -= fix.params.time_window_ms + 1;
    refused_item(fixture_seal(&fix, NODE, head, &tx, 1), HM_EPROOF_TIME, "before block time");
    tx = register_tx();
    head = fixture_head(&fix, NODE, &tx, 1, true);
    head->anchor_hash.data[1] ^= 1;
    refused_item(fixture_seal(&fix, NODE, head, &tx, 1), HM_EPROOF_TIME, "anchor");
    tx = register_tx();
    head = fixture_head(&fix, NODE, &tx, 1, true);
    head->chain_id = (char *)(uintptr_t)("other");
    refused_item(fixture_seal(&fix, NODE, head, &tx, 1), HM_EINVAL, "is for chain \"other\"");
    tx = register_tx();
    head = fixture_head(&fix, NODE, &tx, 1, true);
    head->node = longer(head->node);
    refused_item(fixture_seal(&fix, NODE, head, &tx, 1), HM_EINVAL, "node has 33 bytes");
    tx = register_tx();
    head = fixture_head(&fix, NODE, &tx, 1, true);
    head->tx_root = longer(head->tx_root);
    refused_item(fixture_seal(&fix, NODE, head, &tx, 1), HM_EINVAL, "tx_root must have 32");
    tx = register_tx();
    head = fixture_head(&fix, NODE, &tx, 1, true);
    head->anchor_hash = longer(head->anchor_hash);
    refused_item(fixture_seal(&fix, NODE, head, &tx, 1), HM_EINVAL, "must have 32 bytes");
    /* Signed by somebody else with the node's name on it. */
    tx = register_tx();
    head = fixture_head(&fix, NODE, &tx, 1, true);
    refused_item(fixture_seal(&fix, BOB, head, &tx, 1), HM_EPROOF_STAKE, "session key's over this");
}

/* Without a signature only root-signed transactions that touch no asset may come. */
static void test_batch_unsigned(void **state)
{
    struct hm_slice tx = pay_tx(NULL);
    Hypermesh__Operation *op;

    (void)state;
    refused_item(fixture_seal_bare(&fix, fixture_head(&fix, NODE, &tx, 1, false), &tx, 1),
                 HM_EPROOF_STAKE, "the batch is not signed");
    op = op_register(&fix, "cpu0", 1, HYPERMESH__PRIVACY_LEVEL__PRIVATE);
    tx = fixture_root_tx(&fix, ALICE, &op, 1);
    refused_item(fixture_seal_bare(&fix, fixture_head(&fix, NODE, &tx, 1, false), &tx, 1),
                 HM_EPROOF_STAKE, "the batch is not signed");
    tx = fixture_root_tx(&fix, ALICE, &op, 1);
    refused_item(fixture_seal_bare(&fix, fixture_head(&fix, NODE, &tx, 1, true), &tx, 1),
                 HM_EPROOF_STAKE, "the batch is not signed");
    op = op_transfer(&fix, BOB, 1);
    tx = fixture_root_tx(&fix, ALICE, &op, 1);
    assert_int_equal(fixture_block(&fix,
                                   (struct hm_slice[]){fixture_seal_bare(
                                       &fix, fixture_head(&fix, NODE, &tx, 1, false), &tx, 1)},
                                   1),
                     0);
    assert_int_equal(fix.record->results[0]->code, 0);
}

/* One transaction that does not parse spoils its batch, and only that. */
static void test_batch_garbage(void **state)
{
    struct hm_slice txs[2] = {pay_tx(NULL), hm_slice_str("nonsense")};
    Hypermesh__Batch batch = HYPERMESH__BATCH__INIT;
    Hypermesh__BatchHead *head = fixture_head(&fix, NODE, txs, 1, false);
    struct hm_slice bytes = fixture_pack(&fix, &head->base);
    ProtobufCBinaryData list[2] = {wire_bytes(txs[0].data, txs[0].len),
                                   wire_bytes(txs[1].data, txs[1].len)};
    struct hm_slice garbage = hm_slice_str("\x01\x02 not a batch");

    (void)state;
    batch.head = wire_bytes(bytes.data, bytes.len);
    batch.txs = list;
    batch.n_txs = 2;
    refused_item(fixture_pack(&fix, &batch.base), HM_EPARSE, "transaction 1");
    assert_int_equal(fixture_block(&fix, &garbage, 1), 0);
    assert_int_equal(fix.record->n_results, 0);
}

/* Small bytes that unfold to much: refused like anything else, not a failure of the block. */
static void test_unfolding(void **state)
{
    enum { COUNT = 60000 };
    static Hypermesh__ResourceTransaction used = HYPERMESH__RESOURCE_TRANSACTION__INIT;
    static Hypermesh__ResourceTransaction *usage[COUNT];
    static Hypermesh__Operation nothing = HYPERMESH__OPERATION__INIT;
    static Hypermesh__Operation *ops[COUNT];
    static ProtobufCBinaryData txs[COUNT];
    Hypermesh__Operation *settle = op_settle(&fix, fix.people[BOB].id);
    Hypermesh__Batch batch = HYPERMESH__BATCH__INIT;
    Hypermesh__TxBody *body;
    struct hm_slice item;

    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        usage[i] = &used;
        ops[i] = &nothing;
        txs[i] = wire_bytes("", 0);
    }
    pay_tx(&body);
    body->ops = ops;
    body->n_ops = COUNT;
    refused_tx(signed_body(body), HM_ELIMIT, "1 to 64 operations, this has 60000");
    settle->settle->usage = usage;
    settle->settle->n_usage = COUNT;
    body = fixture_body(&fix, ALICE, &settle, 1);
    body->fee_limit = UINT64_MAX;
    assert_int_equal(fixture_block_txs(&fix, (struct hm_slice[]){signed_body(body)}, 1), 0);
    assert_int_equal(fix.record->results[0]->code, HM_ENOTFOUND);
    batch.txs = txs;
    batch.n_txs = COUNT;
    item = fixture_pack(&fix, &batch.base);
    assert_int_equal(fixture_block(&fix, &item, 1), 0);
    assert_int_equal(fix.record->n_results, 0);
    /* A body that does not parse inside a transaction that does. */
    batch.n_txs = 1;
    item = fixture_pack(&fix, &batch.base);
    assert_int_equal(fixture_block(&fix, &item, 1), 0);
    assert_int_equal(fix.record->n_results, 1);
    assert_int_equal(fix.record->results[0]->code, HM_EINVAL);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, check_setup, check_teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_signature_forged),
        CASE(test_signature_moved),
        CASE(test_signature_cache),
        CASE(test_foreign_session),
        CASE(test_session_expired),
        CASE(test_session_over_at_the_door),
        CASE(test_session_revoked),
        CASE(test_scope),
        CASE(test_grant_needs_root),
        CASE(test_root_forged),
        CASE(test_bond_missing),
        CASE(test_work_missing),
        cmocka_unit_test_setup_teardown(test_work_rises, setup_slow, check_teardown),
        CASE(test_time_window),
        CASE(test_anchor),
        cmocka_unit_test_setup_teardown(test_anchor_old, setup_short, check_teardown),
        CASE(test_replayed),
        CASE(test_presence),
        CASE(test_space_missing),
        CASE(test_space_forged),
        CASE(test_space_moved),
        CASE(test_space_stale),
        CASE(test_space_of_another),
        CASE(test_batch_head),
        CASE(test_batch_unsigned),
        CASE(test_batch_garbage),
        CASE(test_unfolding),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
