/* Metrics in Prometheus's text format, named by its rules: base units, _total for counters. */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "node_private.h"

static int node_metric(struct hm_buf *out, const char *name, const char *type, const char *help,
                       double value)
{
    return hm_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %.17g\n", name, help, name, type,
                         name, value);
}

static double node_tokens(uint64_t base_units)
{
    return (double)base_units / 1e9;
}

static int node_metrics_ledger(struct node *node, struct hm_buf *out)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__Supply *supply;
    struct ledger_view *view;
    struct ledger_info info;
    int rc;

    hm_arena_init(&arena, 0);
    if (node_view(node, &view, NULL) != 0)
        return 0;
    rc = ledger_view_info(view, &info, NULL);
    if (rc == 0)
        rc = ledger_view_supply(view, &arena, &supply, NULL);
    ledger_view_close(view);
    if (rc != 0)
        return rc;
    const struct {
        const char *name, *help;
        double value;
    } gauges[] = {
        {"hypermesh_ledger_height", "Height of the last durable block.", (double)info.height},
        {"hypermesh_ledger_time_seconds", "Time of the last block.", (double)info.time_ms / 1e3},
        {"hypermesh_ledger_base_fee_hyper", "HYPER for one unit of weight.",
         node_tokens(info.base_fee)},
        {"hypermesh_supply_accounts_hyper", "HYPER in free balances.",
         node_tokens(supply->hyper_accounts)},
        {"hypermesh_supply_bonded_hyper", "HYPER bonded or unbonding.",
         node_tokens(supply->hyper_bonded)},
        {"hypermesh_supply_escrow_hyper", "HYPER held for leases.",
         node_tokens(supply->hyper_escrow)},
        {"hypermesh_supply_deposits_hyper", "HYPER locked in open challenges.",
         node_tokens(supply->hyper_deposits)},
        {"hypermesh_supply_burnt_hyper", "HYPER burnt as fees.", node_tokens(supply->hyper_burnt)},
        {"hypermesh_supply_minted_caes", "CAES minted as rewards.",
         node_tokens(supply->caes_minted)},
    };
    for (size_t i = 0; rc == 0 && i < HM_COUNT_OF(gauges); i++)
        rc = node_metric(out, gauges[i].name, "gauge", gauges[i].help, gauges[i].value);
    return rc;
}

/* What challenges of this node came to. */
static int node_metrics_standing(struct node *node, struct hm_buf *out)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__Account *account;
    struct ledger_view *view;
    int rc;

    hm_arena_init(&arena, 0);
    if (node_view(node, &view, NULL) != 0)
        return 0;
    rc = ledger_view_account(view, node->operator_id, &arena, &account, NULL);
    ledger_view_close(view);
    if (rc != 0)
        return rc;
    const Hypermesh__NodeMarks none = HYPERMESH__NODE_MARKS__INIT;
    const Hypermesh__NodeMarks *marks = account->marks != NULL ? account->marks : &none;
    const struct {
        const char *name, *type, *help;
        double value;
    } rows[] = {
        {"hypermesh_challenges_open", "gauge", "Challenges that wait for this node's answer.",
         (double)marks->open},
        {"hypermesh_challenges_won_total", "counter", "Challenges answered rightly.",
         (double)marks->answered},
        {"hypermesh_challenges_lost_total", "counter", "Challenges answered wrongly, or not.",
         (double)marks->failed},
        {"hypermesh_challenges_slashed_hyper_total", "counter", "Bond lost in them.",
         node_tokens(marks->slashed)},
        {"hypermesh_challenges_missed_total", "counter",
         "Challenges that could not be answered at the first try, since start.",
         (double)atomic_load(&node->challenges.missed)},
        {"hypermesh_feed_subscriptions", "gauge", "Those who wait for news.",
         (double)(atomic_load(&node->feed.block_count) + atomic_load(&node->feed.kv_count))},
    };
    for (size_t i = 0; rc == 0 && i < HM_COUNT_OF(rows); i++)
        rc = node_metric(out, rows[i].name, rows[i].type, rows[i].help, rows[i].value);
    return rc;
}

static int node_metrics_engine(struct node *node, struct hm_buf *out)
{
    struct engine_status status;

    engine_get_status(node->engine, &status);
    int rc = node_metric(out, "hypermesh_engine_blocks_total", "counter",
                         "Blocks made since start.", (double)status.blocks);
    if (rc == 0)
        rc = node_metric(out, "hypermesh_engine_transactions_total", "counter",
                         "Transactions in those blocks.", (double)status.txs);
    if (rc == 0)
        rc = node_metric(out, "hypermesh_engine_busy_seconds_total", "counter",
                         "Time the ledger's writer spent on blocks.", (double)status.busy_ns / 1e9);
    if (rc == 0)
        rc = node_metric(out, "hypermesh_engine_queue_length", "gauge", "Transactions waiting.",
                         (double)status.queued);
    return rc;
}

static int node_metrics_jobs(struct node *node, struct hm_buf *out)
{
    pthread_mutex_lock(&node->jobs.lock);
    double live = (double)node->jobs.running, leased = (double)node->jobs.leased;
    pthread_mutex_unlock(&node->jobs.lock);
    int rc = node_metric(out, "hypermesh_jobs_live", "gauge", "Jobs that have not ended.", live);
    if (rc == 0)
        rc = node_metric(out, "hypermesh_jobs_leased", "gauge", "Of them, holding a lease.",
                         leased);
    return rc;
}

static int node_metrics_store(struct node *node, struct hm_buf *out)
{
    struct store_stats stats;

    if (store_stats(node->store, &stats, NULL) != 0)
        return 0;
    return node_metric(out, "hypermesh_store_used_bytes", "gauge", "Ledger's size on disk.",
                       (double)stats.bytes_used);
}

static int node_metrics_kv(struct node *node, struct hm_buf *out)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__KvState *state;
    struct ledger_view *view;
    int rc;

    hm_arena_init(&arena, 0);
    if (node_view(node, &view, NULL) != 0)
        return 0;
    rc = ledger_view_kv_state(view, &arena, &state, NULL);
    ledger_view_close(view);
    if (rc != 0)
        return rc;
    rc = node_metric(out, "hypermesh_kv_revision", "gauge",
                     "Newest revision of the key-value store.", (double)state->revision);
    if (rc == 0)
        rc = node_metric(out, "hypermesh_kv_compacted_revision", "gauge",
                         "History before it is gone.", (double)state->compacted);
    if (rc == 0)
        rc = node_metric(out, "hypermesh_kv_keys", "gauge", "Keys there are.", (double)state->keys);
    if (rc == 0)
        rc = node_metric(out, "hypermesh_kv_leases", "gauge", "Leases of the key-value store.",
                         (double)state->leases);
    return rc;
}

static int node_metrics_disk(struct node *node, struct hm_buf *out)
{
    struct statvfs disk;

    if (statvfs(node->data_dir, &disk) != 0)
        return 0;
    int rc = node_metric(out, "hypermesh_disk_free_bytes", "gauge",
                         "Free where the data directory is.",
                         (double)disk.f_bavail * (double)disk.f_frsize);
    return rc != 0 ? rc
                   : node_metric(out, "hypermesh_disk_size_bytes", "gauge",
                                 "Size of the file system of the data directory.",
                                 (double)disk.f_blocks * (double)disk.f_frsize);
}

static int node_metrics_trace(struct hm_buf *out)
{
    struct trace_stats stats;

    trace_get_stats(&stats);
    int rc = node_metric(out, "hypermesh_trace_spans_sent_total", "counter",
                         "Spans that the collector took.", (double)stats.sent);
    if (rc == 0)
        rc = node_metric(out, "hypermesh_trace_spans_dropped_total", "counter",
                         "Spans that were lost: the collector was slow or away.",
                         (double)stats.dropped);
    return rc;
}

/* Sizes in pages, as the kernel counts them: size, resident, ... */
static void node_memory_sizes(double *virtual_bytes, double *resident_bytes)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    double page = (double)sysconf(_SC_PAGESIZE);
    char *rest = NULL;

    *virtual_bytes = *resident_bytes = 0;
    if (hm_file_read("/proc/self/statm", 4096, &text, NULL) != 0)
        return;
    *virtual_bytes = (double)strtoull(hm_buf_cstr(&text), &rest, 10) * page;
    *resident_bytes = (double)strtoull(rest, NULL, 10) * page;
}

static int node_metrics_memory(struct hm_buf *out)
{
    struct rlimit files = {0};
    double virtual_bytes, resident_bytes;

    node_memory_sizes(&virtual_bytes, &resident_bytes);
    getrlimit(RLIMIT_NOFILE, &files);
    int rc = node_metric(out, "process_resident_memory_bytes", "gauge", "Resident memory.",
                         resident_bytes);
    if (rc == 0)
        rc = node_metric(out, "process_virtual_memory_bytes", "gauge", "Virtual memory.",
                         virtual_bytes);
    return rc != 0 ? rc
                   : node_metric(out, "process_max_fds", "gauge", "Descriptors there may be.",
                                 (double)files.rlim_cur);
}

static double node_open_fd_count(void)
{
    DIR *dir = opendir("/proc/self/fd");
    double count = -1; /* the folder's own descriptor */

    if (dir == NULL)
        return 0;
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count - 2; /* . and .. */
}

static int node_metrics_process(struct node *node, struct hm_buf *out)
{
    struct rusage usage = {0};

    getrusage(RUSAGE_SELF, &usage);
    int rc = node_metric(out, "process_cpu_seconds_total", "counter", "CPU time used.",
                         (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                             (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    if (rc == 0)
        rc = node_metric(out, "hypermesh_process_max_resident_bytes", "gauge", "Peak memory.",
                         (double)usage.ru_maxrss * 1024);
    if (rc == 0)
        rc = node_metric(out, "process_open_fds", "gauge", "Open descriptors.",
                         node_open_fd_count());
    if (rc == 0)
        rc = node_metric(out, "process_start_time_seconds", "gauge", "When the node started.",
                         (double)node->started_ms / 1e3);
    return rc;
}

int node_metrics(void *ctx, struct hm_buf *out, struct hm_error *error)
{
    struct node *node = ctx;
    bool ready = atomic_load(&node->ready);
    bool opened = atomic_load(&node->opened);
    int rc = node_metric(out, "hypermesh_ready", "gauge", "1 when the node serves.", ready);

    if (rc == 0)
        rc = hm_buf_printf(out,
                           "# HELP hypermesh_build_info Version of this daemon.\n"
                           "# TYPE hypermesh_build_info gauge\n"
                           "hypermesh_build_info{version=\"%s\"} 1\n",
                           HM_VERSION);
    if (rc == 0 && opened)
        rc = node_metrics_ledger(node, out);
    if (rc == 0 && opened)
        rc = node_metrics_standing(node, out);
    if (rc == 0 && opened)
        rc = node_metrics_engine(node, out);
    if (rc == 0 && opened)
        rc = node_engine_metrics(node, out);
    if (rc == 0 && opened)
        rc = node_view_metrics(node, out);
    if (rc == 0 && opened)
        rc = node_metrics_kv(node, out);
    if (rc == 0)
        rc = node_metrics_jobs(node, out);
    if (rc == 0)
        rc = node_metrics_store(node, out);
    if (rc == 0)
        rc = node_metrics_disk(node, out);
    if (rc == 0)
        rc = node_metrics_process(node, out);
    if (rc == 0)
        rc = node_metrics_memory(out);
    if (rc == 0)
        rc = node_metrics_trace(out);
    return rc == 0 ? 0 : hm_fail(error, HM_ENOMEM, "no memory for metrics");
}
