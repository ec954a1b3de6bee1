#include "engine_fixture.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

/* --- clock and sealer ------------------------------------------------------------------------------- */

static uint64_t fixture_wall(void *ctx)
{
    struct engine_fixture *fixture = ctx;

    atomic_fetch_add(&fixture->looks, 1);
    return atomic_load(&fixture->wall_ms);
}

static uint64_t fixture_mono(void *ctx)
{
    struct engine_fixture *fixture = ctx;

    return hm_mono_ns(hm_clock_system()) + atomic_load(&fixture->mono_ns);
}

static int seal_head(struct engine_fixture *fixture, const struct hm_slice *txs, size_t count,
                     struct hm_arena *arena, struct hm_buf *out, struct hm_error *error)
{
    const struct fixture_person *node = &fixture->chain.people[NODE];
    Hypermesh__BatchHead head = HYPERMESH__BATCH_HEAD__INIT;
    uint8_t *digests = hm_arena_alloc(arena, count * 32);
    uint8_t challenge[32], root[32];
    struct ledger_info info;
    int rc = ledger_info(fixture->chain.ledger, &info, error);

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
    head.timestamp_ms = atomic_load(&fixture->wall_ms);
    if (head.timestamp_ms < info.time_ms)
        head.timestamp_ms = info.time_ms; /* as a node does */
    head.tx_root = wire_bytes(root, 32);
    proof_space_challenge(info.block_hash, root, node->id, challenge);
    head.n_openings = fixture->chain.params.space_openings;
    rc = proof_plot_open_at(fixture->chain.plot, challenge, head.n_openings, false, arena,
                            &head.openings, error);
    return rc != 0 ? rc : wire_pack(&head.base, out);
}

static int seal_batch(struct engine_fixture *fixture, const struct hm_slice *txs, size_t count,
                      struct hm_buf *out, struct hm_error *error)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    HM_CLEANUP(hm_buf) struct hm_buf head = {0};
    Hypermesh__Batch batch = HYPERMESH__BATCH__INIT;
    uint8_t digest[32], signature[CRYPTO_ED25519_SIGNATURE_BYTES];

    hm_arena_init(&arena, 0);
    int rc = seal_head(fixture, txs, count, &arena, &head, error);
    if (rc != 0)
        return rc;
    proof_batch_digest(hm_buf_slice(&head), digest);
    crypto_ed25519_sign(&fixture->chain.people[NODE].session, digest, sizeof(digest), signature);
    batch.head = wire_bytes(head.data, head.len);
    batch.signature = wire_bytes(signature, sizeof(signature));
    batch.n_txs = count;
    batch.txs = hm_arena_alloc(&arena, count * sizeof(*batch.txs));
    for (size_t i = 0; i < count; i++)
        batch.txs[i] = wire_bytes(txs[i].data, txs[i].len);
    return wire_pack(&batch.base, out);
}

static int seal_reversed(struct engine_fixture *fixture, const struct hm_slice *txs, size_t count,
                         struct hm_buf *out, struct hm_error *error)
{
    struct hm_slice *other = hm_calloc(count, sizeof(*other));

    for (size_t i = 0; i < count; i++)
        other[i] = txs[count - 1 - i];
    int rc = seal_batch(fixture, other, count, out, error);
    hm_free(other);
    return rc;
}

/* Waits at the gate; tells how to cheat this time. */
static enum engine_cheat pass_gate(struct engine_fixture *fixture)
{
    pthread_mutex_lock(&fixture->lock);
    enum engine_cheat cheat = fixture->cheat;
    fixture->cheat = CHEAT_NOT;
    fixture->at_gate++;
    pthread_cond_broadcast(&fixture->changed);
    while (fixture->gate_closed)
        pthread_cond_wait(&fixture->changed, &fixture->lock);
    fixture->at_gate--;
    pthread_mutex_unlock(&fixture->lock);
    return cheat;
}

static int fixture_sealer(void *ctx, const struct hm_slice *txs, size_t count, struct hm_buf *out,
                          struct hm_error *error)
{
    struct engine_fixture *fixture = ctx;

    switch (pass_gate(fixture)) {
    case CHEAT_FAIL:
        return hm_fail(error, HM_EAUTH, "the sealer says no");
    case CHEAT_EMPTY:
        return 0;
    case CHEAT_GARBAGE:
        return hm_buf_append_str(out, "this is no batch");
    case CHEAT_REVERSE:
        return seal_reversed(fixture, txs, count, out, error);
    case CHEAT_SHORT:
        return seal_batch(fixture, txs, count - 1, out, error);
    default:
        return seal_batch(fixture, txs, count, out, error);
    }
}

/* --- what the engine tells -------------------------------------------------------------------------- */

static void fixture_on_block(void *ctx, const struct engine_block *block,
                             const Hypermesh__BlockRecord *record)
{
    struct engine_fixture *fixture = ctx;

    pthread_mutex_lock(&fixture->lock);
    if (fixture->blocks < ENGINE_TEST_BLOCKS_MAX) {
        fixture->seen[fixture->blocks].block = *block;
        fixture->seen[fixture->blocks].expired = record->n_expired;
    }
    fixture->blocks++;
    pthread_cond_broadcast(&fixture->changed);
    pthread_mutex_unlock(&fixture->lock);
}

static void fixture_on_failure(void *ctx, const struct hm_error *error)
{
    struct engine_fixture *fixture = ctx;

    pthread_mutex_lock(&fixture->lock);
    fixture->failures++;
    fixture->failure = *error;
    pthread_cond_broadcast(&fixture->changed);
    pthread_mutex_unlock(&fixture->lock);
}

void engine_fixture_done(void *ctx, const Hypermesh__TxResult *result,
                         const struct engine_block *block)
{
    struct engine_answer *answer = ctx;
    struct engine_fixture *fixture = answer->fixture;

    pthread_mutex_lock(&fixture->lock);
    answer->calls++;
    answer->place = ++fixture->answered;
    answer->in_block = block != NULL;
    engine_receipt_fill(&answer->receipt, result, block);
    pthread_cond_broadcast(&fixture->changed);
    pthread_mutex_unlock(&fixture->lock);
}

/* --- life -------------------------------------------------------------------------------------------- */

static void many_transactions(Hypermesh__Params *params)
{
    params->work_free_txs = 1000000;
    params->vdf_blocks = 3;
    params->vdf_steps = 400;
}

static void init(struct engine_fixture *fixture, const struct fixture_options *options,
                 const char *log_path)
{
    memset(fixture, 0, sizeof(*fixture));
    if (fixture_init(&fixture->chain, options) != 0)
        fail_msg("chain: %s", fixture->chain.error.text);
    fixture_resync(&fixture->chain);
    pthread_mutex_init(&fixture->lock, NULL);
    pthread_cond_init(&fixture->changed, NULL);
    atomic_store(&fixture->wall_ms, fixture->chain.next_ms);
    fixture->clock = (struct hm_clock){fixture_wall, fixture_mono, fixture};
    fixture->options = (struct engine_options){.ledger = fixture->chain.ledger,
                                               .clock = &fixture->clock,
                                               .sealer = {fixture_sealer, fixture},
                                               .log_path = log_path,
                                               .store = fixture->chain.store,
                                               .on_block = fixture_on_block,
                                               .on_failure = fixture_on_failure,
                                               .ctx = fixture};
}

void engine_fixture_init(struct engine_fixture *fixture, const char *lmdb_path)
{
    engine_fixture_init_log(fixture, lmdb_path, NULL);
}

void engine_fixture_init_log(struct engine_fixture *fixture, const char *lmdb_path,
                             const char *log_path)
{
    const struct fixture_options options = {
        .lmdb_path = lmdb_path, .deferred = log_path != NULL, .params = many_transactions};

    init(fixture, &options, log_path);
}

void engine_fixture_init_bare(struct engine_fixture *fixture)
{
    const struct fixture_options options = {.params = many_transactions, .bare = true};

    init(fixture, &options, NULL);
}

void engine_fixture_start(struct engine_fixture *fixture)
{
    struct hm_error error = {0};

    if (engine_solo_open(&fixture->options, &fixture->engine, &error) != 0)
        fail_msg("engine: %s", error.text);
}

void engine_fixture_release(struct engine_fixture *fixture)
{
    engine_fixture_gate(fixture, false);
    engine_close(fixture->engine);
    pthread_cond_destroy(&fixture->changed);
    pthread_mutex_destroy(&fixture->lock);
    fixture_release(&fixture->chain);
}

/* --- steering and waiting ---------------------------------------------------------------------------- */

void engine_fixture_gate(struct engine_fixture *fixture, bool closed)
{
    pthread_mutex_lock(&fixture->lock);
    fixture->gate_closed = closed;
    pthread_cond_broadcast(&fixture->changed);
    pthread_mutex_unlock(&fixture->lock);
}

void engine_fixture_cheat(struct engine_fixture *fixture, enum engine_cheat cheat)
{
    pthread_mutex_lock(&fixture->lock);
    fixture->cheat = cheat;
    pthread_mutex_unlock(&fixture->lock);
}

static void wait_for(struct engine_fixture *fixture, const unsigned *value, unsigned count)
{
    pthread_mutex_lock(&fixture->lock);
    while (*value < count)
        pthread_cond_wait(&fixture->changed, &fixture->lock);
    pthread_mutex_unlock(&fixture->lock);
}

void engine_fixture_wait_at_gate(struct engine_fixture *fixture)
{
    wait_for(fixture, &fixture->at_gate, 1);
}

void engine_fixture_wait_answers(struct engine_fixture *fixture, unsigned count)
{
    wait_for(fixture, &fixture->answered, count);
}

void engine_fixture_wait_blocks(struct engine_fixture *fixture, unsigned count)
{
    wait_for(fixture, &fixture->blocks, count);
}

unsigned engine_fixture_blocks(struct engine_fixture *fixture)
{
    pthread_mutex_lock(&fixture->lock);
    unsigned blocks = fixture->blocks;
    pthread_mutex_unlock(&fixture->lock);
    return blocks;
}

/* --- transactions -------------------------------------------------------------------------------------- */

void engine_fixture_pass(struct engine_fixture *fixture, uint64_t ms)
{
    atomic_fetch_add(&fixture->wall_ms, ms);
    atomic_fetch_add(&fixture->mono_ns, ms * 1000000);
}

struct hm_slice engine_fixture_transfer(struct engine_fixture *fixture, enum fixture_role from)
{
    Hypermesh__Operation *op = op_transfer(&fixture->chain, from == BOB ? ALICE : BOB, 1);

    return fixture_tx(&fixture->chain, from, &op, 1);
}

struct engine_answer *engine_fixture_answer(struct engine_fixture *fixture)
{
    assert_true(fixture->answer_count < ENGINE_TEST_ANSWERS_MAX);
    struct engine_answer *answer = &fixture->answers[fixture->answer_count++];

    answer->fixture = fixture;
    return answer;
}

struct engine_answer *engine_fixture_submit(struct engine_fixture *fixture, struct hm_slice tx)
{
    struct engine_answer *answer = engine_fixture_answer(fixture);
    struct hm_error error = {0};

    if (engine_submit(fixture->engine, tx, engine_fixture_done, answer, &error) != 0)
        fail_msg("submit: %s", error.text);
    return answer;
}

void engine_fixture_refused(struct engine_fixture *fixture, struct hm_slice tx, int code,
                            const char *words)
{
    struct engine_answer *answer = engine_fixture_answer(fixture);
    struct hm_error error = {0};

    assert_int_equal(engine_submit(fixture->engine, tx, engine_fixture_done, answer, &error), code);
    if (strstr(error.text, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.text, words);
    assert_int_equal(answer->calls, 0);
}

void engine_fixture_expect_good(const struct engine_answer *answer)
{
    assert_int_equal(answer->calls, 1);
    assert_string_equal(answer->receipt.text, "");
    assert_int_equal(answer->receipt.code, 0);
    assert_true(answer->in_block);
    assert_true(answer->receipt.block.height > 0);
}

void engine_fixture_expect_refused(const struct engine_answer *answer, int code, const char *words)
{
    assert_int_equal(answer->calls, 1);
    assert_int_equal(answer->receipt.code, code);
    assert_false(answer->in_block);
    if (strstr(answer->receipt.text, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", answer->receipt.text, words);
}

/* Voluntary switches of the thread that is called hm-engine. */
static bool sleeps_of(const char *task, unsigned long *sleeps)
{
    HM_AUTOFREE char *path = hm_asprintf("/proc/self/task/%s/status", task);
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    static const char field[] = "\nvoluntary_ctxt_switches:";

    if (hm_file_read(path, 1 << 16, &text, NULL) != 0)
        return false;
    const char *status = hm_buf_cstr(&text);
    const char *at = strstr(status, field);
    if (strncmp(status, "Name:\thm-engine\n", 16) != 0 || at == NULL)
        return false;
    *sleeps = strtoul(at + sizeof(field) - 1, NULL, 10);
    return true;
}

unsigned long engine_fixture_sleeps(void)
{
    DIR *dir = opendir("/proc/self/task");
    const struct dirent *task;
    unsigned long sleeps = 0;
    bool found = false;

    assert_non_null(dir);
    while (!found && (task = readdir(dir)) != NULL)
        found = sleeps_of(task->d_name, &sleeps);
    closedir(dir);
    if (!found)
        fail_msg("no thread hm-engine in /proc/self/task");
    return sleeps;
}
