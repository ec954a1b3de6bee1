/* block ls, show. */
#include "nexus_call.h"
#include "nexus_verbs.h"

#define BLOCKS_SHOWN 20

static int table_blocks(struct nexus_call *call, const json_t *items, struct hm_buf *out)
{
    static const struct nexus_column columns[] = {{"BLOCK", true},        {"TIME (UTC)", false},
                                                  {"TRANSACTIONS", true}, {"EXPIRED", true},
                                                  {"BASE FEE", true},     {"STATE ROOT", false}};
    struct nexus_table table;

    NEXUS_TABLE_INIT(&table, columns, call->arena);
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *block = json_array_get(items, i);

        NEXUS_TABLE_ROW(
            &table, nexus_json_cell(json_object_get(block, "height"), call->arena),
            nexus_show_time(nexus_json_u64(block, "time_ms"), call->arena),
            nexus_json_cell(json_object_get(block, "tx_count"), call->arena),
            hm_arena_printf(call->arena, "%zu", json_array_size(nexus_json_list(block, "expired"))),
            nexus_json_text(block, "base_fee"), nexus_json_text(block, "state_root"));
    }
    return nexus_table_finish(call, &table, out);
}

static int run_ls(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *items = NULL;
    const char *path = "/blocks";
    uint64_t limit = BLOCKS_SHOWN;
    int rc = nexus_value_u64(call, "limit", &limit);

    if (!rc)
        rc = nexus_query(call, &path, "from", nexus_value(call, "from"));
    if (!rc)
        rc = nexus_list(call, path, limit < NEXUS_LIST_MAX ? (size_t)limit : 0, &items);
    return rc ? rc : nexus_show(call, items, table_blocks);
}

static const struct nexus_option ls_options[] = {
    {.name = "from", .value = "HEIGHT", .help = "begin here and go down; default: the latest"},
    {.name = "limit", .value = "N", .help = "at most so many; default: 20"},
};

const struct nexus_verb verb_block_ls = {.group = "block",
                                         .name = "ls",
                                         .summary = "List blocks, newest first",
                                         .options = ls_options,
                                         .option_count = HM_COUNT_OF(ls_options),
                                         .run = run_ls};

static int table_block(struct nexus_call *call, const json_t *block, struct hm_buf *out)
{
    static const char *const lists[][2] = {{"txs", "transactions"}, {"expired", "expired"}};
    struct hm_arena *arena = call->arena;
    struct nexus_table table;

    NEXUS_TABLE_INIT(&table, nexus_fact_columns, arena);
    nexus_fact(&table, "block", nexus_json_cell(json_object_get(block, "height"), arena));
    nexus_fact(&table, "chain", nexus_json_text(block, "chain_id"));
    nexus_fact(&table, "time", nexus_show_time(nexus_json_u64(block, "time_ms"), arena));
    nexus_fact(&table, "hash", nexus_json_text(block, "hash"));
    nexus_fact(&table, "previous", nexus_json_text(block, "previous_hash"));
    nexus_fact(&table, "state root", nexus_json_text(block, "state_root"));
    nexus_fact(&table, "data root", nexus_json_text(block, "data_root"));
    nexus_fact(&table, "base fee", nexus_show_hyper(nexus_json_text(block, "base_fee"), arena));
    nexus_fact(&table, "weight", nexus_json_cell(json_object_get(block, "weight"), arena));
    for (size_t i = 0; i < HM_COUNT_OF(lists); i++) {
        const json_t *list = nexus_json_list(block, lists[i][0]);

        for (size_t j = 0; j < json_array_size(list); j++)
            nexus_fact(&table, j == 0 ? lists[i][1] : "",
                       json_string_value(json_array_get(list, j)));
    }
    return nexus_table_finish(call, &table, out);
}

static int run_show(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *block = NULL;
    const char *height = nexus_operand(call, 0);
    int rc = nexus_ask(call, "GET", NULL, &block, "/blocks/%s",
                       nexus_part(call, height ? height : "latest"));

    return rc ? rc : nexus_show(call, block, table_block);
}

const struct nexus_verb verb_block_show = {.group = "block",
                                           .name = "show",
                                           .operands = "[HEIGHT]",
                                           .operands_max = 1,
                                           .summary = "Show one block, the latest when left out",
                                           .run = run_show};
