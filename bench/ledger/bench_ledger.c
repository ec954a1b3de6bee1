/* Transactions applied per second by one thread: block after block through finalize and commit, with the
 * signatures checked in the block and with them checked before (as the door does), in memory and on disk;
 * beside it what one signature costs.
 *
 *   bench_ledger [DIR [WORK [STORE [SIGNATURES]]]]   DIR: where to make the store, default $TMPDIR or /tmp
 *                                                    WORK: only this kind of transaction ("kv put")
 *                                                    STORE: only "disk" or "memory"
 *                                                    SIGNATURES: only "known" or "checked" */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "ledger_kv_ops.h"

#define BATCH            1000
#define SECONDS_PER_CASE 2.0
#define VERIFIES         5000

static double now(void)
{
    return (double)hm_mono_ns(hm_clock_system()) / 1e9;
}

/* Processor time of this thread: what holds when other work runs on the machine. */
static double busy(void)
{
    struct timespec at = {0};

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static void must(int rc, const struct fixture *fixture)
{
    if (rc == 0)
        return;
    (void)fprintf(stderr, "bench_ledger: %s\n", fixture->error.text);
    exit(1);
}

static void bench_params(Hypermesh__Params *params)
{
    params->work_free_txs = 1000000;
    params->session_max_ms = UINT64_C(300) * 24 * 3600000;
    params->base_fee_minimum = 1;
    params->base_fee_initial = 1;
}

enum work { TRANSFERS, TRANSFERS_MANY, LEASES, PUTS, PUTS_MANY, PUTS_HELD };
#define OPS_MANY 16

static const struct {
    const char *name;
    size_t ops;
} works[] = {
    [TRANSFERS] = {"transfer", 1},          [TRANSFERS_MANY] = {"16 transfers", OPS_MANY},
    [LEASES] = {"allocate and release", 1}, [PUTS] = {"kv put", 1},
    [PUTS_MANY] = {"16 kv puts", OPS_MANY}, [PUTS_HELD] = {"kv put with a lease", 1},
};

/* One of 100,000 keys, 100 bytes. */
static Hypermesh__Operation *put_make(struct fixture *fixture, bool held)
{
    static uint64_t number = 1;
    char value[101];
    char key[32];

    number = number * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    (void)snprintf(key, sizeof key, "bench/%06llu", (unsigned long long)(number >> 33) % 100000);
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    return op_kv_put(fixture, key, value, held ? 1 : 0);
}

static Hypermesh__Operation *op_make(struct fixture *fixture, enum work work, size_t number,
                                     const uint8_t (*asset)[32], const uint8_t *lease)
{
    switch (work) {
    case TRANSFERS:
    case TRANSFERS_MANY:
        return op_transfer(fixture, (enum fixture_role)((number + 1) % POOR), 1);
    case PUTS:
    case PUTS_MANY:
    case PUTS_HELD:
        return put_make(fixture, work == PUTS_HELD);
    case LEASES:
        break;
    }
    return lease ? op_free(fixture, lease) : op_allocate(fixture, asset, 1, 1, 3600000);
}

/* One batch of transactions by everybody in turn. Leases: every second block releases what the one before
 * allocated. */
static void batch_make(struct fixture *fixture, enum work work, const uint8_t (*asset)[32],
                       uint8_t (*leases)[32], bool release, struct hm_slice *txs)
{
    for (size_t i = 0; i < BATCH; i++) {
        Hypermesh__Operation *ops[OPS_MANY];

        for (size_t k = 0; k < works[work].ops; k++)
            ops[k] = op_make(fixture, work, i + k, asset, release ? leases[i] : NULL);
        /* The lease is Alice's. */
        txs[i] = fixture_tx(fixture, work == PUTS_HELD ? ALICE : (enum fixture_role)(i % POOR), ops,
                            works[work].ops);
    }
}

static void results_check(const struct fixture *fixture, uint8_t (*leases)[32])
{
    for (size_t i = 0; i < BATCH; i++) {
        const Hypermesh__TxResult *result = fixture->record->results[i];

        if (result->code) {
            (void)fprintf(stderr, "bench_ledger: %s\n", result->text);
            exit(1);
        }
        if (result->n_created > 0)
            memcpy(leases[i], result->created[0].data, 32);
    }
}

struct measured {
    double process; /* seconds in ledger_process */
    double finalize; /* in ledger_finalize */
    double commit; /* in ledger_commit, where a disk is waited for */
    double apply; /* in all three */
    double busy; /* processor time of all three */
    double check; /* seconds in ledger_check_tx */
    size_t txs;
};

/* Seconds since *start, which becomes now. */
static double lap(double *start)
{
    double before = *start;

    *start = now();
    return *start - before;
}

static void block_run(struct fixture *fixture, struct hm_slice *txs, bool check_first,
                      struct measured *out)
{
    struct hm_slice item;
    struct ledger_proposal proposal;
    struct ledger_outcome outcome;
    struct ledger_view *view;
    struct hm_slice block;
    double start = now();

    for (size_t i = 0; check_first && i < BATCH; i++)
        must(ledger_check_tx(fixture->ledger, txs[i], fixture->next_ms, NULL, &fixture->error),
             fixture);
    out->check += now() - start;
    item = fixture_batch(fixture, txs, BATCH);
    fixture_propose(fixture, &item, 1, &proposal);
    start = now();
    out->busy -= busy();
    must(ledger_process(fixture->ledger, &proposal, &fixture->error), fixture);
    out->process += lap(&start);
    must(ledger_finalize(fixture->ledger, &proposal, &outcome, &fixture->error), fixture);
    out->finalize += lap(&start);
    must(ledger_commit(fixture->ledger, &fixture->error), fixture);
    out->commit += lap(&start);
    out->busy += busy();
    out->apply = out->process + out->finalize + out->commit;
    out->txs += BATCH;
    must(ledger_view_open(fixture->ledger, &view, &fixture->error), fixture);
    must(ledger_view_block(view, proposal.height, &fixture->arena, &block, &fixture->record,
                           &fixture->error),
         fixture);
    ledger_view_close(view);
    fixture->next_ms += FIXTURE_BLOCK_MS;
}

static void case_run(const char *lmdb_path, enum work work, bool check_first)
{
    const struct fixture_options options = {.lmdb_path = lmdb_path, .params = bench_params};
    static uint8_t leases[BATCH][32];
    static struct hm_slice txs[BATCH];
    struct measured measured = {0};
    struct fixture fixture;
    uint8_t asset[1][32];

    must(fixture_init(&fixture, &options), &fixture);
    if (!fixture_do(&fixture, ALICE,
                    op_register(&fixture, "cpu", 3600, HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC)))
        exit(1);
    fixture_asset_id(&fixture, ALICE, "cpu", asset[0]);
    if (!fixture_do(&fixture, ALICE, op_kv_grant(&fixture, 1, LEDGER_KV_TTL_MAX_MS)))
        exit(1);
    for (bool release = false; measured.apply < SECONDS_PER_CASE || release; release = !release) {
        batch_make(&fixture, work, (const uint8_t(*)[32])asset, leases, release, txs);
        block_run(&fixture, txs, check_first, &measured);
        results_check(&fixture, leases);
        fixture_forget(&fixture);
        fixture_resync(&fixture);
    }
    (void)printf("%-22s %-7s %-22s %9.0f tx/s %9.0f operations/s in blocks", works[work].name,
                 lmdb_path ? "disk" : "memory",
                 check_first ? "signatures known" : "signatures checked",
                 (double)measured.txs / measured.apply,
                 (double)(measured.txs * works[work].ops) / measured.apply);
    (void)printf(" (us a tx: processor %.1f; process %.1f, finalize %.1f, commit %.1f)",
                 1e6 * measured.busy / (double)measured.txs,
                 1e6 * measured.process / (double)measured.txs,
                 1e6 * measured.finalize / (double)measured.txs,
                 1e6 * measured.commit / (double)measured.txs);
    if (check_first)
        (void)printf(", %9.0f tx/s at the door", (double)measured.txs / measured.check);
    (void)printf("\n");
    fixture_release(&fixture);
}

static void verify_run(void)
{
    struct crypto_ed25519_key key;
    const uint8_t seed[32] = {1};
    uint8_t message[32] = {2};
    uint8_t signature[64];
    double start;

    crypto_ed25519_from_seed(&key, seed);
    crypto_ed25519_sign(&key, message, sizeof message, signature);
    start = now();
    for (size_t i = 0; i < VERIFIES; i++) {
        if (crypto_ed25519_verify(key.public_key, message, sizeof message, signature))
            exit(1);
    }
    (void)printf("one Ed25519 check alone                            %9.0f a second\n",
                 VERIFIES / (now() - start));
}

int main(int argc, char **argv)
{
    const char *base = argc > 1 ? argv[1] : getenv("TMPDIR");
    unsigned number = 0;

    if (crypto_setup(NULL))
        return 1;
    (void)printf("blocks of one batch of %d transactions\n", BATCH);
    for (enum work work = TRANSFERS; work <= PUTS_HELD; work++) {
        if (argc > 2 && strcmp(argv[2], works[work].name) != 0)
            continue;
        for (int disk = 0; disk < 2; disk++) {
            if (argc > 3 && strcmp(argv[3], disk ? "disk" : "memory") != 0)
                continue;
            for (int known = 0; known < 2; known++) {
                char path[512];

                if (argc > 4 && strcmp(argv[4], known ? "known" : "checked") != 0)
                    continue;
                (void)snprintf(path, sizeof path, "%s/bench-ledger-%u", base ? base : "/tmp",
                               number++);
                case_run(disk ? path : NULL, work, known);
                if (disk)
                    (void)hm_remove_tree(path, NULL);
            }
        }
    }
    verify_run();
    return 0;
}
