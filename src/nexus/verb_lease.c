/* lease ls, show, renew. */
#include "nexus_resolve.h"
#include "nexus_verbs.h"

static const char *show_items(const json_t *items, struct hm_arena *arena)
{
    const char *text = "";

    for (size_t i = 0; i < json_array_size(items) && text; i++) {
        const json_t *item = json_array_get(items, i);

        text = hm_arena_printf(arena, "%s%s%s %s", text, i ? ", " : "",
                               nexus_json_text(item, "kind"),
                               nexus_show_share(nexus_json_u64(item, "share_ppm"), arena));
    }
    return text;
}

static int table_leases(struct nexus_call *call, const json_t *items, struct hm_buf *out)
{
    static const struct nexus_column columns[] = {
        {"LEASE", false},    {"STATE", false},       {"WHAT", false}, {"CONSUMER", false},
        {"PROVIDER", false}, {"UNTIL (UTC)", false}, {"HELD", true},  {"PAID", true}};
    NEXUS_AUTOJSON json_t *accounts = nexus_accounts(call);
    struct nexus_table table;

    NEXUS_TABLE_INIT(&table, columns, call->arena);
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *lease = json_array_get(items, i);
        uint64_t ended = nexus_json_u64(lease, "ended_ms");

        NEXUS_TABLE_ROW(
            &table, nexus_show_short(nexus_json_text(lease, "id"), call->arena),
            nexus_json_text(lease, "state"),
            show_items(nexus_json_list(lease, "items"), call->arena),
            nexus_account_name(accounts, nexus_json_text(lease, "consumer"), call->arena),
            nexus_account_name(accounts, nexus_json_text(lease, "provider"), call->arena),
            nexus_show_time(ended ? ended : nexus_json_u64(lease, "expires_ms"), call->arena),
            nexus_json_text(lease, "escrow"), nexus_json_text(lease, "paid"));
    }
    return nexus_table_finish(call, &table, out);
}

static int run_ls(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *items = NULL;
    const char *path = "/leases";
    const char *asset = nexus_value(call, "asset");
    int rc = asset ? nexus_resolve_asset(call, asset, &asset) : 0;

    if (!rc)
        rc = nexus_query(call, &path, "party", nexus_value(call, "party"));
    if (!rc)
        rc = nexus_query(call, &path, "asset", asset);
    if (!rc)
        rc = nexus_query(call, &path, "active", nexus_has(call, "active") ? "true" : NULL);
    if (!rc)
        rc = nexus_list(call, path, 0, &items);
    return rc ? rc : nexus_show(call, items, table_leases);
}

static const struct nexus_option ls_options[] = {
    {.name = "party", .value = "ACCOUNT", .help = "only those it consumes or provides"},
    {.name = "asset", .value = "ASSET", .help = "only those on this asset"},
    {.name = "active", .help = "only those that run now"},
};

const struct nexus_verb verb_lease_ls = {.group = "lease",
                                         .name = "ls",
                                         .summary = "List leases",
                                         .options = ls_options,
                                         .option_count = HM_COUNT_OF(ls_options),
                                         .run = run_ls};

static void add_usage(struct nexus_table *table, const json_t *usage, struct hm_arena *arena)
{
    for (size_t i = 0; i < json_array_size(usage); i++) {
        const json_t *line = json_array_get(usage, i);

        nexus_fact(table, i == 0 ? "used" : "",
                   hm_arena_printf(arena, "%s: %llu %s", nexus_json_text(line, "resource_type"),
                                   (unsigned long long)nexus_json_u64(line, "amount"),
                                   nexus_json_text(line, "unit")));
    }
}

static void add_items(struct nexus_table *table, const json_t *items, struct hm_arena *arena)
{
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);

        nexus_fact(table, i == 0 ? "what" : "",
                   hm_arena_printf(arena, "%s of %s %s, %s HYPER an hour for all of it",
                                   nexus_show_share(nexus_json_u64(item, "share_ppm"), arena),
                                   nexus_json_text(item, "kind"), nexus_json_text(item, "asset"),
                                   nexus_json_text(item, "price_per_hour")));
    }
}

static int table_lease(struct nexus_call *call, const json_t *lease, struct hm_buf *out)
{
    NEXUS_AUTOJSON json_t *accounts = nexus_accounts(call);
    const json_t *settlement = json_object_get(lease, "settlement");
    struct hm_arena *arena = call->arena;
    struct nexus_table table;

    NEXUS_TABLE_INIT(&table, nexus_fact_columns, arena);
    nexus_fact(&table, "lease", nexus_json_text(lease, "id"));
    nexus_fact(&table, "state", nexus_json_text(lease, "state"));
    add_items(&table, nexus_json_list(lease, "items"), arena);
    nexus_fact(&table, "consumer",
               nexus_account_name(accounts, nexus_json_text(lease, "consumer"), arena));
    nexus_fact(&table, "provider",
               nexus_account_name(accounts, nexus_json_text(lease, "provider"), arena));
    nexus_fact(&table, "from", nexus_show_time(nexus_json_u64(lease, "start_ms"), arena));
    nexus_fact(&table, "until", nexus_show_time(nexus_json_u64(lease, "expires_ms"), arena));
    nexus_fact(&table, "ended", nexus_show_time(nexus_json_u64(lease, "ended_ms"), arena));
    nexus_fact(&table, "held", nexus_show_hyper(nexus_json_text(lease, "escrow"), arena));
    nexus_fact(&table, "paid", nexus_show_hyper(nexus_json_text(lease, "paid"), arena));
    nexus_fact(&table, "returned", nexus_show_hyper(nexus_json_text(lease, "refunded"), arena));
    nexus_fact(&table, "reward",
               hm_arena_printf(arena, "%s CAES", nexus_json_text(lease, "reward_caes")));
    nexus_fact(&table, "outcome", nexus_json_text(settlement, "outcome"));
    add_usage(&table, nexus_json_list(settlement, "usage"), arena);
    return nexus_table_finish(call, &table, out);
}

static int run_show(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *lease = NULL;
    const char *id = NULL;
    int rc = nexus_resolve_lease(call, nexus_operand(call, 0), &id);

    if (!rc)
        rc = nexus_ask(call, "GET", NULL, &lease, "/leases/%s", nexus_part(call, id));
    return rc ? rc : nexus_show(call, lease, table_lease);
}

const struct nexus_verb verb_lease_show = {.group = "lease",
                                           .name = "show",
                                           .operands = "LEASE",
                                           .operands_min = 1,
                                           .operands_max = 1,
                                           .summary = "Show one lease",
                                           .run = run_show};

static int run_renew(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *body = json_object();
    NEXUS_AUTOJSON json_t *reply = NULL;
    const char *id = NULL;
    int rc = nexus_resolve_lease(call, nexus_operand(call, 0), &id);

    if (!rc)
        rc = nexus_body_text(call, body, "extra", nexus_operand(call, 1));
    if (!rc)
        rc = nexus_body_option(call, body, "account", "account");
    if (!rc)
        rc = nexus_ask(call, "POST", json_incref(body), &reply, "/leases/%s/renew",
                       nexus_part(call, id));
    return rc ? rc : nexus_show(call, reply, nexus_table_receipt);
}

static const struct nexus_option renew_options[] = {
    {.name = "account", .value = "NAME", .help = "who leased it; default: the lease's own"},
};

const struct nexus_verb verb_lease_renew = {.group = "lease",
                                            .name = "renew",
                                            .operands = "LEASE TIME",
                                            .operands_min = 2,
                                            .operands_max = 2,
                                            .summary = "Make a lease last longer",
                                            .options = renew_options,
                                            .option_count = HM_COUNT_OF(renew_options),
                                            .run = run_renew};
