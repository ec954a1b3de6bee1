/* top: the node at a glance, again and again. */
#include <poll.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

#include "nexus_interrupt.h"
#include "nexus_metrics.h"
#include "nexus_resolve.h"
#include "nexus_text.h"
#include "nexus_verbs.h"

#define INTERVAL_MS     1000
#define INTERVAL_MIN_MS 100
#define LEASES_SHOWN    10
#define JOBS_SHOWN      10
#define ASSETS_SHOWN    20
/* Another screen, so that the user's own comes back; cursor hidden meanwhile. */
#define SCREEN_OPEN  "\033[?1049h\033[?25l"
#define SCREEN_CLOSE "\033[?25h\033[?1049l"
#define SCREEN_HOME  "\033[H\033[J"

struct sample {
    uint64_t at_ns;
    double blocks, txs, requests, busy_s;
};

struct top {
    struct nexus_call *call;
    struct sample before, now;
    double queue, connections, resident, stored, live_jobs;
};

static int take_sample(struct top *top)
{
    struct nexus_call *call = top->call;
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    int rc = nexus_metrics_get(call, &text);
    const char *all = rc ? "" : hm_buf_cstr(&text);

    if (rc)
        return rc;
    top->before = top->now;
    top->now = (struct sample){
        .at_ns = hm_mono_ns(hm_clock_system()),
        .blocks = nexus_metric_sum(all, "hypermesh_engine_blocks_total"),
        .txs = nexus_metric_sum(all, "hypermesh_engine_transactions_total"),
        .requests = nexus_metric_sum(all, "hypermesh_http_requests_total"),
        .busy_s = nexus_metric_sum(all, "hypermesh_engine_busy_seconds_total"),
    };
    top->queue = nexus_metric_sum(all, "hypermesh_engine_queue_length");
    top->connections = nexus_metric_sum(all, "hypermesh_http_connections");
    top->resident = nexus_metric_sum(all, "process_resident_memory_bytes");
    top->stored = nexus_metric_sum(all, "hypermesh_store_used_bytes");
    top->live_jobs = nexus_metric_sum(all, "hypermesh_jobs_live");
    return 0;
}

/* Per second between the two samples; a node that was started again counts from zero. */
static double rate(const struct top *top, double before, double now)
{
    double seconds = (double)(top->now.at_ns - top->before.at_ns) / 1e9;

    return top->before.at_ns && now >= before && seconds > 0 ? (now - before) / seconds : 0;
}

static int put_head(struct top *top, const json_t *node, struct hm_buf *out)
{
    struct nexus_call *call = top->call;
    const char *ready = nexus_json_bool(node, "ready") ? "ready"
                                                       : nexus_json_text(node, "not_ready");
    uint64_t started = nexus_json_u64(node, "started_ms");
    uint64_t now = hm_wall_ms(hm_clock_system());
    double busy = rate(top, top->before.busy_s, top->now.busy_s) * 100;

    if (hm_buf_append_str(out, "HyperMesh ") ||
        nexus_text_append_safe(out, nexus_json_text(node, "chain_id")) ||
        hm_buf_printf(out, ", up %s, ",
                      nexus_show_span_ms(now > started ? now - started : 0, call->arena)) ||
        nexus_text_append_safe(out, ready) ||
        hm_buf_printf(
            out,
            "\nblock %llu   %.1f blocks/s   %.1f transactions/s   %.1f requests/s   "
            "writer busy %.0f %%   queue %.0f\nconnections %.0f   jobs %.0f   memory %s   "
            "store %s\n\n",
            (unsigned long long)nexus_json_u64(node, "height"),
            rate(top, top->before.blocks, top->now.blocks),
            rate(top, top->before.txs, top->now.txs),
            rate(top, top->before.requests, top->now.requests), busy, top->queue, top->connections,
            top->live_jobs, nexus_show_size((uint64_t)top->resident, call->arena),
            nexus_show_size((uint64_t)top->stored, call->arena)))
        return nexus_no_memory(call);
    return 0;
}

static int put_assets(struct top *top, const json_t *items, struct hm_buf *out)
{
    static const struct nexus_column columns[] = {
        {"ASSET", false}, {"KIND", false},  {"HARDWARE", false}, {"CAPACITY", true},
        {"LEASED", true}, {"LEASES", true}, {"HYPER/H", true}};
    struct nexus_call *call = top->call;
    struct nexus_table table;

    NEXUS_TABLE_INIT(&table, columns, call->arena);
    for (size_t i = 0; i < json_array_size(items) && i < ASSETS_SHOWN; i++) {
        const json_t *asset = json_array_get(items, i);
        const char *kind = nexus_json_text(asset, "kind");

        NEXUS_TABLE_ROW(&table, nexus_show_short(nexus_json_text(asset, "id"), call->arena), kind,
                        nexus_json_text(asset, "hardware_id"),
                        nexus_show_capacity(kind, nexus_json_u64(asset, "capacity"), call->arena),
                        nexus_show_share(nexus_json_u64(asset, "leased_ppm"), call->arena),
                        nexus_json_cell(json_object_get(asset, "leases"), call->arena),
                        nexus_json_text(asset, "price_per_hour"));
    }
    return nexus_table_finish(call, &table, out);
}

static int put_leases(struct top *top, const json_t *items, struct hm_buf *out)
{
    static const struct nexus_column columns[] = {
        {"LEASE", false}, {"CONSUMER", false}, {"ENDS IN", true}, {"HELD", true}};
    struct nexus_call *call = top->call;
    NEXUS_AUTOJSON json_t *accounts = nexus_accounts(call);
    uint64_t now = hm_wall_ms(hm_clock_system());
    struct nexus_table table;

    NEXUS_TABLE_INIT(&table, columns, call->arena);
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *lease = json_array_get(items, i);
        uint64_t ends = nexus_json_u64(lease, "expires_ms");

        NEXUS_TABLE_ROW(
            &table, nexus_show_short(nexus_json_text(lease, "id"), call->arena),
            nexus_account_name(accounts, nexus_json_text(lease, "consumer"), call->arena),
            nexus_show_span_ms(ends > now ? ends - now : 0, call->arena),
            nexus_json_text(lease, "escrow"));
    }
    return nexus_table_finish(call, &table, out);
}

static int put_jobs(struct top *top, const json_t *items, struct hm_buf *out)
{
    static const struct nexus_column columns[] = {
        {"JOB", false}, {"NAME", false}, {"STATE", false}, {"OUTCOME", false}};
    struct nexus_call *call = top->call;
    struct nexus_table table;

    NEXUS_TABLE_INIT(&table, columns, call->arena);
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *job = json_array_get(items, i);

        NEXUS_TABLE_ROW(&table, nexus_json_text(job, "id"),
                        nexus_json_text(json_object_get(job, "spec"), "name"),
                        nexus_json_text(job, "state"), nexus_json_text(job, "outcome"));
    }
    return nexus_table_finish(call, &table, out);
}

typedef int (*part_form)(struct top *top, const json_t *items, struct hm_buf *out);

static int put_part(struct top *top, const char *path, size_t most, part_form form,
                    struct hm_buf *out)
{
    NEXUS_AUTOJSON json_t *items = NULL;
    int rc = nexus_list(top->call, path, most, &items);

    if (!rc)
        rc = form(top, items, out);
    if (!rc && hm_buf_append_str(out, "\n"))
        rc = nexus_no_memory(top->call);
    return rc;
}

static int draw(struct top *top, struct hm_buf *out)
{
    NEXUS_AUTOJSON json_t *node = NULL;
    int rc = take_sample(top);

    if (!rc)
        rc = nexus_ask(top->call, "GET", NULL, &node, "/node");
    if (!rc)
        rc = put_head(top, node, out);
    if (!rc)
        rc = put_part(top, "/assets", ASSETS_SHOWN, put_assets, out);
    if (!rc)
        rc = put_part(top, "/leases?active=true", LEASES_SHOWN, put_leases, out);
    return rc ? rc : put_part(top, "/jobs", JOBS_SHOWN, put_jobs, out);
}

/* True when it is time to end: q, Ctrl-C, or the terminal went away. */
static bool pause_or_quit(uint64_t interval_ms, bool keys)
{
    struct pollfd watched[2] = {{.fd = nexus_interrupt_fd(), .events = POLLIN},
                                {.fd = keys ? 0 : -1, .events = POLLIN}};
    char key = 0;

    if (poll(watched, 2, (int)interval_ms) <= 0)
        return false;
    if (watched[0].revents)
        return true;
    return read(0, &key, 1) <= 0 || key == 'q' || key == 'Q';
}

static int loop(struct top *top, uint64_t interval_ms, uint64_t count, bool screen)
{
    for (uint64_t i = 0; count == 0 || i < count; i++) {
        HM_CLEANUP(hm_buf) struct hm_buf out = {0};
        HM_CLEANUP(hm_arena) struct hm_arena arena;
        struct hm_arena *kept = top->call->arena;
        int rc = 0;

        if (i > 0 && pause_or_quit(interval_ms, screen))
            return 0;
        hm_arena_init(&arena, 0); /* of this picture: nothing piles up over the hours */
        top->call->arena = &arena;
        if (screen && hm_buf_append_str(&out, SCREEN_HOME))
            rc = nexus_no_memory(top->call);
        if (!rc)
            rc = draw(top, &out);
        if (!rc)
            rc = nexus_write(top->call, &out);
        top->call->arena = kept;
        if (rc)
            return rc;
    }
    return 0;
}

static int run_on_screen(struct top *top, uint64_t interval_ms, uint64_t count)
{
    struct termios before;
    struct termios raw;
    bool keys = tcgetattr(0, &before) == 0;
    int rc;

    if (keys) {
        raw = before;
        raw.c_lflag &= (tcflag_t) ~(ICANON | ECHO);
        (void)tcsetattr(0, TCSANOW, &raw);
    }
    (void)hm_write_all(1, SCREEN_OPEN, strlen(SCREEN_OPEN), NULL);
    rc = loop(top, interval_ms, count, true);
    (void)hm_write_all(1, SCREEN_CLOSE, strlen(SCREEN_CLOSE), NULL);
    if (keys)
        (void)tcsetattr(0, TCSANOW, &before);
    return rc;
}

static int run_top(struct nexus_call *call)
{
    struct top top = {.call = call};
    bool screen = isatty(0) && isatty(1);
    uint64_t interval_ms = INTERVAL_MS;
    uint64_t count = screen ? 0 : 1;
    int rc = nexus_value_ms(call, "interval", &interval_ms);

    if (!rc)
        rc = nexus_value_u64(call, "count", &count);
    if (!rc && (interval_ms < INTERVAL_MIN_MS || interval_ms > INT32_MAX))
        rc = hm_fail(&call->error, HM_ERANGE, "--interval: at least %d ms", INTERVAL_MIN_MS);
    if (!rc)
        rc = nexus_interrupt_open(screen ? SCREEN_CLOSE : "", &call->error);
    if (rc)
        return rc;
    rc = screen ? run_on_screen(&top, interval_ms, count) : loop(&top, interval_ms, count, false);
    nexus_interrupt_close();
    return rc;
}

static const struct nexus_option options[] = {
    {.name = "interval", .value = "TIME", .help = "between two pictures; default: 1s"},
    {.name = "count",
     .value = "N",
     .help = "end after so many; 0: never; default: 0 on a terminal, else 1"},
};

const struct nexus_verb verb_top = {
    .name = "top",
    .summary = "Watch assets, leases, jobs and rates live; q ends it",
    .options = options,
    .option_count = HM_COUNT_OF(options),
    .run = run_top};
