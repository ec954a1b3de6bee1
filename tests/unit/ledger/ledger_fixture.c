#include "ledger_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A test that cannot even be set up must not go on. */
static void must(bool ok, struct fixture *fixture, const char *what)
{
    if (ok)
        return;
    (void)fprintf(stderr, "fixture: %s failed: %s\n", what, fixture->error.text);
    if (fixture->status_on_failure != 0)
        _exit(fixture->status_on_failure);
    abort();
}

void *fixture_take(struct fixture *fixture, size_t size)
{
    void *memory = hm_arena_alloc(&fixture->arena, size);

    must(memory != NULL, fixture, "memory");
    return memory;
}

ProtobufCBinaryData fixture_keep(struct fixture *fixture, const void *data, size_t len)
{
    uint8_t *copy = fixture_take(fixture, len + 1);

    if (len > 0)
        memcpy(copy, data, len);
    return wire_bytes(copy, len);
}

void *fixture_new(struct fixture *fixture, const ProtobufCMessageDescriptor *descriptor)
{
    void *message = fixture_take(fixture, descriptor->sizeof_message);

    protobuf_c_message_init(descriptor, message);
    return message;
}

const struct store_options *fixture_store_options(void)
{
    static const struct store_options options = {.tables = ledger_table_names,
                                                 .table_count = LEDGER_TABLE_COUNT};

    return &options;
}

/* --- people --- */

static void seed_make(const char *what, unsigned number, uint8_t seed[32])
{
    char text[64];

    (void)snprintf(text, sizeof text, "fixture %s %u", what, number);
    crypto_hash(text, strlen(text), seed);
}

static void person_make(struct fixture *fixture, unsigned number)
{
    struct fixture_person *person = &fixture->people[number];
    uint8_t first[32];
    uint8_t second[32];

    seed_make("ed25519", number, first);
    seed_make("mldsa65", number, second);
    must(crypto_root_key_new(first, second, &person->root, &fixture->error) == 0, fixture,
         "root key");
    crypto_root_key_public(person->root, &person->root_public);
    proof_account_id(&person->root_public, person->id);
    seed_make("session", number, first);
    crypto_ed25519_from_seed(&person->session, first);
}

/* Everybody reads and writes; but below b/ only Bob writes, and only he and Carol read. */
static Hypermesh__KvRule **kv_rules(struct fixture *fixture, size_t *count)
{
    Hypermesh__KvRule **rules = fixture_take(fixture, 2 * sizeof(Hypermesh__KvRule *));

    for (size_t i = 0; i < 2; i++) {
        rules[i] = fixture_take(fixture, sizeof *rules[i]);
        *rules[i] = (Hypermesh__KvRule)HYPERMESH__KV_RULE__INIT;
        rules[i]->owner = wire_bytes(fixture->people[i == 0 ? ALICE : BOB].id, 32);
    }
    rules[0]->anyone_writes = true;
    rules[1]->prefix = fixture_keep(fixture, "b/", 2);
    rules[1]->readers = fixture_take(fixture, sizeof *rules[1]->readers);
    rules[1]->readers[0] = wire_bytes(fixture->people[CAROL].id, 32);
    rules[1]->n_readers = 1;
    *count = 2;
    return rules;
}

struct hm_slice fixture_genesis(struct fixture *fixture)
{
    Hypermesh__Genesis genesis = HYPERMESH__GENESIS__INIT;
    Hypermesh__GenesisShare *shares[FIXTURE_PEOPLE];
    size_t count = POOR; /* the last has nothing */

    for (size_t i = 0; i < count; i++) {
        shares[i] = fixture_take(fixture, sizeof *shares[i]);
        *shares[i] = (Hypermesh__GenesisShare)HYPERMESH__GENESIS_SHARE__INIT;
        shares[i]->name = (char *)(uintptr_t)("person");
        shares[i]->percent = i == 0 ? 40 : 10;
        shares[i]->account = wire_bytes(fixture->people[i].id, 32);
    }
    genesis.chain_id = (char *)(uintptr_t)FIXTURE_CHAIN;
    genesis.time_ms = FIXTURE_START_MS;
    genesis.supply = FIXTURE_SUPPLY;
    genesis.shares = shares;
    genesis.n_shares = count;
    genesis.params = &fixture->params;
    genesis.kv_rules = kv_rules(fixture, &genesis.n_kv_rules);
    return fixture_pack(fixture, &genesis.base);
}

static int plot_make(struct fixture *fixture)
{
    char folder[] = "/tmp/hm-ledger-XXXXXX";
    char path[64];
    int rc;

    must(mkdtemp(folder) != NULL, fixture, "temporary folder");
    (void)snprintf(path, sizeof path, "%s/plot", folder);
    rc = proof_plot_create(path, fixture->people[NODE].id, FIXTURE_LABELS, 64, NULL, NULL,
                           &fixture->error);
    if (rc == 0)
        rc = proof_plot_open(path, fixture->people[NODE].id, &fixture->plot, &fixture->error);
    /* The open file stays readable; a test that aborts leaves nothing behind. */
    (void)hm_remove_tree(folder, NULL);
    return rc;
}

/* Everybody's session and bond in one block without signature, then the node's plot with it. */
static int people_settle(struct fixture *fixture)
{
    struct hm_slice txs[FIXTURE_PEOPLE];
    Hypermesh__BatchHead *head;
    struct hm_slice item;
    int rc;

    for (unsigned i = 0; i < POOR; i++) {
        Hypermesh__Operation *ops[3] = {
            op_grant(fixture, fixture->people[i].session.public_key,
                     ledger_scope_taken(fixture->ledger),
                     fixture->next_ms + fixture->params.session_max_ms),
            op_bond(fixture, 1000 * FIXTURE_HYPER),
            i == NODE ? op_space(fixture) : NULL,
        };

        txs[i] = fixture_root_tx(fixture, (enum fixture_role)i, ops, i == NODE ? 3 : 2);
    }
    head = fixture_head(fixture, NODE, txs, POOR, false);
    item = fixture_seal_bare(fixture, head, txs, POOR);
    rc = fixture_block(fixture, &item, 1);
    for (size_t i = 0; rc == 0 && i < fixture->record->n_results; i++) {
        if (fixture->record->results[i]->code)
            rc = hm_fail(&fixture->error, fixture->record->results[i]->code, "%s",
                         fixture->record->results[i]->text);
    }
    return rc;
}

int fixture_init(struct fixture *fixture, const struct fixture_options *options)
{
    struct store_options lmdb = *fixture_store_options();
    int rc;

    *fixture = (struct fixture){.next_ms = FIXTURE_START_MS + FIXTURE_BLOCK_MS};
    hm_arena_init(&fixture->arena, (size_t)4 << 30);
    must(crypto_setup(&fixture->error) == 0, fixture, "crypto");
    for (unsigned i = 0; i < FIXTURE_PEOPLE; i++)
        person_make(fixture, i);
    ledger_default_params(&fixture->params);
    fixture->params.work_base_bits = 4;
    if (options && options->params)
        options->params(&fixture->params);
    rc = plot_make(fixture);
    lmdb.deferred = options && options->deferred;
    if (rc == 0 && options && options->lmdb_path)
        rc = store_open_lmdb(options->lmdb_path, &lmdb, &fixture->store, &fixture->error);
    else if (rc == 0)
        rc = store_open_memory(fixture_store_options(), &fixture->store, &fixture->error);
    if (rc == 0)
        rc = ledger_open(fixture->store, &fixture->ledger, &fixture->error);
    if (rc == 0)
        rc = ledger_init_chain(fixture->ledger, fixture_genesis(fixture), &fixture->error);
    if (rc == 0 && !(options && options->bare))
        rc = people_settle(fixture);
    return rc;
}

int fixture_restart(struct fixture *fixture)
{
    int rc;

    ledger_close(HM_TAKE(fixture->ledger));
    store_close(HM_TAKE(fixture->store));
    fixture_forget(fixture);
    fixture->next_ms = FIXTURE_START_MS + FIXTURE_BLOCK_MS;
    for (size_t i = 0; i < FIXTURE_PEOPLE; i++)
        memset(fixture->people[i].presence, 0, sizeof fixture->people[i].presence);
    rc = store_open_memory(fixture_store_options(), &fixture->store, &fixture->error);
    if (rc == 0)
        rc = ledger_open(fixture->store, &fixture->ledger, &fixture->error);
    if (rc == 0)
        rc = ledger_init_chain(fixture->ledger, fixture_genesis(fixture), &fixture->error);
    return rc ? rc : people_settle(fixture);
}

void fixture_release(struct fixture *fixture)
{
    ledger_close(fixture->ledger);
    store_close(fixture->store);
    proof_plot_close(fixture->plot);
    for (size_t i = 0; i < FIXTURE_PEOPLE; i++)
        crypto_root_key_free(fixture->people[i].root);
    hm_arena_release(&fixture->arena);
}

void fixture_forget(struct fixture *fixture)
{
    hm_arena_clear(&fixture->arena);
    fixture->record = NULL;
}

/* --- transactions --- */

struct hm_slice fixture_pack(struct fixture *fixture, const ProtobufCMessage *message)
{
    HM_CLEANUP(hm_buf) struct hm_buf buf = {0};

    must(wire_pack(message, &buf) == 0, fixture, "pack");
    return wire_slice(fixture_keep(fixture, buf.data, buf.len));
}

Hypermesh__TxBody *fixture_body(struct fixture *fixture, enum fixture_role who,
                                Hypermesh__Operation *const *ops, size_t count)
{
    Hypermesh__TxBody *body = fixture_take(fixture, sizeof *body);
    struct ledger_info info;

    must(ledger_info(fixture->ledger, &info, &fixture->error) == 0, fixture, "info");
    *body = (Hypermesh__TxBody)HYPERMESH__TX_BODY__INIT;
    body->chain_id = (char *)(uintptr_t)FIXTURE_CHAIN;
    body->account = wire_bytes(fixture->people[who].id, 32);
    body->session_key = wire_bytes(fixture->people[who].session.public_key, 32);
    body->presence = fixture_keep(fixture, fixture->people[who].presence, 32);
    body->fee_limit = FIXTURE_HYPER;
    body->anchor_height = info.height;
    body->anchor_hash = fixture_keep(fixture, info.block_hash, 32);
    body->timestamp_ms = fixture->next_ms;
    body->n_ops = count;
    body->ops = fixture_take(fixture, count * sizeof *ops);
    memcpy(body->ops, ops, count * sizeof *ops);
    return body;
}

static unsigned work_bits(struct fixture *fixture, const Hypermesh__TxBody *body)
{
    struct ledger_signing signing;
    struct ledger_view *view;

    must(ledger_view_open(fixture->ledger, &view, &fixture->error) == 0, fixture, "view");
    must(ledger_view_signing(view, body->account.data, fixture->next_ms, &signing,
                             &fixture->error) == 0,
         fixture, "signing");
    ledger_view_close(view);
    return signing.work_bits;
}

static void sign_root(struct fixture *fixture, struct fixture_person *person, Hypermesh__Tx *tx,
                      const uint8_t digest[32])
{
    struct crypto_root_signature signature;
    Hypermesh__RootAuth *root = fixture_take(fixture, sizeof *root);

    must(crypto_root_sign(person->root, digest, 32, &signature, &fixture->error) == 0, fixture,
         "root signature");
    *root = (Hypermesh__RootAuth)HYPERMESH__ROOT_AUTH__INIT;
    root->ed25519_public = wire_bytes(person->root_public.ed25519, CRYPTO_ED25519_PUBLIC_BYTES);
    root->mldsa65_public = wire_bytes(person->root_public.mldsa65, CRYPTO_MLDSA65_PUBLIC_BYTES);
    root->ed25519_signature = fixture_keep(fixture, signature.ed25519, sizeof signature.ed25519);
    root->mldsa65_signature = fixture_keep(fixture, signature.mldsa65, sizeof signature.mldsa65);
    tx->root = root;
}

Hypermesh__Tx *fixture_sign(struct fixture *fixture, enum fixture_role who, Hypermesh__TxBody *body,
                            bool by_root)
{
    struct fixture_person *person = &fixture->people[who];
    Hypermesh__Tx *tx = fixture_take(fixture, sizeof *tx);
    uint8_t signature[CRYPTO_ED25519_SIGNATURE_BYTES];
    uint8_t body_digest[32];
    uint8_t digest[32];
    struct hm_slice bytes;

    *tx = (Hypermesh__Tx)HYPERMESH__TX__INIT;
    if (by_root)
        body->session_key = (ProtobufCBinaryData){0};
    bytes = fixture_pack(fixture, &body->base);
    tx->body = wire_bytes(bytes.data, bytes.len);
    proof_body_digest(bytes, body_digest);
    must(proof_work_solve(body_digest, work_bits(fixture, body), &tx->work_nonce, digest,
                          &fixture->error) == 0,
         fixture, "work");
    if (by_root) {
        sign_root(fixture, person, tx, digest);
    } else {
        crypto_ed25519_sign(&person->session, digest, sizeof digest, signature);
        tx->signature = fixture_keep(fixture, signature, sizeof signature);
    }
    proof_presence_next(person->presence, digest, person->presence);
    return tx;
}

struct hm_slice fixture_tx(struct fixture *fixture, enum fixture_role who,
                           Hypermesh__Operation *const *ops, size_t count)
{
    Hypermesh__TxBody *body = fixture_body(fixture, who, ops, count);

    return fixture_pack(fixture, &fixture_sign(fixture, who, body, false)->base);
}

struct hm_slice fixture_root_tx(struct fixture *fixture, enum fixture_role who,
                                Hypermesh__Operation *const *ops, size_t count)
{
    Hypermesh__TxBody *body = fixture_body(fixture, who, ops, count);

    return fixture_pack(fixture, &fixture_sign(fixture, who, body, true)->base);
}

void fixture_tx_digest(struct hm_slice bytes, uint8_t digest[32])
{
    uint8_t body_digest[32];
    Hypermesh__Tx *tx = NULL;
    struct hm_arena arena;

    hm_arena_init(&arena, 0);
    if (WIRE_UNPACK(hypermesh__tx, bytes, bytes.len, &arena, &tx, NULL))
        abort();
    proof_body_digest(wire_slice(tx->body), body_digest);
    proof_tx_digest(body_digest, tx->work_nonce, digest);
    hm_arena_release(&arena);
}

/* --- batches --- */

Hypermesh__BatchHead *fixture_head(struct fixture *fixture, enum fixture_role node,
                                   const struct hm_slice *txs, size_t count, bool with_space)
{
    Hypermesh__BatchHead *head = fixture_take(fixture, sizeof *head);
    uint8_t *digests = fixture_take(fixture, count * 32 + 1);
    uint8_t challenge[32];
    uint8_t root[32];
    struct ledger_info info;

    must(ledger_info(fixture->ledger, &info, &fixture->error) == 0, fixture, "info");
    for (size_t i = 0; i < count; i++)
        fixture_tx_digest(txs[i], digests + i * 32);
    crypto_merkle_root(digests, count, root);
    *head = (Hypermesh__BatchHead)HYPERMESH__BATCH_HEAD__INIT;
    head->chain_id = (char *)(uintptr_t)FIXTURE_CHAIN;
    head->node = wire_bytes(fixture->people[node].id, 32);
    head->session_key = wire_bytes(fixture->people[node].session.public_key, 32);
    head->anchor_height = info.height;
    head->anchor_hash = fixture_keep(fixture, info.block_hash, 32);
    head->timestamp_ms = fixture->next_ms;
    head->tx_root = fixture_keep(fixture, root, 32);
    if (!with_space)
        return head;
    proof_space_challenge(info.block_hash, root, fixture->people[node].id, challenge);
    must(proof_plot_open_at(fixture->plot, challenge, fixture->params.space_openings, false,
                            &fixture->arena, &head->openings, &fixture->error) == 0,
         fixture, "openings");
    head->n_openings = fixture->params.space_openings;
    return head;
}

static struct hm_slice seal(struct fixture *fixture, const struct crypto_ed25519_key *key,
                            Hypermesh__BatchHead *head, const struct hm_slice *txs, size_t count)
{
    Hypermesh__Batch batch = HYPERMESH__BATCH__INIT;
    struct hm_slice bytes = fixture_pack(fixture, &head->base);
    uint8_t signature[CRYPTO_ED25519_SIGNATURE_BYTES];
    uint8_t digest[32];

    batch.head = wire_bytes(bytes.data, bytes.len);
    if (key) {
        proof_batch_digest(bytes, digest);
        crypto_ed25519_sign(key, digest, sizeof digest, signature);
        batch.signature = wire_bytes(signature, sizeof signature);
    }
    batch.n_txs = count;
    batch.txs = fixture_take(fixture, count * sizeof *batch.txs + 1);
    for (size_t i = 0; i < count; i++)
        batch.txs[i] = wire_bytes(txs[i].data, txs[i].len);
    return fixture_pack(fixture, &batch.base);
}

struct hm_slice fixture_seal(struct fixture *fixture, enum fixture_role node,
                             Hypermesh__BatchHead *head, const struct hm_slice *txs, size_t count)
{
    return seal(fixture, &fixture->people[node].session, head, txs, count);
}

struct hm_slice fixture_seal_bare(struct fixture *fixture, Hypermesh__BatchHead *head,
                                  const struct hm_slice *txs, size_t count)
{
    head->session_key = (ProtobufCBinaryData){0};
    return seal(fixture, NULL, head, txs, count);
}

struct hm_slice fixture_batch(struct fixture *fixture, const struct hm_slice *txs, size_t count)
{
    Hypermesh__BatchHead *head = fixture_head(fixture, NODE, txs, count, true);

    return fixture_seal(fixture, NODE, head, txs, count);
}

/* --- blocks --- */

void fixture_propose(struct fixture *fixture, const struct hm_slice *items, size_t count,
                     struct ledger_proposal *out)
{
    Hypermesh__BlockHeader header = HYPERMESH__BLOCK_HEADER__INIT;
    Hypermesh__EngineFacts engine = HYPERMESH__ENGINE_FACTS__INIT;
    uint8_t *hashes = fixture_take(fixture, count * 32 + 1);
    uint8_t root[32];
    struct ledger_info info;

    must(ledger_info(fixture->ledger, &info, &fixture->error) == 0, fixture, "info");
    for (size_t i = 0; i < count; i++)
        crypto_hash(items[i].data, items[i].len, hashes + i * 32);
    crypto_merkle_root(hashes, count, root);
    header.chain_id = (char *)(uintptr_t)FIXTURE_CHAIN;
    header.height = info.height + 1;
    header.time_ms = fixture->next_ms;
    header.previous_hash = wire_bytes(info.block_hash, 32);
    header.previous_state_root = wire_bytes(info.state_root, 32);
    header.data_root = wire_bytes(root, 32);
    engine.hash = header.data_root; /* any will do */
    engine.next_validators_hash = header.data_root;
    engine.proposer = wire_bytes(root, 20);
    engine.bft_time_ms = fixture->next_ms;
    header.engine = fixture->cluster ? &engine : NULL;
    *out = (struct ledger_proposal){.height = info.height + 1,
                                    .time_ms = fixture->next_ms,
                                    .header = fixture_pack(fixture, &header.base),
                                    .items = items,
                                    .count = count};
    proof_block_hash(out->header, out->hash);
}

static void record_read(struct fixture *fixture, uint64_t height)
{
    struct ledger_view *view;
    struct hm_slice block;

    must(ledger_view_open(fixture->ledger, &view, &fixture->error) == 0, fixture, "view");
    must(ledger_view_block(view, height, &fixture->arena, &block, &fixture->record,
                           &fixture->error) == 0,
         fixture, "record");
    ledger_view_close(view);
}

int fixture_block(struct fixture *fixture, const struct hm_slice *items, size_t count)
{
    struct ledger_proposal proposal;
    struct ledger_outcome outcome;
    int rc;

    fixture_propose(fixture, items, count, &proposal);
    rc = ledger_finalize(fixture->ledger, &proposal, &outcome, &fixture->error);
    if (rc == 0)
        rc = ledger_commit(fixture->ledger, &fixture->error);
    if (rc)
        return rc;
    record_read(fixture, proposal.height);
    fixture->next_ms += FIXTURE_BLOCK_MS;
    return 0;
}

int fixture_block_txs(struct fixture *fixture, const struct hm_slice *txs, size_t count)
{
    struct hm_slice item = fixture_batch(fixture, txs, count);

    return fixture_block(fixture, &item, 1);
}

Hypermesh__TxResult *fixture_do_many(struct fixture *fixture, enum fixture_role who,
                                     Hypermesh__Operation *const *ops, size_t count)
{
    struct hm_slice tx = fixture_tx(fixture, who, ops, count);

    if (fixture_block_txs(fixture, &tx, 1) || fixture->record->n_results != 1)
        return NULL;
    fixture_resync(fixture);
    return fixture->record->results[0];
}

Hypermesh__TxResult *fixture_do(struct fixture *fixture, enum fixture_role who,
                                Hypermesh__Operation *op)
{
    return fixture_do_many(fixture, who, &op, 1);
}

void fixture_resync(struct fixture *fixture)
{
    for (unsigned i = 0; i < FIXTURE_PEOPLE; i++)
        memcpy(fixture->people[i].presence,
               fixture_account(fixture, (enum fixture_role)i)->presence.data, 32);
}

/* --- reading --- */

Hypermesh__Account *fixture_account(struct fixture *fixture, enum fixture_role who)
{
    Hypermesh__Account *account;
    struct ledger_view *view;

    must(ledger_view_open(fixture->ledger, &view, &fixture->error) == 0, fixture, "view");
    must(ledger_view_account(view, fixture->people[who].id, &fixture->arena, &account,
                             &fixture->error) == 0,
         fixture, "account");
    ledger_view_close(view);
    return account;
}

Hypermesh__Asset *fixture_asset(struct fixture *fixture, const uint8_t id[32])
{
    Hypermesh__Asset *asset = NULL;
    struct ledger_view *view;
    int rc;

    must(ledger_view_open(fixture->ledger, &view, &fixture->error) == 0, fixture, "view");
    rc = ledger_view_asset(view, id, &fixture->arena, &asset, &fixture->error);
    must(rc == 0 || rc == HM_ENOTFOUND, fixture, "asset");
    ledger_view_close(view);
    return asset;
}

Hypermesh__Lease *fixture_lease(struct fixture *fixture, const uint8_t id[32])
{
    Hypermesh__Lease *lease = NULL;
    struct ledger_view *view;
    int rc;

    must(ledger_view_open(fixture->ledger, &view, &fixture->error) == 0, fixture, "view");
    rc = ledger_view_lease(view, id, &fixture->arena, &lease, &fixture->error);
    must(rc == 0 || rc == HM_ENOTFOUND, fixture, "lease");
    ledger_view_close(view);
    return lease;
}

Hypermesh__Supply *fixture_supply(struct fixture *fixture)
{
    Hypermesh__Supply *supply;
    struct ledger_view *view;

    must(ledger_view_open(fixture->ledger, &view, &fixture->error) == 0, fixture, "view");
    must(ledger_view_supply(view, &fixture->arena, &supply, &fixture->error) == 0, fixture,
         "supply");
    ledger_view_close(view);
    return supply;
}

Hypermesh__Network *fixture_network(struct fixture *fixture, const uint8_t id[32])
{
    Hypermesh__Network *network = NULL;
    struct ledger_view *view;
    int rc;

    must(ledger_view_open(fixture->ledger, &view, &fixture->error) == 0, fixture, "view");
    rc = ledger_view_network(view, id, &fixture->arena, &network, &fixture->error);
    must(rc == 0 || rc == HM_ENOTFOUND, fixture, "network");
    ledger_view_close(view);
    return network;
}

Hypermesh__Challenge *fixture_challenge(struct fixture *fixture, const uint8_t id[32])
{
    Hypermesh__Challenge *challenge = NULL;
    struct ledger_view *view;
    int rc;

    must(ledger_view_open(fixture->ledger, &view, &fixture->error) == 0, fixture, "view");
    rc = ledger_view_challenge(view, id, &fixture->arena, &challenge, &fixture->error);
    must(rc == 0 || rc == HM_ENOTFOUND, fixture, "challenge");
    ledger_view_close(view);
    return challenge;
}

Hypermesh__MemberState fixture_member(struct fixture *fixture, const uint8_t network[32],
                                      enum fixture_role who)
{
    Hypermesh__MemberState state = HYPERMESH__MEMBER_STATE__MEMBER_NONE;
    Hypermesh__Member **members;
    struct ledger_view *view;
    size_t count;

    must(ledger_view_open(fixture->ledger, &view, &fixture->error) == 0, fixture, "view");
    must(ledger_view_members(view, network, NULL, LEDGER_PAGE_MAX, &fixture->arena, &members,
                             &count, &fixture->error) == 0,
         fixture, "members");
    for (size_t i = 0; i < count; i++) {
        if (memcmp(members[i]->account.data, fixture->people[who].id, 32) == 0)
            state = members[i]->state;
    }
    ledger_view_close(view);
    return state;
}

void fixture_asset_id(const struct fixture *fixture, enum fixture_role owner,
                      const char *hardware_id, uint8_t id[32])
{
    proof_asset_id(fixture->people[owner].id, HYPERMESH__ASSET_KIND__CPU, hardware_id, id);
}
