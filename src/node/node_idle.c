#include "node_idle.h"

#include <stdio.h>
#include <unistd.h>

int node_idle_path(const struct node_idle *idle, const char *name, char out[NODE_PATH_MAX_BYTES],
                   struct hm_error *error)
{
    int len = snprintf(out, NODE_PATH_MAX_BYTES, "%s/%s", idle->data_dir, name);

    return len > 0 && len < NODE_PATH_MAX_BYTES
               ? 0
               : hm_fail(error, HM_ELIMIT, "the data directory's path is too long");
}

void node_idle_release(struct node_idle *idle)
{
    ledger_close(HM_TAKE(idle->ledger));
    store_close(HM_TAKE(idle->store));
}

int node_idle_keep(struct node_idle *idle, struct hm_error *error)
{
    char log_path[NODE_PATH_MAX_BYTES];
    const struct engine_options options = {
        .ledger = idle->ledger, .store = idle->store, .log_path = log_path};
    int rc = node_idle_path(idle, NODE_LOG_NAME, log_path, error);

    if (rc == 0)
        rc = engine_solo_recover(&options, error);
    return rc != 0 ? rc : ledger_info(idle->ledger, &idle->info, error);
}

static int node_idle_ledger(struct node_idle *idle, struct hm_error *error)
{
    const struct store_options options = {
        .tables = ledger_table_names, .table_count = LEDGER_TABLE_COUNT, .deferred = true};
    char path[NODE_PATH_MAX_BYTES];
    int rc = node_idle_path(idle, "ledger", path, error);

    if (rc == 0 && access(path, F_OK) != 0)
        rc = hm_fail(error, HM_ENOTFOUND, "no node's ledger is in %s", idle->data_dir);
    if (rc == 0) {
        rc = store_open_lmdb(path, &options, &idle->store, error);
        if (rc == HM_EBUSY)
            rc = hm_error_prefix(error, rc, "the node in %s runs: stop it first (nexus down)",
                                 idle->data_dir);
    }
    if (rc == 0)
        rc = ledger_open(idle->store, &idle->ledger, error);
    if (rc == 0) {
        rc = ledger_info(idle->ledger, &idle->info, error);
        if (rc == HM_ENOTFOUND)
            rc = hm_fail(error, rc, "the ledger in %s has no chain yet: the node was never ready",
                         idle->data_dir);
    }
    return rc != 0 ? rc : node_idle_keep(idle, error);
}

int node_idle_open(const char *data_dir, struct node_idle *out, struct hm_error *error)
{
    struct node_idle idle = {.store = NULL};
    int rc = crypto_setup(error);

    if (rc != 0)
        return rc;
    if (data_dir[0] != '/')
        return hm_fail(error, HM_EINVAL, "the data directory '%.200s' is not an absolute path",
                       data_dir);
    if (strlen(data_dir) >= sizeof(idle.data_dir) - 64)
        return hm_fail(error, HM_ELIMIT, "the data directory's path is too long");
    snprintf(idle.data_dir, sizeof(idle.data_dir), "%s", data_dir);
    rc = node_idle_ledger(&idle, error);
    if (rc != 0) {
        node_idle_release(&idle);
        return rc;
    }
    *out = idle;
    return 0;
}
