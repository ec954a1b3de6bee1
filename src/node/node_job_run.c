/* The main flow: place, lease, run, settle. One thread a job; every step leaves a record that a restart can
 * finish from. */
#include <stdio.h>
#include <time.h>

#include "node_job.h"
#include "sched.h"

/* The lease outlasts the job's own timeout by this much, so that its settlement reaches the ledger. Time not
 * used is not paid. */
#define NODE_LEASE_GRACE_MS UINT64_C(10000)
#define NODE_PLACE_RETRY_MS 1000

/* --- place and lease --------------------------------------------------------------------------------------- */

static int node_share_for(const Hypermesh__Asset *asset, uint64_t amount, uint32_t *share_ppm,
                          struct hm_error *error)
{
    const struct asset_adapter *adapter = asset_adapter_of(asset->kind);

    if (adapter == NULL)
        return hm_fail(error, HM_EUNSUPPORTED, "leasing %s is not supported yet",
                       wire_asset_kind_name(asset->kind));
    return adapter->share_for(asset, amount, share_ppm, error);
}

static int node_place(struct node_job *job, struct hm_arena *arena, struct sched_placement *out,
                      struct hm_error *error)
{
    const struct ledger_asset_filter filter = {0};
    struct sched_snapshot snapshot = {.consumer = job->record.consumer.data,
                                      .share_for = node_share_for,
                                      .grace_ms = NODE_LEASE_GRACE_MS,
                                      .pids_per_slot = ASSET_SLOT_PIDS};
    struct ledger_view *view;
    Hypermesh__Params *params;
    Hypermesh__Asset **assets;

    int rc = ledger_view_open(job->node->ledger, &view, error);
    if (rc != 0)
        return rc;
    rc = ledger_view_params(view, arena, &params, error);
    if (rc == 0)
        rc = ledger_view_assets(view, &filter, NULL, LEDGER_PAGE_MAX, arena, &assets,
                                &snapshot.count, error);
    ledger_view_close(view);
    if (rc != 0)
        return rc;
    snapshot.assets = assets;
    snapshot.default_max_leases = params->max_leases_per_asset;
    snapshot.default_max_duration_ms = params->max_lease_ms;
    return sched_place(&snapshot, job->record.spec, out, error);
}

static void node_job_digest(const Hypermesh__JobSpec *spec, uint8_t out[CRYPTO_HASH_BYTES])
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};

    memset(out, 0, CRYPTO_HASH_BYTES);
    if (wire_pack(&spec->base, &bytes) == 0)
        crypto_hash(bytes.data, bytes.len, out);
}

static int node_allocate(struct node_job *job, const struct sched_placement *placement,
                         struct engine_receipt *receipt, struct hm_error *error)
{
    Hypermesh__Allocate allocate = HYPERMESH__ALLOCATE__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    Hypermesh__Operation *ops[] = {&op};
    Hypermesh__LeaseItem items[SCHED_ITEMS_MAX];
    Hypermesh__LeaseItem *pointers[SCHED_ITEMS_MAX];
    uint8_t digest[CRYPTO_HASH_BYTES];

    for (size_t i = 0; i < placement->count; i++) {
        hypermesh__lease_item__init(&items[i]);
        items[i].asset = placement->items[i].asset->id;
        items[i].share_ppm = placement->items[i].share_ppm;
        items[i].max_price_per_hour = placement->items[i].asset->price_per_hour;
        pointers[i] = &items[i];
    }
    node_job_digest(job->record.spec, digest);
    allocate.n_items = placement->count;
    allocate.items = pointers;
    allocate.duration_ms = job->record.spec->timeout_ms + NODE_LEASE_GRACE_MS;
    allocate.job = wire_bytes(digest, sizeof(digest));
    op.op_case = HYPERMESH__OPERATION__OP_ALLOCATE;
    op.allocate = &allocate;
    return node_wallet_submit(job->node, job->account, ops, HM_COUNT_OF(ops), receipt, error);
}

/* Waits until another job ends; false: cancelled, or none is there that could make room. */
static bool node_wait_for_room(struct node_job *job)
{
    struct node_jobs *jobs = &job->node->jobs;
    struct timespec until;
    bool others;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += NODE_PLACE_RETRY_MS / 1000;
    pthread_mutex_lock(&jobs->lock);
    others = jobs->leased > 0 && !jobs->stopping;
    if (others)
        pthread_cond_timedwait(&jobs->changed, &jobs->lock, &until);
    pthread_mutex_unlock(&jobs->lock);
    return others && !node_job_cancelled(job);
}

static void node_count_leased(struct node *node, int change)
{
    pthread_mutex_lock(&node->jobs.lock);
    node->jobs.leased = change > 0 ? node->jobs.leased + 1 : node->jobs.leased - 1;
    pthread_cond_broadcast(&node->jobs.changed);
    pthread_mutex_unlock(&node->jobs.lock);
}

static int node_remember(struct node_job *job, ProtobufCBinaryData *field, const void *data,
                         size_t len)
{
    void *copy = hm_arena_dup(&job->arena, data, len);

    if (copy == NULL)
        return HM_ENOMEM;
    *field = wire_bytes(copy, len);
    return 0;
}

/* The lease, waiting for room while other jobs of this node hold what is needed. */
static int node_job_lease(struct node_job *job, struct hm_error *error)
{
    struct engine_receipt *receipt = hm_arena_alloc(&job->arena, sizeof(*receipt));
    int rc;

    if (receipt == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a receipt");
    for (;;) {
        HM_CLEANUP(hm_arena) struct hm_arena arena;
        struct sched_placement placement;

        hm_arena_init(&arena, 0);
        rc = node_place(job, &arena, &placement, error);
        if (rc == 0)
            rc = node_allocate(job, &placement, receipt, error);
        /* HM_ECONFLICT: another took the share between the choice and the block. */
        if ((rc != HM_EUNAVAILABLE && rc != HM_ECONFLICT) || !node_wait_for_room(job))
            break;
    }
    if (rc != 0)
        return rc;
    if (receipt->created_count != 1)
        return hm_fail(error, HM_EINTERNAL, "an allocation made %zu leases",
                       receipt->created_count);
    node_count_leased(job->node, 1);
    if (node_remember(job, &job->record.lease, receipt->created[0], WIRE_ID_BYTES) != 0 ||
        node_remember(job, &job->record.allocate_tx, receipt->digest, CRYPTO_HASH_BYTES) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for a receipt");
    job->record.state = HYPERMESH__JOB_STATE__JOB_LEASED;
    return 0;
}

/* --- run ---------------------------------------------------------------------------------------------------------- */

static void node_job_started(void *ctx, int pid)
{
    struct node_job *job = ctx;

    (void)pid;
    job->record.started_ms = hm_wall_ms(job->node->options.clock);
    job->record.state = HYPERMESH__JOB_STATE__JOB_RUNNING;
    node_job_save(job);
}

static void node_job_output(void *ctx, uint64_t log_bytes)
{
    struct node_job *job = ctx;

    pthread_mutex_lock(&job->node->jobs.lock);
    job->log_bytes = log_bytes;
    pthread_cond_broadcast(&job->node->jobs.changed);
    pthread_mutex_unlock(&job->node->jobs.lock);
}

static int node_job_find_lease(struct node *node, const Hypermesh__JobRecord *record,
                               struct hm_arena *arena, Hypermesh__Lease **out,
                               struct hm_error *error)
{
    struct ledger_view *view;
    int rc = ledger_view_open(node->ledger, &view, error);

    if (rc != 0)
        return rc;
    rc = ledger_view_lease(view, record->lease.data, arena, out, error);
    ledger_view_close(view);
    return rc;
}

/* Keeps what the sandbox reports; texts go into the job's arena. */
static void node_job_report(struct node_job *job, const struct runtime_job_result *result)
{
    Hypermesh__JobRecord *record = &job->record;
    Hypermesh__JobUsage *usage = hm_arena_dup(&job->arena, &result->usage, sizeof(result->usage));
    char **warnings = hm_arena_alloc(&job->arena, (result->warning_count + 1) * sizeof(*warnings));

    record->outcome = result->outcome;
    record->exit_code = result->exit_code;
    record->reason = hm_arena_strdup(&job->arena, result->reason);
    record->sandbox = hm_arena_strdup(&job->arena, result->sandbox);
    if (record->reason == NULL || record->sandbox == NULL || usage == NULL || warnings == NULL) {
        record->reason = record->sandbox = (char *)(uintptr_t) "";
        return;
    }
    record->usage = usage;
    if (result->has_result)
        node_remember(job, &record->result, result->result, CRYPTO_HASH_BYTES);
    for (size_t i = 0; i < result->warning_count; i++) {
        warnings[i] = hm_arena_strdup(&job->arena, result->warnings[i]);
        if (warnings[i] == NULL)
            return;
        record->n_warnings = i + 1;
    }
    record->warnings = warnings;
}

static int node_job_execute(struct node_job *job, struct hm_error *error)
{
    struct node *node = job->node;
    Hypermesh__SandboxLimits limits;
    struct runtime_job_result *result = hm_arena_alloc(&job->arena, sizeof(*result));
    char folder[NODE_PATH_MAX_BYTES];
    Hypermesh__Lease *lease;

    if (result == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a job's result");
    node_job_folder(node, job->id, folder);
    int rc = node_job_find_lease(node, &job->record, &job->arena, &lease, error);
    if (rc == 0)
        rc = node_remember(job, &job->record.provider, lease->provider.data, lease->provider.len);
    if (rc == 0)
        rc = node_lease_limits(node, lease, &job->arena, &limits, error);
    if (rc != 0)
        return rc;
    const struct runtime_job_request request = {.id = job->id,
                                                .spec = job->record.spec,
                                                .limits = &limits,
                                                .dir = folder,
                                                .cancel_fd = job->cancel_fd,
                                                .started = node_job_started,
                                                .output = node_job_output,
                                                .ctx = job};
    struct node_gpu_watch *watch = node_gpu_watch_start(node, lease);
    rc = runtime_job_run(node->images, &node->machine, &request, result, error);
    result->usage.gpu_ns = node_gpu_watch_stop(watch);
    if (rc == 0)
        node_job_report(job, result);
    return rc;
}

/* --- settle --------------------------------------------------------------------------------------------------------- */

int node_job_settle(struct node *node, Hypermesh__JobRecord *record,
                    const Hypermesh__JobUsage *used, struct hm_arena *arena, struct hm_error *error)
{
    Hypermesh__Settle settle = HYPERMESH__SETTLE__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    Hypermesh__Operation *ops[] = {&op};
    struct engine_receipt *receipt = hm_arena_alloc(arena, sizeof(*receipt));
    Hypermesh__Lease *lease;

    if (receipt == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a settlement");
    int rc = node_job_find_lease(node, record, arena, &lease, error);
    if (rc != 0)
        return rc;
    if (lease->state != HYPERMESH__LEASE_STATE__LEASE_ACTIVE)
        return hm_fail(error, HM_ECONFLICT, "the lease has ended already: %s",
                       wire_lease_state_name(lease->state));
    settle.lease = record->lease;
    settle.result = record->result;
    settle.exit_code = record->exit_code;
    settle.outcome = record->outcome;
    rc = node_lease_usage(node, lease, used, arena, &settle.usage, &settle.n_usage, error);
    if (rc != 0)
        return rc;
    op.op_case = HYPERMESH__OPERATION__OP_SETTLE;
    op.settle = &settle;
    rc = node_wallet_submit(node, NODE_OPERATOR, ops, HM_COUNT_OF(ops), receipt, error);
    if (rc == 0)
        record->settle_tx = wire_bytes(receipt->digest, CRYPTO_HASH_BYTES);
    return rc;
}

/* The four proofs of the allocation, checked again and timed, for the user to see. */
static void node_job_proofs(struct node_job *job)
{
    struct node *node = job->node;
    struct ledger_view *view;
    Hypermesh__ProofReport *reports;

    if (ledger_view_open(node->ledger, &view, NULL) != 0)
        return;
    if (node_proofs_of_tx(node, view, job->record.allocate_tx.data, &job->arena, &reports, NULL) ==
        0) {
        Hypermesh__ProofReport **list = hm_arena_alloc(&job->arena,
                                                       LEDGER_PROOF_COUNT * sizeof(*list));

        for (size_t i = 0; list != NULL && i < LEDGER_PROOF_COUNT; i++) {
            list[i] = &reports[i];
            job->record.n_proofs = i + 1;
        }
        job->record.proofs = list;
    }
    ledger_view_close(view);
}

static void node_job_fail(struct node_job *job, int code, const struct hm_error *error)
{
    job->record.outcome = code == HM_ECANCELLED ? HYPERMESH__JOB_OUTCOME__CANCELLED
                                                : HYPERMESH__JOB_OUTCOME__FAILED;
    job->record.exit_code = -1;
    job->record.reason = hm_arena_strdup(&job->arena, error->text);
    if (job->record.reason == NULL)
        job->record.reason = (char *)(uintptr_t) "";
}

static void node_job_close_lease(struct node_job *job)
{
    Hypermesh__JobUsage nothing = HYPERMESH__JOB_USAGE__INIT;
    struct hm_error error = {0};

    job->record.state = HYPERMESH__JOB_STATE__JOB_SETTLING;
    node_job_save(job);
    if (node_job_settle(job->node, &job->record,
                        job->record.usage != NULL ? job->record.usage : &nothing, &job->arena,
                        &error) != 0) {
        hm_log(HM_LOG_WARN, "node", "job %s: its lease is not settled: %s", job->id, error.text);
        if (job->record.reason[0] == '\0')
            job->record.reason = hm_arena_printf(&job->arena, "not settled: %s", error.text);
    }
    node_count_leased(job->node, -1);
}

void *node_job_main(void *arg)
{
    struct node_job *job = arg;
    struct hm_error error = {0};
    int rc = node_job_lease(job, &error);

    if (rc == 0 && node_job_cancelled(job))
        rc = hm_fail(&error, HM_ECANCELLED, "cancelled before it started");
    if (rc == 0) {
        node_job_proofs(job);
        node_job_save(job);
        rc = node_job_execute(job, &error);
    }
    if (rc != 0)
        node_job_fail(job, rc, &error);
    job->record.ended_ms = hm_wall_ms(job->node->options.clock);
    if (job->record.lease.len == WIRE_ID_BYTES)
        node_job_close_lease(job);
    job->record.state = HYPERMESH__JOB_STATE__JOB_DONE;
    if (job->record.reason == NULL)
        job->record.reason = (char *)(uintptr_t) "";
    node_job_save(job);
    hm_log(HM_LOG_INFO, "node", "job %s ended: %s, exit code %d", job->id,
           wire_outcome_name(job->record.outcome), job->record.exit_code);
    node_job_end(job);
    return NULL;
}
