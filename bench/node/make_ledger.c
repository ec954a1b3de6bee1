/* Makes the ledger of a chain with many assets, for measuring what a daemon does with it.
 *
 *   make-ledger DIR COUNT ACCOUNT...   DIR: the ledger's folder, must not exist yet; ACCOUNT: hm1..., gets money
 *
 * The transactions are signed, sealed and applied as any others, only many to a block. The accounts are those of the
 * node that is to run on it, which then can bond and register as on a chain of its own. */
#include <stdio.h>
#include <stdlib.h>

#include "ledger_fixture.h"

#define OPS_PER_TX    64
#define TXS_PER_BLOCK 500
#define MONEY         (UINT64_C(100000) * FIXTURE_HYPER)
#define PROGRESS_MASK 0xf /* blocks between two words of progress */

static void must(int rc, const struct hm_error *error)
{
    if (rc == 0)
        return;
    (void)fprintf(stderr, "make-ledger: %s\n", error->text);
    exit(1);
}

static void params_set(Hypermesh__Params *params)
{
    params->work_free_txs = 1000000;
    params->session_max_ms = UINT64_C(300) * 24 * 3600000;
    params->base_fee_minimum = params->base_fee_initial = 1;
    params->block_weight_target = UINT64_C(1) << 36;
    params->block_weight_max = UINT64_C(1) << 36;
}

static void results_check(const struct fixture *fixture)
{
    for (size_t i = 0; i < fixture->record->n_results; i++) {
        const Hypermesh__TxResult *result = fixture->record->results[i];

        must(result->code, &(struct hm_error){.text = "a transaction was refused"});
    }
}

/* One block that registers up to as many assets as it holds; returns how many. */
static size_t block_make(struct fixture *fixture, size_t first, size_t count)
{
    static struct hm_slice txs[TXS_PER_BLOCK];
    size_t made = 0, n = 0;

    while (n < TXS_PER_BLOCK && made < count) {
        enum fixture_role who = (enum fixture_role)(n % POOR);
        Hypermesh__Operation *ops[OPS_PER_TX];
        size_t i = 0;

        for (; i < OPS_PER_TX && made < count; i++, made++) {
            char name[32];

            (void)snprintf(name, sizeof name, "cpu-%zu", first + made);
            ops[i] = op_register(fixture, name, 1000, HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC);
        }
        txs[n++] = fixture_tx(fixture, who, ops, i);
    }
    must(fixture_block_txs(fixture, txs, n), &fixture->error);
    results_check(fixture);
    fixture_forget(fixture);
    return made;
}

static void pay(struct fixture *fixture, const char *account)
{
    uint8_t id[32];
    Hypermesh__Operation *op = op_transfer(fixture, ALICE, MONEY);

    must(wire_account_parse(account, id, &fixture->error), &fixture->error);
    op->transfer->to = wire_bytes(id, 32);
    if (fixture_do(fixture, BOB, op) == NULL)
        must(-1, &fixture->error);
    results_check(fixture);
}

int main(int argc, char **argv)
{
    static struct fixture fixture;
    struct hm_error error = {0};
    uint64_t count = 0;

    if (argc < 3) {
        (void)fprintf(stderr, "usage: make-ledger DIR COUNT ACCOUNT...\n");
        return 2;
    }
    must(hm_u64_parse(argv[2], &count, &error), &error);
    const struct fixture_options options = {.lmdb_path = argv[1], .params = params_set};
    must(fixture_init(&fixture, &options), &fixture.error);
    for (int i = 3; i < argc; i++)
        pay(&fixture, argv[i]);
    unsigned blocks = 0;
    for (size_t made = 0; made < count; blocks++) {
        made += block_make(&fixture, made, count - made);
        if ((blocks & PROGRESS_MASK) == PROGRESS_MASK)
            (void)fprintf(stderr, "make-ledger: %zu of %llu assets\n", made,
                          (unsigned long long)count);
    }
    fixture_release(&fixture);
    return 0;
}
