/* kv rule-ls, rule-set, rule-rm: who may read and write which keys. */
#include "nexus_kv.h"
#include "nexus_resolve.h"
#include "nexus_verbs.h"

static const char *show_who(const json_t *rule, const char *list, const char *anyone,
                            const json_t *accounts, struct hm_arena *arena)
{
    const json_t *ids = nexus_json_list(rule, list);
    const char *text = "";

    if (nexus_json_bool(rule, anyone))
        return "anyone";
    for (size_t i = 0; i < json_array_size(ids) && text; i++)
        text = hm_arena_printf(
            arena, "%s%s%s", text, i ? ", " : "",
            nexus_account_name(accounts, json_string_value(json_array_get(ids, i)), arena));
    return text;
}

static int table_rules(struct nexus_call *call, const json_t *items, struct hm_buf *out)
{
    static const struct nexus_column columns[] = {
        {"KEYS THAT BEGIN", false}, {"OWNER", false}, {"WRITERS", false}, {"READERS", false}};
    NEXUS_AUTOJSON json_t *accounts = nexus_accounts(call);
    struct nexus_table table;

    NEXUS_TABLE_INIT(&table, columns, call->arena);
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *rule = json_array_get(items, i);
        const char *prefix = nexus_json_text(rule, "prefix");

        NEXUS_TABLE_ROW(&table, prefix[0] ? prefix : "(all)",
                        nexus_account_name(accounts, nexus_json_text(rule, "owner"), call->arena),
                        show_who(rule, "writers", "anyone_writes", accounts, call->arena),
                        show_who(rule, "readers", "anyone_reads", accounts, call->arena));
    }
    return nexus_table_finish(call, &table, out);
}

static int run_ls(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *items = NULL;
    int rc = nexus_list(call, "/kv-rules", 0, &items);

    return rc ? rc : nexus_show(call, items, table_rules);
}

const struct nexus_verb verb_kv_rule_ls = {.group = "kv",
                                           .name = "rule-ls",
                                           .summary = "List who may read and write which keys",
                                           .run = run_ls};

static int body_accounts(struct nexus_call *call, json_t *body, const char *member,
                         const char *option)
{
    json_t *list = json_array();
    size_t at = 0;
    const char *text;

    if (json_object_set_new(body, member, list) != 0)
        return nexus_no_memory(call);
    while ((text = nexus_line_next(call->line, option, &at)))
        if (json_array_append_new(list, json_string(text)) != 0)
            return hm_fail(&call->error, HM_EINVAL, "--%s %s: is not UTF-8", option, text);
    return 0;
}

static int run_set(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *body = json_object();
    NEXUS_AUTOJSON json_t *reply = NULL;
    int rc = nexus_body_text(call, body, "prefix", nexus_operand(call, 0));

    if (!rc)
        rc = nexus_body_text(call, body, "owner", nexus_operand(call, 1));
    if (!rc)
        rc = body_accounts(call, body, "writers", "writer");
    if (!rc)
        rc = body_accounts(call, body, "readers", "reader");
    if (!rc && (json_object_set_new(body, "anyone_writes",
                                    json_boolean(nexus_has(call, "anyone-writes"))) != 0 ||
                json_object_set_new(body, "anyone_reads",
                                    json_boolean(nexus_has(call, "anyone-reads"))) != 0))
        rc = nexus_no_memory(call);
    if (!rc)
        rc = nexus_body_option(call, body, "account", "account");
    if (!rc)
        rc = nexus_ask(call, "PUT", json_incref(body), &reply, "/kv-rules");
    return rc ? rc : nexus_show(call, reply, nexus_table_receipt);
}

static const struct nexus_option set_options[] = {
    {.name = "writer", .value = "ACCOUNT", .help = "may read and write", .many = true},
    {.name = "reader", .value = "ACCOUNT", .help = "may read", .many = true},
    {.name = "anyone-writes", .help = "every account may read and write"},
    {.name = "anyone-reads", .help = "every account may read"},
    NEXUS_KV_ACCOUNT,
};

const struct nexus_verb verb_kv_rule_set = {
    .group = "kv",
    .name = "rule-set",
    .operands = "PREFIX OWNER",
    .operands_min = 2,
    .operands_max = 2,
    .summary = "Say who may read and write the keys that begin with PREFIX",
    .text = "The longest prefix that fits a key decides. The owner of a rule may set rules below\n"
            "it. Everybody who has the blocks can read what is in them: readers are kept off the\n"
            "API, not off the ledger.",
    .options = set_options,
    .option_count = HM_COUNT_OF(set_options),
    .run = run_set};

static int run_rm(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *reply = NULL;
    const char *path = "/kv-rules";
    int rc = nexus_query(call, &path, "prefix", nexus_operand(call, 0));

    if (!rc)
        rc = nexus_query(call, &path, "account", nexus_value(call, "account"));
    if (!rc)
        rc = nexus_ask(call, "DELETE", NULL, &reply, "%s", path);
    return rc ? rc : nexus_show(call, reply, nexus_table_receipt);
}

static const struct nexus_option account_options[] = {NEXUS_KV_ACCOUNT};

const struct nexus_verb verb_kv_rule_rm = {.group = "kv",
                                           .name = "rule-rm",
                                           .operands = "PREFIX",
                                           .operands_min = 1,
                                           .operands_max = 1,
                                           .summary = "Remove a rule; the one above it holds again",
                                           .options = account_options,
                                           .option_count = HM_COUNT_OF(account_options),
                                           .run = run_rm};
