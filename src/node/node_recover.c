/* After a kill: what a job left running is removed, and its lease is settled. The ledger may know more than the
 * job's record, which is written after each step: a lease that no record names, a settlement that is done. */
#include <stdio.h>

#include "node_job.h"

/* Active lease of this consumer that was made for this specification, on this node's assets. */
static bool node_lease_fits(const struct node *node, const Hypermesh__JobRecord *record,
                            const uint8_t digest[CRYPTO_HASH_BYTES], const Hypermesh__Lease *lease)
{
    return hm_slice_equal(wire_slice(lease->job), hm_slice_of(digest, CRYPTO_HASH_BYTES)) &&
           hm_slice_equal(wire_slice(lease->consumer), wire_slice(record->consumer)) &&
           hm_slice_equal(wire_slice(lease->provider),
                          hm_slice_of(node->operator_id, WIRE_ID_BYTES));
}

/* Looks for the lease of a job that was killed between the block and its record. */
static void node_recover_lease(struct node *node, Hypermesh__JobRecord *record,
                               struct hm_arena *arena)
{
    const struct ledger_lease_filter filter = {.party = node->operator_id, .active_only = true};
    uint8_t digest[CRYPTO_HASH_BYTES];
    const uint8_t *after = NULL;
    struct ledger_view *view;
    Hypermesh__Lease **leases;
    size_t count = 0;

    if (record->spec == NULL || ledger_view_open(node->ledger, &view, NULL) != 0)
        return;
    node_job_digest(record->spec, digest);
    do {
        if (ledger_view_leases(view, &filter, after, LEDGER_PAGE_MAX, arena, &leases, &count,
                               NULL) != 0)
            break;
        for (size_t i = 0; i < count && record->lease.len == 0; i++)
            if (node_lease_fits(node, record, digest, leases[i]))
                record->lease = leases[i]->id;
        after = count > 0 ? leases[count - 1]->id.data : NULL;
    } while (count == LEDGER_PAGE_MAX && record->lease.len == 0);
    ledger_view_close(view);
}

/* Usage and outcome are there when the kill came after the end of the job. False: the cluster takes nothing, and the node is
 * stopping. */
static bool node_recover_settle(struct node *node, Hypermesh__JobRecord *record, bool ended,
                                struct hm_arena *arena)
{
    Hypermesh__JobUsage nothing = HYPERMESH__JOB_USAGE__INIT;
    struct hm_error error = {0};

    if (record->lease.len == 0)
        node_recover_lease(node, record, arena);
    if (record->lease.len != WIRE_ID_BYTES)
        return true;
    int rc;
    do
        rc = node_job_settle(node, record, record->usage != NULL ? record->usage : &nothing, arena,
                             &error);
    while (rc != 0 && node_engine_may_try_again(node, rc, &error));
    if (node_engine_is_late(node, rc))
        return false;
    if (rc != 0 &&
        !(ended && rc == HM_ECONFLICT)) /* settled already, and killed before it said so */
        hm_log(HM_LOG_WARN, "node", "job %s: its lease is not settled: %s", record->id, error.text);
    return true;
}

static void node_recover_job(struct node *node, Hypermesh__JobRecord *record,
                             struct hm_arena *arena)
{
    bool ended = record->state == HYPERMESH__JOB_STATE__JOB_SETTLING;
    char folder[NODE_PATH_MAX_BYTES];
    struct hm_error error = {0};

    node_job_folder(node, record->id, folder);
    if (node->machine_known && runtime_job_reap(&node->machine, record->id, folder, &error) != 0)
        hm_log(HM_LOG_WARN, "node", "job %s: not everything it left could be removed: %s",
               record->id, error.text);
    if (!ended) {
        record->outcome = HYPERMESH__JOB_OUTCOME__FAILED;
        record->exit_code = -1;
        record->reason = (char *)(uintptr_t)("the node stopped while the job was on its way");
        record->ended_ms = hm_wall_ms(node->options.clock);
    }
    if (!node_recover_settle(node, record, ended, arena))
        return;
    record->state = HYPERMESH__JOB_STATE__JOB_DONE;
    if (node_job_write(node, record, &error) != 0)
        hm_log(HM_LOG_ERROR, "node", "job %s: its record is not stored: %s", record->id,
               error.text);
}

/* Jobs that have not ended and whose record names a lease, or those whose does not. */
static int node_recover_those(struct node *node, bool with_lease, struct hm_error *error)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    char id[NODE_JOB_ID_CHARS + 1] = "";
    Hypermesh__JobRecord *record;
    int rc;

    hm_arena_init(&arena, 0);
    while ((rc = node_job_after(node, id, &arena, &record, error)) == 0) {
        snprintf(id, sizeof(id), "%s", record->id);
        if (record->state != HYPERMESH__JOB_STATE__JOB_DONE &&
            (record->lease.len > 0) == with_lease)
            node_recover_job(node, record, &arena);
        hm_arena_clear(&arena);
    }
    return rc == HM_ENOTFOUND ? 0 : rc;
}

int node_jobs_recover(struct node *node, struct hm_error *error)
{
    /* In this order: a lease that a record names is not another's who ran the same. */
    int rc = node_recover_those(node, true, error);

    return rc != 0 ? rc : node_recover_those(node, false, error);
}
