/* Asset operations from submit to durable answer: operations per second, median and 99th percentile with 1, 8
 * and 64 clients, each with one operation on its way at a time. Beside it what the disk alone takes: 4 KiB
 * written over and synced.
 *
 *   bench_engine [DIR [nolog]]   DIR: where to make the store, default $TMPDIR or /tmp; nolog: without a block
 *                                log, so that the store syncs every block
 *
 * An operation is an AssetUpdate signed by a session key, with all four proofs; signing and Work are the
 * client's and not in the times. The sealer opens the plot and signs each batch, as a node does. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine.h"
#include "ledger_fixture.h"

#define CLIENTS_MAX      64
#define SECONDS_PER_CASE 4.0
#define SAMPLES_MAX      200000
#define SYNCS            500

struct client {
    pthread_t thread;
    struct crypto_root_key *root;
    struct crypto_root_public root_public;
    struct crypto_ed25519_key session;
    uint8_t id[32];
    uint8_t asset[32];
    uint8_t presence[32];
    double *samples; /* seconds */
    size_t count;
};

static struct fixture chain;
static struct client clients[CLIENTS_MAX];
static struct engine *engine;
static uint64_t began_ns;
static double ends; /* of the case under way; set before its threads start */

static double now(void)
{
    return (double)hm_mono_ns(hm_clock_system()) / 1e9;
}

static void must(int rc, const struct hm_error *error)
{
    if (rc == 0)
        return;
    (void)fprintf(stderr, "bench_engine: %s\n", error->text);
    exit(1);
}

/* The fixture's chain begins years ago: its time goes on from there. */
static uint64_t chain_wall_ms(void *ctx)
{
    (void)ctx;
    return chain.next_ms + (hm_mono_ns(hm_clock_system()) - began_ns) / 1000000;
}

static uint64_t chain_mono_ns(void *ctx)
{
    (void)ctx;
    return hm_mono_ns(hm_clock_system());
}

static const struct hm_clock chain_clock = {chain_wall_ms, chain_mono_ns, NULL};

static void bench_params(Hypermesh__Params *params)
{
    params->work_free_txs = 1000000;
    params->base_fee_minimum = 1;
    params->base_fee_initial = 1;
}

/* --- transactions --------------------------------------------------------------------------------- */

static void tx_make(struct client *client, Hypermesh__Operation *const *ops, size_t count,
                    bool by_root, struct hm_buf *out)
{
    HM_CLEANUP(hm_buf) struct hm_buf body_bytes = {0};
    Hypermesh__TxBody body = HYPERMESH__TX_BODY__INIT;
    Hypermesh__RootAuth root = HYPERMESH__ROOT_AUTH__INIT;
    Hypermesh__Tx tx = HYPERMESH__TX__INIT;
    struct crypto_root_signature root_signature;
    uint8_t body_digest[32], digest[32], signature[64];
    struct ledger_info info;
    struct hm_error error = {0};

    must(ledger_info(chain.ledger, &info, &error), &error);
    body.chain_id = info.chain_id;
    body.account = wire_bytes(client->id, 32);
    if (!by_root)
        body.session_key = wire_bytes(client->session.public_key, 32);
    body.presence = wire_bytes(client->presence, 32);
    body.fee_limit = FIXTURE_HYPER;
    body.anchor_height = info.height;
    body.anchor_hash = wire_bytes(info.block_hash, 32);
    body.timestamp_ms = chain_wall_ms(NULL);
    body.n_ops = count;
    body.ops = (Hypermesh__Operation **)(uintptr_t)ops;
    must(wire_pack(&body.base, &body_bytes), &error);
    proof_body_digest(hm_buf_slice(&body_bytes), body_digest);
    must(proof_work_solve(body_digest, chain.params.work_base_bits, &tx.work_nonce, digest, &error),
         &error);
    tx.body = wire_bytes(body_bytes.data, body_bytes.len);
    if (by_root) {
        must(crypto_root_sign(client->root, digest, 32, &root_signature, &error), &error);
        root.ed25519_public = wire_bytes(client->root_public.ed25519, 32);
        root.mldsa65_public = wire_bytes(client->root_public.mldsa65,
                                         sizeof client->root_public.mldsa65);
        root.ed25519_signature = wire_bytes(root_signature.ed25519, 64);
        root.mldsa65_signature = wire_bytes(root_signature.mldsa65, sizeof root_signature.mldsa65);
        tx.root = &root;
    } else {
        crypto_ed25519_sign(&client->session, digest, 32, signature);
        tx.signature = wire_bytes(signature, 64);
    }
    hm_buf_clear(out);
    must(wire_pack(&tx.base, out), &error);
    proof_presence_next(client->presence, digest, client->presence);
}

static int head_make(const struct hm_slice *txs, size_t count, struct hm_arena *arena,
                     struct hm_buf *out, struct hm_error *error)
{
    const struct fixture_person *node = &chain.people[NODE];
    Hypermesh__BatchHead head = HYPERMESH__BATCH_HEAD__INIT;
    uint8_t *digests = hm_arena_alloc(arena, count * 32);
    uint8_t challenge[32], root[32];
    struct ledger_info info;
    int rc = ledger_info(chain.ledger, &info, error);

    if (rc != 0)
        return rc;
    for (size_t i = 0; i < count; i++)
        fixture_tx_digest(txs[i], digests + i * 32);
    crypto_merkle_root(digests, count, root);
    head.chain_id = info.chain_id;
    head.node = wire_bytes(node->id, 32);
    head.session_key = wire_bytes(node->session.public_key, 32);
    head.anchor_height = info.height;
    head.anchor_hash = wire_bytes(info.block_hash, 32);
    head.timestamp_ms = chain_wall_ms(NULL);
    head.tx_root = wire_bytes(root, 32);
    proof_space_challenge(info.block_hash, root, node->id, challenge);
    head.n_openings = chain.params.space_openings;
    rc = proof_plot_open_at(chain.plot, challenge, head.n_openings, false, arena, &head.openings,
                            error);
    return rc != 0 ? rc : wire_pack(&head.base, out);
}

static int seal(void *ctx, const struct hm_slice *txs, size_t count, struct hm_buf *out,
                struct hm_error *error)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    HM_CLEANUP(hm_buf) struct hm_buf head = {0};
    Hypermesh__Batch batch = HYPERMESH__BATCH__INIT;
    uint8_t digest[32], signature[64];

    (void)ctx;
    hm_arena_init(&arena, 0);
    int rc = head_make(txs, count, &arena, &head, error);
    if (rc != 0)
        return rc;
    proof_batch_digest(hm_buf_slice(&head), digest);
    crypto_ed25519_sign(&chain.people[NODE].session, digest, 32, signature);
    batch.head = wire_bytes(head.data, head.len);
    batch.signature = wire_bytes(signature, 64);
    batch.n_txs = count;
    batch.txs = hm_arena_alloc(&arena, count * sizeof *batch.txs);
    for (size_t i = 0; i < count; i++)
        batch.txs[i] = wire_bytes(txs[i].data, txs[i].len);
    return wire_pack(&batch.base, out);
}

/* --- clients ----------------------------------------------------------------------------------------- */

static void order(struct client *client, Hypermesh__Operation *const *ops, size_t count,
                  bool by_root)
{
    HM_CLEANUP(hm_buf) struct hm_buf tx = {0};
    struct engine_receipt receipt;
    struct hm_error error = {0};

    tx_make(client, ops, count, by_root, &tx);
    double start = now();
    must(engine_submit_wait(engine, hm_buf_slice(&tx), &receipt, &error), &error);
    if (client->count < SAMPLES_MAX)
        client->samples[client->count++] = now() - start;
    if (receipt.code != 0)
        must(hm_fail(&error, receipt.code, "%s", receipt.text), &error);
}

/* Keys, money from ALICE, a session, a bond and an asset. */
static void client_make(struct client *client, uint8_t number)
{
    uint8_t seed[32] = {number, 1};
    uint8_t second[32] = {number, 2};
    struct hm_error error = {0};

    must(crypto_root_key_new(seed, second, &client->root, &error), &error);
    crypto_root_key_public(client->root, &client->root_public);
    crypto_root_id(&client->root_public, client->id);
    seed[1] = 3;
    crypto_ed25519_from_seed(&client->session, seed);
    client->samples = hm_calloc(SAMPLES_MAX, sizeof *client->samples);
    proof_asset_id(client->id, HYPERMESH__ASSET_KIND__CPU, "cpu", client->asset);

    Hypermesh__Operation *pay = op_transfer(&chain, ALICE, 2000 * FIXTURE_HYPER);
    pay->transfer->to = wire_bytes(client->id, 32);
    struct hm_slice tx = fixture_tx(&chain, ALICE, &pay, 1);
    struct engine_receipt receipt;
    must(engine_submit_wait(engine, tx, &receipt, &error), &error);
    must(receipt.code, &(struct hm_error){.text = "no money for a client"});
    Hypermesh__Operation *ops[] = {
        op_grant(&chain, client->session.public_key, LEDGER_SCOPE_ALL,
                 chain_wall_ms(NULL) + chain.params.session_max_ms / 2),
        op_bond(&chain, 1000 * FIXTURE_HYPER),
        op_register(&chain, "cpu", 1000, HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC),
    };
    order(client, ops, HM_COUNT_OF(ops), true);
}

static void *client_run(void *arg)
{
    struct client *client = arg;
    Hypermesh__AssetUpdate update = HYPERMESH__ASSET_UPDATE__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    Hypermesh__Operation *ops[] = {&op};

    update.asset = wire_bytes(client->asset, 32);
    update.capacity = 4000;
    op.op_case = HYPERMESH__OPERATION__OP_ASSET_UPDATE;
    op.asset_update = &update;
    while (now() < ends) {
        update.price_per_hour = 1000 + client->count % 1000;
        order(client, ops, 1, false);
    }
    return NULL;
}

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;

    return (left > right) - (left < right);
}

static void case_run(size_t count)
{
    struct engine_status before, after;
    double *all = hm_calloc(count, SAMPLES_MAX * sizeof *all);
    size_t samples = 0;
    double start = now();

    if (all == NULL)
        exit(1);
    engine_get_status(engine, &before);
    ends = start + SECONDS_PER_CASE;
    for (size_t i = 0; i < count; i++) {
        clients[i].count = 0;
        if (pthread_create(&clients[i].thread, NULL, client_run, &clients[i]) != 0)
            exit(1);
    }
    for (size_t i = 0; i < count; i++) {
        pthread_join(clients[i].thread, NULL);
        memcpy(all + samples, clients[i].samples, clients[i].count * sizeof *all);
        samples += clients[i].count;
    }
    double spent = now() - start;
    engine_get_status(engine, &after);
    qsort(all, samples, sizeof *all, by_value);
    double blocks = (double)(after.blocks - before.blocks);
    (void)printf(
        "%3zu clients  %8.0f ops/s   p50 %7.3f ms   p99 %7.3f ms   %5.1f ops and %.3f ms of "
        "the writer a block\n",
        count, (double)samples / spent, all[samples / 2] * 1e3, all[samples * 99 / 100] * 1e3,
        (double)(after.txs - before.txs) / blocks,
        (double)(after.busy_ns - before.busy_ns) / 1e6 / blocks);
    hm_free(all);
}

static void disk_run(const char *folder)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/bench-engine-sync", folder);
    HM_AUTOCLOSE int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    static uint8_t page[4096];
    double start = now();

    if (fd < 0)
        exit(1);
    for (unsigned i = 0; i < SYNCS; i++) {
        page[0] = (uint8_t)i;
        if (pwrite(fd, page, sizeof page, 0) != (ssize_t)sizeof page || fdatasync(fd) != 0)
            exit(1);
    }
    (void)printf("the disk alone: 4 KiB written and synced in %.3f ms\n",
                 (now() - start) * 1e3 / SYNCS);
    (void)unlink(path);
}

int main(int argc, char **argv)
{
    const char *base = argc > 1 ? argv[1] : getenv("TMPDIR");
    HM_AUTOFREE char *path = hm_asprintf("%s/bench-engine-XXXXXX", base ? base : "/tmp");
    static const size_t counts[] = {1, 8, 64};
    struct hm_error error = {0};

    if (path == NULL || mkdtemp(path) == NULL) {
        (void)fprintf(stderr, "bench_engine: cannot make a folder in %s\n", base ? base : "/tmp");
        return 1;
    }
    bool log = argc < 3 || strcmp(argv[2], "nolog") != 0;
    HM_AUTOFREE char *log_path = hm_asprintf("%s/blocks", path);
    const struct fixture_options options = {
        .lmdb_path = path, .deferred = log, .params = bench_params};
    must(fixture_init(&chain, &options), &chain.error);
    fixture_resync(&chain);
    began_ns = hm_mono_ns(hm_clock_system());
    const struct engine_options engine_options = {.ledger = chain.ledger,
                                                  .clock = &chain_clock,
                                                  .sealer = {.seal = seal},
                                                  .log_path = log ? log_path : NULL,
                                                  .store = chain.store};
    must(engine_solo_open(&engine_options, &engine, &error), &error);
    for (size_t i = 0; i < CLIENTS_MAX; i++)
        client_make(&clients[i], (uint8_t)i);
    disk_run(path);
    for (size_t i = 0; i < HM_COUNT_OF(counts); i++)
        case_run(counts[i]);
    engine_close(engine);
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        crypto_root_key_free(clients[i].root);
        hm_free(clients[i].samples);
    }
    fixture_release(&chain);
    (void)hm_remove_tree(path, NULL);
    return 0;
}
