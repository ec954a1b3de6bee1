/* asset ls, show, history, scan: nothing changes. */
#include "nexus_resolve.h"
#include "nexus_verbs.h"

/* --- ls ------------------------------------------------------------------------------------------ */

static int table_assets(struct nexus_call *call, const json_t *items, struct hm_buf *out)
{
    static const struct nexus_column columns[] = {
        {"ASSET", false},          {"KIND", false},  {"HARDWARE", false},  {"CAPACITY", true},
        {"PRICE (HYPER/h)", true}, {"LEASED", true}, {"MAY LEASE", false}, {"OWNER", false}};
    NEXUS_AUTOJSON json_t *accounts = nexus_accounts(call);
    struct nexus_table table;

    NEXUS_TABLE_INIT(&table, columns, call->arena);
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *asset = json_array_get(items, i);
        const char *kind = nexus_json_text(asset, "kind");
        bool retired = strcmp(nexus_json_text(asset, "state"), "retired") == 0;

        NEXUS_TABLE_ROW(&table, nexus_show_short(nexus_json_text(asset, "id"), call->arena), kind,
                        nexus_json_text(asset, "hardware_id"),
                        nexus_show_capacity(kind, nexus_json_u64(asset, "capacity"), call->arena),
                        nexus_json_text(asset, "price_per_hour"),
                        retired
                            ? "retired"
                            : nexus_show_share(nexus_json_u64(asset, "leased_ppm"), call->arena),
                        nexus_json_text(json_object_get(asset, "privacy"), "level"),
                        nexus_account_name(accounts, nexus_json_text(asset, "owner"), call->arena));
    }
    return nexus_table_finish(call, &table, out);
}

static int run_ls(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *items = NULL;
    const char *path = "/assets";
    int rc = nexus_query(call, &path, "owner", nexus_value(call, "owner"));

    if (!rc)
        rc = nexus_query(call, &path, "kind", nexus_value(call, "kind"));
    if (!rc)
        rc = nexus_query(call, &path, "retired", nexus_has(call, "retired") ? "true" : NULL);
    if (!rc)
        rc = nexus_list(call, path, 0, &items);
    return rc ? rc : nexus_show(call, items, table_assets);
}

static const struct nexus_option ls_options[] = {
    {.name = "owner", .value = "ACCOUNT", .help = "only those of this account"},
    {.name = "kind",
     .value = "KIND",
     .help = "only those of this kind",
     .words = "cpu memory storage gpu container network"},
    {.name = "retired", .help = "retired ones too"},
};

const struct nexus_verb verb_asset_ls = {.group = "asset",
                                         .name = "ls",
                                         .summary = "List the assets of the mesh",
                                         .options = ls_options,
                                         .option_count = HM_COUNT_OF(ls_options),
                                         .run = run_ls};

/* --- show ---------------------------------------------------------------------------------------- */

static const char *show_privacy(const json_t *privacy, struct hm_arena *arena)
{
    uint64_t leases = nexus_json_u64(privacy, "max_leases");
    uint64_t duration = nexus_json_u64(privacy, "max_duration_ms");
    size_t accounts = json_array_size(nexus_json_list(privacy, "accounts"));

    return hm_arena_printf(
        arena, "%s; limits: share %s%s%s%s%s", nexus_json_text(privacy, "level"),
        nexus_show_share_limit(nexus_json_u64(privacy, "max_share_ppm"), arena),
        leases ? hm_arena_printf(arena, ", %llu leases", (unsigned long long)leases) : "",
        duration ? ", " : "", duration ? nexus_show_span_ms(duration, arena) : "",
        accounts ? hm_arena_printf(arena, ", for %zu account%s", accounts, accounts == 1 ? "" : "s")
                 : "");
}

static void add_pairs(struct nexus_table *table, const char *prefix, const json_t *pairs,
                      struct hm_arena *arena)
{
    json_t *all = (json_t *)(uintptr_t)pairs;

    for (void *at = json_object_iter(all); at; at = json_object_iter_next(all, at))
        nexus_fact(table, hm_arena_printf(arena, "%s%s", prefix, json_object_iter_key(at)),
                   nexus_json_cell(json_object_iter_value(at), arena));
}

static int table_asset(struct nexus_call *call, const json_t *asset, struct hm_buf *out)
{
    NEXUS_AUTOJSON json_t *accounts = nexus_accounts(call);
    struct hm_arena *arena = call->arena;
    const char *kind = nexus_json_text(asset, "kind");
    const char *owner = nexus_json_text(asset, "owner");
    struct nexus_table table;

    NEXUS_TABLE_INIT(&table, nexus_fact_columns, arena);
    nexus_fact(&table, "asset", nexus_json_text(asset, "id"));
    nexus_fact(&table, "address", nexus_json_text(asset, "address"));
    nexus_fact(&table, "kind", kind);
    nexus_fact(&table, "hardware", nexus_json_text(asset, "hardware_id"));
    nexus_fact(&table, "capacity",
               nexus_show_capacity(kind, nexus_json_u64(asset, "capacity"), arena));
    nexus_fact(
        &table, "owner",
        hm_arena_printf(arena, "%s (%s)", nexus_account_name(accounts, owner, arena), owner));
    nexus_fact(&table, "state", nexus_json_text(asset, "state"));
    nexus_fact(&table, "price",
               hm_arena_printf(arena, "%s HYPER an hour for all of it",
                               nexus_json_text(asset, "price_per_hour")));
    nexus_fact(&table, "leased",
               hm_arena_printf(arena, "%s in %llu leases",
                               nexus_show_share(nexus_json_u64(asset, "leased_ppm"), arena),
                               (unsigned long long)nexus_json_u64(asset, "leases")));
    nexus_fact(&table, "privacy", show_privacy(json_object_get(asset, "privacy"), arena));
    nexus_fact(&table, "changed",
               hm_arena_printf(arena, "registered in block %llu, version %llu of block %llu",
                               (unsigned long long)nexus_json_u64(asset, "registered_height"),
                               (unsigned long long)nexus_json_u64(asset, "version"),
                               (unsigned long long)nexus_json_u64(asset, "updated_height")));
    add_pairs(&table, "", json_object_get(asset, "attributes"), arena);
    return nexus_table_finish(call, &table, out);
}

static int run_show(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *asset = NULL;
    const char *id = NULL;
    int rc = nexus_resolve_asset(call, nexus_operand(call, 0), &id);

    if (!rc)
        rc = nexus_ask(call, "GET", NULL, &asset, "/assets/%s", nexus_part(call, id));
    return rc ? rc : nexus_show(call, asset, table_asset);
}

const struct nexus_verb verb_asset_show = {
    .group = "asset",
    .name = "show",
    .operands = "ASSET",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Show one asset",
    .text = "ASSET is an id, the beginning of one as `asset ls` shows it, or a hardware name.",
    .run = run_show};

/* --- history ------------------------------------------------------------------------------------- */

static int table_history(struct nexus_call *call, const json_t *items, struct hm_buf *out)
{
    static const struct nexus_column columns[] = {{"BLOCK", true},  {"TIME (UTC)", false},
                                                  {"ACT", false},   {"BY", false},
                                                  {"LEASE", false}, {"TRANSACTION", false}};
    NEXUS_AUTOJSON json_t *accounts = nexus_accounts(call);
    struct nexus_table table;

    NEXUS_TABLE_INIT(&table, columns, call->arena);
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *event = json_array_get(items, i);

        NEXUS_TABLE_ROW(
            &table, nexus_json_cell(json_object_get(event, "height"), call->arena),
            nexus_show_time(nexus_json_u64(event, "time_ms"), call->arena),
            nexus_json_text(event, "op"),
            nexus_account_name(accounts, nexus_json_text(event, "account"), call->arena),
            nexus_show_short(nexus_json_text(event, "lease"), call->arena),
            nexus_show_short(nexus_json_text(event, "tx"), call->arena));
    }
    return nexus_table_finish(call, &table, out);
}

static int run_history(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *items = NULL;
    const char *id = NULL;
    const char *path;
    int rc = nexus_resolve_asset(call, nexus_operand(call, 0), &id);

    if (rc)
        return rc;
    path = hm_arena_printf(call->arena, "/assets/%s/history", nexus_part(call, id));
    rc = path ? nexus_list(call, path, 0, &items) : nexus_no_memory(call);
    return rc ? rc : nexus_show(call, items, table_history);
}

const struct nexus_verb verb_asset_history = {.group = "asset",
                                              .name = "history",
                                              .operands = "ASSET",
                                              .operands_min = 1,
                                              .operands_max = 1,
                                              .summary = "Everything that happened to an asset",
                                              .run = run_history};

/* --- scan ---------------------------------------------------------------------------------------- */

static int table_scan(struct nexus_call *call, const json_t *scan, struct hm_buf *out)
{
    static const struct nexus_column columns[] = {{"KIND", false},    {"HARDWARE", false},
                                                  {"CAPACITY", true}, {"WHAT IT IS", false},
                                                  {"HEALTH", false},  {"ASSET", false}};
    const json_t *items = nexus_json_list(scan, "items");
    const json_t *notes = nexus_json_list(scan, "notes");
    struct nexus_table table;
    int rc;

    NEXUS_TABLE_INIT(&table, columns, call->arena);
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);
        const char *kind = nexus_json_text(item, "kind");
        const char *health = nexus_json_text(item, "health");

        NEXUS_TABLE_ROW(&table, kind, nexus_json_text(item, "hardware_id"),
                        nexus_show_capacity(kind, nexus_json_u64(item, "capacity"), call->arena),
                        nexus_json_text(item, "title"), health[0] ? health : "good",
                        nexus_show_short(nexus_json_text(item, "asset"), call->arena));
    }
    rc = nexus_table_finish(call, &table, out);
    if (rc || json_array_size(notes) == 0)
        return rc;
    NEXUS_TABLE_INIT(&table, nexus_fact_columns, call->arena);
    for (size_t i = 0; i < json_array_size(notes); i++)
        nexus_fact(&table, "note", json_string_value(json_array_get(notes, i)));
    return nexus_table_finish(call, &table, out);
}

static int run_scan(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *scan = NULL;
    int rc = nexus_ask(call, "GET", NULL, &scan, "/node/scan");

    return rc ? rc : nexus_show(call, scan, table_scan);
}

const struct nexus_verb verb_asset_scan = {.group = "asset",
                                           .name = "scan",
                                           .summary = "Look at the node's machine as it is now",
                                           .text = "With -o json attributes and live figures, too.",
                                           .run = run_scan};
