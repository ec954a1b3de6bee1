#include "nexus_status.h"
#include "nexus_verbs.h"

static const char *count_assets(struct nexus_call *call, const json_t *status)
{
    NEXUS_AUTOJSON json_t *items = NULL;
    const char *path = "/assets";

    /* Not an error here: the node may not be ready yet. */
    if (!nexus_json_bool(status, "ready") ||
        nexus_query(call, &path, "owner", nexus_json_text(status, "node_account")) != 0 ||
        nexus_list(call, path, 0, &items) != 0)
        return "";
    return hm_arena_printf(call->arena, "%zu of this machine", json_array_size(items));
}

/* Of the votes for the block before the newest; "" when all was as it should be. */
static const char *votes_text(struct nexus_call *call, const json_t *cluster)
{
    unsigned long long round = nexus_json_u64(cluster, "round");
    unsigned long long absent = nexus_json_u64(cluster, "absent");
    unsigned long long nil = nexus_json_u64(cluster, "nil");

    if (round + absent + nil == 0)
        return "";
    if (round == 0)
        return hm_arena_printf(call->arena,
                               "; for the last block %llu did not vote and %llu voted for none",
                               absent, nil);
    return hm_arena_printf(
        call->arena,
        "; the last block took %llu rounds, %llu did not vote and %llu voted for "
        "none",
        round + 1, absent, nil);
}

static const char *quorum_text(struct nexus_call *call, const json_t *cluster)
{
    if (nexus_json_bool(cluster, "quorum"))
        return "";
    return hm_arena_printf(
        call->arena,
        "; NO QUORUM: at most %llu %% of the votes are in reach, so no block can "
        "be made",
        (unsigned long long)nexus_json_u64(cluster, "votes_percent"));
}

/* "" for a node that orders its blocks alone. */
static const char *cluster_text(struct nexus_call *call, const json_t *status)
{
    const json_t *cluster = json_object_get(status, "cluster");
    if (!json_is_object(cluster))
        return "";
    if (!nexus_json_bool(cluster, "reachable"))
        return "the engine does not answer; hypermeshd's log says why";
    return hm_arena_printf(
        call->arena, "CometBFT %s, %llu other nodes connected, %llu validators%s%s%s%s",
        nexus_json_text(cluster, "version"), (unsigned long long)nexus_json_u64(cluster, "peers"),
        (unsigned long long)nexus_json_u64(cluster, "validators"),
        nexus_json_bool(cluster, "validator") ? "" : ", no validator itself",
        quorum_text(call, cluster), nexus_json_bool(cluster, "catching_up") ? ", catching up" : "",
        votes_text(call, cluster));
}

int nexus_table_status(struct nexus_call *call, const json_t *status, struct hm_buf *out)
{
    const json_t *warnings = nexus_json_list(status, "warnings");
    const char *listen = nexus_json_text(status, "listen");
    struct hm_arena *arena = call->arena;
    struct nexus_table table;

    NEXUS_TABLE_INIT(&table, nexus_fact_columns, arena);
    nexus_fact(&table, "node",
               nexus_json_bool(status, "ready")
                   ? "ready"
                   : hm_arena_printf(arena, "not ready: %s", nexus_json_text(status, "not_ready")));
    nexus_fact(&table, "version", nexus_json_text(status, "version"));
    nexus_fact(&table, "data", nexus_json_text(status, "data_dir"));
    nexus_fact(&table, "API",
               listen[0]
                   ? hm_arena_printf(arena, "http://%s and %s", listen, call->place.socket_path)
                   : call->place.socket_path);
    nexus_fact(&table, "chain",
               hm_arena_printf(arena, "%s, engine %s, block %llu",
                               nexus_json_text(status, "chain_id"),
                               nexus_json_text(status, "engine"),
                               (unsigned long long)nexus_json_u64(status, "height")));
    nexus_fact(&table, "cluster", cluster_text(call, status));
    nexus_fact(&table, "state root", nexus_json_text(status, "state_root"));
    nexus_fact(&table, "account", nexus_json_text(status, "node_account"));
    nexus_fact(&table, "assets", count_assets(call, status));
    nexus_fact(&table, "plot", nexus_show_size(nexus_json_u64(status, "plot_bytes"), arena));
    nexus_fact(&table, "sandbox", nexus_json_text(status, "sandbox"));
    nexus_fact(&table, "since",
               hm_arena_printf(arena, "%s UTC",
                               nexus_show_time(nexus_json_u64(status, "started_ms"), arena)));
    for (size_t i = 0; i < json_array_size(warnings); i++)
        nexus_fact(&table, i == 0 ? "warning" : "", json_string_value(json_array_get(warnings, i)));
    return nexus_table_finish(call, &table, out);
}

static int run_status(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *status = NULL;
    int rc = nexus_ask(call, "GET", NULL, &status, "/node");

    return rc ? rc : nexus_show(call, status, nexus_table_status);
}

const struct nexus_verb verb_status = {
    .name = "status", .summary = "What the node says of itself", .run = run_status};
