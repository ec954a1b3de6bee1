/* How the node is. */
#include "nexus_verbs.h"

static int table_status(struct nexus_call *call, const json_t *status, struct hm_buf *out)
{
    struct nexus_table table;
    struct hm_arena *arena = call->arena;
    const char *listen = nexus_json_text(status, "listen");
    const json_t *warnings = nexus_json_list(status, "warnings");
    bool ready = nexus_json_bool(status, "ready");

    nexus_table_init(&table, nexus_fact_columns, 2, arena);
    nexus_fact(&table, "state", ready ? "ready" : nexus_json_text(status, "not_ready"));
    nexus_fact(&table, "node", nexus_json_text(status, "node_account"));
    nexus_fact(&table, "chain", nexus_json_text(status, "chain_id"));
    nexus_fact(&table, "engine", nexus_json_text(status, "engine"));
    nexus_fact(&table, "height",
               hm_arena_printf(arena, "%llu", (unsigned long long)nexus_json_u64(status, "height")));
    nexus_fact(&table, "block time", nexus_show_time(nexus_json_u64(status, "time_ms"), arena));
    nexus_fact(&table, "state root", nexus_json_text(status, "state_root"));
    nexus_fact(&table, "base fee", nexus_show_hyper(nexus_json_text(status, "base_fee"), arena));
    nexus_fact(&table, "plot", nexus_show_size(nexus_json_u64(status, "plot_bytes"), arena));
    nexus_fact(&table, "data", nexus_json_text(status, "data_dir"));
    if (listen[0])
        nexus_fact(&table, "http", hm_arena_printf(arena, "http://%s", listen));
    nexus_fact(&table, "sandbox", nexus_json_text(status, "sandbox"));
    nexus_fact(&table, "started", nexus_show_time(nexus_json_u64(status, "started_ms"), arena));
    nexus_fact(&table, "version", nexus_json_text(status, "version"));
    for (size_t i = 0; i < json_array_size(warnings); i++)
        nexus_fact(&table, i == 0 ? "warnings" : "",
                   json_string_value(json_array_get(warnings, i)));
    return nexus_table_finish(call, &table, out);
}

static int run(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *status = NULL;
    int rc = nexus_ask(call, "GET", NULL, &status, "/node");

    return rc ? rc : nexus_show(call, status, table_status);
}

const struct nexus_verb verb_status = {
    .name = "status", .summary = "How the node is and where its chain stands", .run = run};
