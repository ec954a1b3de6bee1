#include "cluster_script.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SCRIPT_POWER 10

/* --- life -------------------------------------------------------------------------------------------------- */

void script_init(struct script *script, const char *lmdb_path, const char *log_path)
{
    memset(script, 0, sizeof(*script));
    engine_fixture_init_log(&script->fix, lmdb_path, log_path);
    hm_arena_init(&script->arena, 0);
    snprintf(script->dir, sizeof(script->dir), "/tmp/hm-cluster-XXXXXX");
    assert_non_null(mkdtemp(script->dir));
    snprintf(script->rpc.path, sizeof(script->rpc.path), "%s/rpc.sock", script->dir);
    pthread_mutex_init(&script->rpc.lock, NULL);
    pthread_mutex_init(&script->rpc.calls, NULL);
    pthread_cond_init(&script->rpc.changed, NULL);
    script->cometbft.rpc_path = script->rpc.path;
    memset(script->cometbft.validator_address, 0xAD, ENGINE_ADDRESS_BYTES);
    script->version = "0.38.25";
    script->abci_version = "2.0.0";
    script->app_version = 1;
    script->chain_id = FIXTURE_CHAIN;
    script->max_tx_bytes = 4 << 20;
}

static void encode_app_state(struct script *script)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};

    assert_int_equal(engine_cometbft_app_state(script->fix.options.ledger, &bytes, NULL), 0);
    hm_buf_clear(&script->app_state);
    assert_int_equal(hm_buf_append_str(&script->app_state, "\""), 0);
    assert_int_equal(hm_base64_encode(bytes.data, bytes.len, &script->app_state), 0);
    assert_int_equal(hm_buf_append_str(&script->app_state, "\""), 0);
}

/* After it with NULL the application is in no call, and may be closed. */
static void rpc_attach(struct script_rpc *rpc, const struct abci_handlers *handlers)
{
    pthread_mutex_lock(&rpc->calls);
    rpc->handlers = handlers;
    pthread_mutex_unlock(&rpc->calls);
}

void script_start(struct script *script)
{
    struct hm_error error = {0};
    struct ledger_info info;

    if (engine_cometbft_open(&script->fix.options, &script->cometbft, &script->fix.engine,
                             &error) != 0)
        fail_msg("engine: %s", error.text);
    script->handlers = engine_cometbft_handlers(script->fix.engine);
    assert_non_null(script->handlers);
    rpc_attach(&script->rpc, script->handlers);
    if (script->block_count > 0 || ledger_info(script->fix.options.ledger, &info, NULL) != 0)
        return;
    script->initial_height = info.height + 1;
    script->bft_ms = info.time_ms + 1;
    encode_app_state(script);
}

static void rpc_forget(struct script_rpc *rpc)
{
    for (size_t i = 0; i < rpc->item_count; i++)
        hm_buf_release(&rpc->items[i]);
    for (size_t i = 0; i < rpc->cache_count; i++)
        hm_buf_release(&rpc->cache[i]);
    rpc->item_count = rpc->cache_count = 0;
}

void script_die(struct script *script)
{
    abci_core_free(HM_TAKE(script->consensus));
    abci_core_free(HM_TAKE(script->query));
    rpc_attach(&script->rpc, NULL);
    pthread_mutex_lock(&script->rpc.lock);
    rpc_forget(&script->rpc);
    pthread_mutex_unlock(&script->rpc.lock);
}

void script_release(struct script *script)
{
    script_die(script);
    engine_fixture_gate(&script->fix, false);
    engine_close(HM_TAKE(script->fix.engine));
    script_rpc_close(script);
    engine_fixture_release(&script->fix);
    hm_buf_release(&script->app_state);
    hm_arena_release(&script->arena);
    pthread_cond_destroy(&script->rpc.changed);
    pthread_mutex_destroy(&script->rpc.lock);
    pthread_mutex_destroy(&script->rpc.calls);
    assert_int_equal(hm_remove_tree(script->dir, NULL), 0);
}

int script_setup(void **state)
{
    script_init(*state, NULL, NULL);
    return 0;
}

int script_teardown(void **state)
{
    script_release(*state);
    return 0;
}

/* --- the wire ------------------------------------------------------------------------------------------------ */

static void put_varint(struct hm_buf *out, size_t value)
{
    uint8_t byte;

    do {
        byte = (uint8_t)(value & 0x7F);
        value >>= 7;
        byte |= value > 0 ? 0x80 : 0;
        assert_int_equal(hm_buf_append(out, &byte, 1), 0);
    } while (value > 0);
}

static struct hm_slice take_frame(struct hm_slice bytes)
{
    size_t size = 0, at = 0;

    for (unsigned shift = 0;; shift += 7) {
        assert_true(at < bytes.len);
        size |= (size_t)(bytes.data[at] & 0x7F) << shift;
        if ((bytes.data[at++] & 0x80) == 0)
            break;
    }
    assert_true(bytes.len - at >= size);
    return hm_slice_of(bytes.data + at, size);
}

const Hypermesh__Abci__Response *script_call(struct script *script, struct abci_core *core,
                                             const Hypermesh__Abci__Request *request,
                                             struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf frame = {0};
    HM_CLEANUP(hm_buf) struct hm_buf message = {0};
    Hypermesh__Abci__Response *answer;
    bool flush;

    assert_int_equal(wire_pack(&request->base, &message), 0);
    put_varint(&frame, message.len);
    assert_int_equal(hm_buf_append(&frame, message.data, message.len), 0);
    unsigned long before = hm_alloc_failures();
    hm_alloc_fail_at(script->alloc_fail);
    int rc = abci_core_feed(core, hm_buf_slice(&frame), error);
    hm_alloc_fail_at(0);
    script->alloc_hits += hm_alloc_failures() - before;
    if (script->alloc_hits > 0)
        script->alloc_fail = 0; /* once */
    if (rc != 0)
        return NULL;
    struct hm_slice out = abci_core_out(core, &flush);
    struct hm_slice body = take_frame(out);
    assert_int_equal(
        WIRE_UNPACK(hypermesh__abci__response, body, body.len, &script->arena, &answer, NULL), 0);
    abci_core_take(core, out.len);
    assert_int_equal(answer->value_case, (int)request->value_case + 1);
    return answer;
}

static void script_log(void *ctx, const struct hm_error *error)
{
    struct script *script = ctx;

    script->logged++;
    script->log = *error;
}

/* --- parts of requests ----------------------------------------------------------------------------------------- */

static Hypermesh__Abci__Timestamp *make_time(struct script *script, uint64_t ms)
{
    Hypermesh__Abci__Timestamp *time = hm_arena_alloc(&script->arena, sizeof(*time));

    hypermesh__abci__timestamp__init(time);
    time->seconds = (int64_t)(ms / 1000);
    time->nanos = (int32_t)(ms % 1000) * 1000000 + 999999; /* to be rounded down */
    return time;
}

static Hypermesh__Abci__CommitInfo *make_commit(struct script *script, bool first)
{
    Hypermesh__Abci__CommitInfo *commit = hm_arena_alloc(&script->arena, sizeof(*commit));
    Hypermesh__Abci__VoteInfo *vote = hm_arena_alloc(&script->arena, sizeof(*vote));
    Hypermesh__Abci__Validator *validator = hm_arena_alloc(&script->arena, sizeof(*validator));

    hypermesh__abci__commit_info__init(commit);
    hypermesh__abci__vote_info__init(vote);
    hypermesh__abci__validator__init(validator);
    validator->address = wire_bytes(script->cometbft.validator_address, ENGINE_ADDRESS_BYTES);
    validator->power = SCRIPT_POWER;
    vote->validator = validator;
    vote->flag = script->absent ? HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_ABSENT
                 : script->nil  ? HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_NIL
                                : HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_COMMIT;
    commit->votes = hm_arena_alloc(&script->arena, sizeof(*commit->votes));
    commit->votes[0] = vote;
    commit->n_votes = first ? 0 : 1;
    commit->round = script->round;
    return commit;
}

static ProtobufCBinaryData *make_txs(struct script *script, const struct hm_slice *items,
                                     size_t count)
{
    ProtobufCBinaryData *txs = hm_arena_alloc(&script->arena, (count + 1) * sizeof(*txs));

    for (size_t i = 0; i < count; i++)
        txs[i] = wire_bytes(items[i].data, items[i].len);
    return txs;
}

static struct hm_slice *copy_items(struct script *script, const ProtobufCBinaryData *txs,
                                   size_t count)
{
    struct hm_slice *items = hm_arena_alloc(&script->arena, (count + 1) * sizeof(*items));

    for (size_t i = 0; i < count; i++)
        items[i] = hm_slice_of(hm_arena_dup(&script->arena, txs[i].data, txs[i].len), txs[i].len);
    return items;
}

static ProtobufCBinaryData some_hash(struct script *script, uint64_t number)
{
    uint8_t *hash = hm_arena_alloc(&script->arena, 32);

    hm_put_be64(hash, number);
    hash[31] = 0x5C;
    return wire_bytes(hash, 32);
}

static ProtobufCBinaryData next_validators_hash(struct script *script)
{
    return script->set_hash != NULL ? wire_bytes(script->set_hash, 32) : some_hash(script, 1);
}

static void take_set(Hypermesh__Abci__ValidatorUpdate *const *list, size_t count,
                     struct script_set *out)
{
    assert_true(count <= SCRIPT_SET_MAX);
    out->count = count;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(list[i]->pub_key->sum_case, HYPERMESH__ABCI__PUBLIC_KEY__SUM_ED25519);
        assert_int_equal(list[i]->pub_key->ed25519.len, 32);
        memcpy(out->list[i].key, list[i]->pub_key->ed25519.data, 32);
        out->list[i].power = list[i]->power;
    }
}

/* --- the handshake ----------------------------------------------------------------------------------------------- */

static int call_info(struct script *script, uint64_t *height, struct hm_slice *root,
                     struct hm_error *error)
{
    Hypermesh__Abci__Request request = HYPERMESH__ABCI__REQUEST__INIT;
    Hypermesh__Abci__RequestInfo info = HYPERMESH__ABCI__REQUEST_INFO__INIT;

    info.version = (char *)(uintptr_t)script->version;
    info.abci_version = (char *)(uintptr_t)script->abci_version;
    info.block_version = 11;
    info.p2p_version = 8;
    request.value_case = HYPERMESH__ABCI__REQUEST__VALUE_INFO;
    request.info = &info;
    const Hypermesh__Abci__Response *answer = script_call(script, script->query, &request, error);
    if (answer == NULL)
        return error->code;
    assert_int_equal(answer->info->app_version, 1);
    *height = (uint64_t)answer->info->last_block_height;
    *root = wire_slice(answer->info->last_block_app_hash);
    return 0;
}

void script_info(struct script *script, uint64_t *height, uint8_t root[32])
{
    struct hm_error error = {0};
    struct hm_slice bytes;

    assert_int_equal(call_info(script, height, &bytes, &error), 0);
    memset(root, 0, 32);
    if (bytes.len == 32)
        memcpy(root, bytes.data, 32);
}

static int call_init_chain(struct script *script, struct hm_error *error)
{
    Hypermesh__Abci__Request request = HYPERMESH__ABCI__REQUEST__INIT;
    Hypermesh__Abci__RequestInitChain init = HYPERMESH__ABCI__REQUEST_INIT_CHAIN__INIT;
    Hypermesh__Abci__ConsensusParams params = HYPERMESH__ABCI__CONSENSUS_PARAMS__INIT;
    Hypermesh__Abci__VersionParams version = HYPERMESH__ABCI__VERSION_PARAMS__INIT;
    Hypermesh__Abci__EvidenceParams evidence = HYPERMESH__ABCI__EVIDENCE_PARAMS__INIT;
    Hypermesh__Abci__Duration age = HYPERMESH__ABCI__DURATION__INIT;
    Hypermesh__Abci__ValidatorUpdate validator = HYPERMESH__ABCI__VALIDATOR_UPDATE__INIT;
    Hypermesh__Abci__PublicKey key = HYPERMESH__ABCI__PUBLIC_KEY__INIT;
    Hypermesh__Abci__ValidatorUpdate *validators[] = {&validator};
    struct ledger_info info;
    uint8_t bytes[32] = {7};

    key.sum_case = HYPERMESH__ABCI__PUBLIC_KEY__SUM_ED25519;
    key.ed25519 = wire_bytes(bytes, sizeof(bytes));
    validator.pub_key = &key;
    validator.power = SCRIPT_POWER;
    version.app = script->app_version;
    params.version = &version;
    if (script->evidence_ms > 0) {
        age.seconds = (int64_t)(script->evidence_ms / 1000);
        age.nanos = (int32_t)(script->evidence_ms % 1000) * 1000000;
        evidence.max_age_duration = &age;
        params.evidence = &evidence;
    }
    init.time = make_time(script, script->bft_ms);
    init.chain_id = (char *)(uintptr_t)script->chain_id;
    init.consensus_params = &params;
    init.validators = validators;
    init.n_validators = 1;
    init.app_state_bytes = wire_bytes(script->app_state.data, script->app_state.len);
    init.initial_height = (int64_t)script->initial_height;
    request.value_case = HYPERMESH__ABCI__REQUEST__VALUE_INIT_CHAIN;
    request.init_chain = &init;
    const Hypermesh__Abci__Response *answer = script_call(script, script->consensus, &request,
                                                          error);
    if (answer == NULL)
        return error->code;
    assert_int_equal(ledger_info(script->fix.options.ledger, &info, NULL), 0);
    assert_int_equal(answer->init_chain->app_hash.len, 32);
    assert_memory_equal(answer->init_chain->app_hash.data, info.state_root, 32);
    take_set(answer->init_chain->validators, answer->init_chain->n_validators, &script->begun);
    return 0;
}

static int call_finalize(struct script *script, struct script_block *block, struct hm_error *error);
static int call_commit(struct script *script, struct script_block *block, struct hm_error *error);

/* As the engine does: what the application lacks, again. */
static int replay(struct script *script, uint64_t height, struct hm_error *error)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < script->block_count; i++) {
        struct script_block *block = &script->blocks[i];

        if (block->height <= height)
            continue;
        rc = call_finalize(script, block, error);
        if (rc == 0)
            rc = call_commit(script, block, error);
    }
    return rc;
}

static const struct script_block *newest(const struct script *script)
{
    return script->block_count == 0 ? NULL : &script->blocks[script->block_count - 1];
}

int script_handshake(struct script *script, struct hm_error *error)
{
    const struct abci_core_hooks hooks = {.log = script_log, .ctx = script};
    struct hm_slice root;
    uint64_t height;

    *error = (struct hm_error){0};
    assert_null(script->consensus);
    rpc_attach(&script->rpc, script->handlers);
    assert_int_equal(abci_core_new(script->handlers, &hooks, &script->query, NULL), 0);
    assert_int_equal(abci_core_new(script->handlers, &hooks, &script->consensus, NULL), 0);
    int rc = call_info(script, &height, &root, error);
    if (rc != 0)
        return rc;
    if (height == 0 && script->initial_height > 1)
        height = script->initial_height - 1;
    else if (height > 0) {
        /* Ahead of its store the engine takes nobody. */
        assert_non_null(newest(script));
        assert_true(height <= newest(script)->height);
        const struct script_block *block = &script->blocks[height - script->initial_height];
        assert_true(block->finalized);
        assert_memory_equal(root.data, block->app_hash, 32);
    }
    if (root.len == 0)
        rc = call_init_chain(script, error);
    return rc == 0 ? replay(script, height, error) : rc;
}

void script_handshake_good(struct script *script)
{
    struct hm_error error;

    if (script_handshake(script, &error) != 0)
        fail_msg("handshake: %s", error.text);
}

/* --- blocks -------------------------------------------------------------------------------------------------------- */

static uint64_t next_height(const struct script *script)
{
    return newest(script) == NULL ? script->initial_height : newest(script)->height + 1;
}

static struct hm_slice *call_prepare(struct script *script, const struct hm_slice *items,
                                     size_t *count)
{
    Hypermesh__Abci__Request request = HYPERMESH__ABCI__REQUEST__INIT;
    Hypermesh__Abci__RequestPrepareProposal prepare =
        HYPERMESH__ABCI__REQUEST_PREPARE_PROPOSAL__INIT;
    struct hm_error error = {0};
    size_t bytes = 0;

    prepare.max_tx_bytes = script->max_tx_bytes;
    prepare.txs = make_txs(script, items, *count);
    prepare.n_txs = *count;
    prepare.height = (int64_t)next_height(script);
    prepare.time = make_time(script, script->bft_ms);
    prepare.local_last_commit = script->votes;
    prepare.misbehavior = script->faults;
    prepare.n_misbehavior = script->fault_count;
    prepare.next_validators_hash = next_validators_hash(script);
    prepare.proposer_address = wire_bytes(script->cometbft.validator_address, ENGINE_ADDRESS_BYTES);
    request.value_case = HYPERMESH__ABCI__REQUEST__VALUE_PREPARE_PROPOSAL;
    request.prepare_proposal = &prepare;
    const Hypermesh__Abci__Response *answer = script_call(script, script->consensus, &request,
                                                          &error);
    assert_non_null(answer);
    const Hypermesh__Abci__ResponsePrepareProposal *proposal = answer->prepare_proposal;
    for (size_t i = 0; i < proposal->n_txs; i++)
        bytes += abci_tx_bytes(proposal->txs[i].len);
    assert_true(bytes <= (size_t)script->max_tx_bytes);
    *count = proposal->n_txs;
    return copy_items(script, proposal->txs, proposal->n_txs);
}

bool script_accepts(struct script *script, const struct hm_slice *items, size_t count)
{
    Hypermesh__Abci__Request request = HYPERMESH__ABCI__REQUEST__INIT;
    Hypermesh__Abci__RequestProcessProposal process =
        HYPERMESH__ABCI__REQUEST_PROCESS_PROPOSAL__INIT;
    struct hm_error error = {0};

    process.txs = make_txs(script, items, count);
    process.n_txs = count;
    process.proposed_last_commit = make_commit(script,
                                               next_height(script) == script->initial_height);
    process.hash = some_hash(script, next_height(script));
    process.height = (int64_t)next_height(script);
    process.time = make_time(script, script->bft_ms);
    process.misbehavior = script->faults;
    process.n_misbehavior = script->fault_count;
    process.next_validators_hash = next_validators_hash(script);
    process.proposer_address = wire_bytes(script->cometbft.validator_address, ENGINE_ADDRESS_BYTES);
    request.value_case = HYPERMESH__ABCI__REQUEST__VALUE_PROCESS_PROPOSAL;
    request.process_proposal = &process;
    const Hypermesh__Abci__Response *answer = script_call(script, script->consensus, &request,
                                                          &error);
    script->broken = answer == NULL;
    if (script->may_break && answer == NULL)
        return false;
    assert_non_null(answer);
    return answer->process_proposal->status ==
           HYPERMESH__ABCI__RESPONSE_PROCESS_PROPOSAL__STATUS__ACCEPT;
}

static int call_finalize(struct script *script, struct script_block *block, struct hm_error *error)
{
    Hypermesh__Abci__Request request = HYPERMESH__ABCI__REQUEST__INIT;
    Hypermesh__Abci__RequestFinalizeBlock finalize = HYPERMESH__ABCI__REQUEST_FINALIZE_BLOCK__INIT;

    finalize.txs = make_txs(script, block->items, block->count);
    finalize.n_txs = block->count;
    finalize.decided_last_commit = make_commit(script, block->height == script->initial_height);
    finalize.hash = wire_bytes(block->hash, 32);
    finalize.height = (int64_t)block->height;
    finalize.time = make_time(script, block->bft_ms);
    finalize.misbehavior = script->faults;
    finalize.n_misbehavior = script->fault_count;
    finalize.next_validators_hash = next_validators_hash(script);
    finalize.proposer_address = wire_bytes(script->cometbft.validator_address,
                                           ENGINE_ADDRESS_BYTES);
    request.value_case = HYPERMESH__ABCI__REQUEST__VALUE_FINALIZE_BLOCK;
    request.finalize_block = &finalize;
    const Hypermesh__Abci__Response *answer = script_call(script, script->consensus, &request,
                                                          error);
    if (answer == NULL)
        return error->code;
    assert_int_equal(answer->finalize_block->n_tx_results, block->count);
    assert_int_equal(answer->finalize_block->app_hash.len, 32);
    take_set(answer->finalize_block->validator_updates, answer->finalize_block->n_validator_updates,
             &script->changed);
    if (block->finalized) /* the same each time, or the node would be poisoned */
        assert_memory_equal(answer->finalize_block->app_hash.data, block->app_hash, 32);
    memcpy(block->app_hash, answer->finalize_block->app_hash.data, 32);
    block->finalized = true;
    return 0;
}

static int call_commit(struct script *script, struct script_block *block, struct hm_error *error)
{
    Hypermesh__Abci__Request request = HYPERMESH__ABCI__REQUEST__INIT;
    Hypermesh__Abci__RequestCommit commit = HYPERMESH__ABCI__REQUEST_COMMIT__INIT;

    request.value_case = HYPERMESH__ABCI__REQUEST__VALUE_COMMIT;
    request.commit = &commit;
    const Hypermesh__Abci__Response *answer = script_call(script, script->consensus, &request,
                                                          error);
    if (answer == NULL)
        return error->code;
    block->committed = true;
    return 0;
}

static struct script_block *store_block(struct script *script, const struct hm_slice *items,
                                        size_t count)
{
    assert_true(script->block_count < SCRIPT_BLOCKS_MAX);
    uint64_t height = next_height(script);
    struct script_block *block = &script->blocks[script->block_count++];

    *block = (struct script_block){
        .height = height,
        .bft_ms = script->bft_ms,
        .items = copy_items(script, make_txs(script, items, count), count),
        .count = count};
    memcpy(block->hash, some_hash(script, height).data, 32);
    script->bft_ms += 10;
    return block;
}

/* Is the item still wanted after the block? As the engine asks with recheck = true. */
static bool is_still_good(struct script *script, struct hm_slice item)
{
    Hypermesh__Abci__RequestCheckTx request = HYPERMESH__ABCI__REQUEST_CHECK_TX__INIT;
    Hypermesh__Abci__ResponseCheckTx answer = HYPERMESH__ABCI__RESPONSE_CHECK_TX__INIT;

    request.tx = wire_bytes(item.data, item.len);
    request.type = HYPERMESH__ABCI__CHECK_TX_TYPE__RECHECK;
    assert_int_equal(
        script->handlers->check_tx(script->handlers->ctx, &request, &script->arena, &answer, NULL),
        0);
    return answer.code == 0;
}

/* Items of the block leave the mempool, and those that the application does not want any more. */
static void rpc_update(struct script *script, const struct script_block *block)
{
    struct script_rpc *rpc = &script->rpc;
    size_t kept = 0;

    pthread_mutex_lock(&rpc->lock);
    for (size_t i = 0; i < rpc->item_count; i++) {
        struct hm_slice item = hm_buf_slice(&rpc->items[i]);
        bool gone = false;

        for (size_t j = 0; j < block->count && !gone; j++)
            gone = hm_slice_equal(item, block->items[j]);
        if (gone || !is_still_good(script, item))
            hm_buf_release(&rpc->items[i]);
        else
            rpc->items[kept++] = rpc->items[i];
    }
    rpc->item_count = kept;
    pthread_mutex_unlock(&rpc->lock);
}

static int run_decided(struct script *script, struct script_block *block, enum script_stop stop,
                       struct hm_error *error)
{
    if (stop == SCRIPT_AFTER_STORE)
        return 0;
    int rc = call_finalize(script, block, error);
    if (rc != 0 || stop == SCRIPT_AFTER_FINALIZE)
        return rc;
    rc = call_commit(script, block, error);
    if (rc == 0)
        rpc_update(script, block);
    if (stop == SCRIPT_AFTER_COMMIT)
        block->committed = false;
    return rc;
}

int script_decide(struct script *script, const struct hm_slice *items, size_t count,
                  enum script_stop stop, struct hm_error *error)
{
    *error = (struct hm_error){0};
    return run_decided(script, store_block(script, items, count), stop, error);
}

struct script_block *script_run(struct script *script, enum script_stop stop)
{
    struct hm_slice waiting[SCRIPT_ITEMS_MAX];
    struct hm_error error = {0};
    size_t count;

    pthread_mutex_lock(&script->rpc.lock);
    count = script->rpc.item_count;
    for (size_t i = 0; i < count; i++) {
        const struct hm_buf *item = &script->rpc.items[i];
        waiting[i] = hm_slice_of(hm_arena_dup(&script->arena, item->data, item->len), item->len);
    }
    pthread_mutex_unlock(&script->rpc.lock);
    struct hm_slice *items = call_prepare(script, waiting, &count);
    if (stop == SCRIPT_AFTER_PREPARE)
        return NULL;
    if (!script_accepts(script, items, count))
        fail_msg("its own proposal is refused: %s", script->log.text);
    if (stop == SCRIPT_AFTER_PROCESS)
        return NULL;
    struct script_block *block = store_block(script, items, count);
    if (run_decided(script, block, stop, &error) != 0)
        fail_msg("block %llu: %s", (unsigned long long)block->height, error.text);
    return block;
}

/* --- short forms --------------------------------------------------------------------------------------------------- */

struct engine_answer *script_submit(struct script *script, enum fixture_role from)
{
    return engine_fixture_submit(&script->fix, engine_fixture_transfer(&script->fix, from));
}

struct ledger_info script_ledger(struct script *script)
{
    struct ledger_info info;

    assert_int_equal(ledger_info(script->fix.options.ledger, &info, NULL), 0);
    return info;
}

struct hm_slice script_note(struct script *script, uint64_t time_ms)
{
    Hypermesh__BlockNote note = HYPERMESH__BLOCK_NOTE__INIT;
    HM_CLEANUP(hm_buf) struct hm_buf item = {0};

    note.time_ms = time_ms;
    assert_int_equal(ledger_note_pack(&note, &item, NULL), 0);
    return hm_slice_of(hm_arena_dup(&script->arena, item.data, item.len), item.len);
}
