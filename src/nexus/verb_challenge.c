/* challenge node, result, ls, show: asking a node to show again what it claims. */
#include "nexus_resolve.h"
#include "nexus_verbs.h"

static int table_opened(struct nexus_call *call, const json_t *reply, struct hm_buf *out)
{
    if (hm_buf_printf(out, "%s, to be answered by %s UTC\n", nexus_json_text(reply, "challenge"),
                      nexus_show_time(nexus_json_u64(reply, "due_ms"), call->arena)) != 0)
        return nexus_no_memory(call);
    return nexus_table_receipt(call, reply, out);
}

static int challenge(struct nexus_call *call, const char *key, const char *subject)
{
    NEXUS_AUTOJSON json_t *body = json_object();
    NEXUS_AUTOJSON json_t *reply = NULL;
    int rc = nexus_body_text(call, body, key, subject);

    if (!rc)
        rc = nexus_body_option(call, body, "account", "account");
    if (!rc)
        rc = nexus_ask(call, "POST", json_incref(body), &reply, "/consensus/challenge");
    return rc ? rc : nexus_show(call, reply, table_opened);
}

static const struct nexus_option open_options[] = {
    {.name = "account", .value = "NAME", .help = "who challenges; default: user"},
};

static int run_node(struct nexus_call *call)
{
    return challenge(call, "node", nexus_operand(call, 0));
}

const struct nexus_verb verb_challenge_node = {
    .group = "challenge",
    .name = "node",
    .operands = "ACCOUNT",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Challenge a node to open its plot at places drawn by the next block",
    .text = "Locks a deposit. A node that answers rightly in time gets it; one that does not is\n"
            "slashed, marked, and must commit a plot again, and the challenger is paid.",
    .options = open_options,
    .option_count = HM_COUNT_OF(open_options),
    .run = run_node};

static int run_result(struct nexus_call *call)
{
    const char *id = NULL;
    int rc = nexus_resolve_lease(call, nexus_operand(call, 0), &id);

    return rc ? rc : challenge(call, "lease", id);
}

const struct nexus_verb verb_challenge_result = {
    .group = "challenge",
    .name = "result",
    .operands = "LEASE",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Challenge a provider to show what a settled lease's digests stand for",
    .text = "The provider must show the job and the list of results that it settled with. That is\n"
            "not yet a proof that the job was done right: for that it must be run again elsewhere.",
    .options = open_options,
    .option_count = HM_COUNT_OF(open_options),
    .run = run_result};

/* --- ls, show -------------------------------------------------------------------------------- */

static int table_challenges(struct nexus_call *call, const json_t *items, struct hm_buf *out)
{
    static const struct nexus_column columns[] = {
        {"CHALLENGE", false}, {"STATE", false}, {"OF", false},
        {"NODE", false},      {"BY", false},    {"DUE OR ENDED (UTC)", false},
        {"SLASHED", true}};
    NEXUS_AUTOJSON json_t *accounts = nexus_accounts(call);
    struct nexus_table table;

    NEXUS_TABLE_INIT(&table, columns, call->arena);
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);
        const char *lease = nexus_json_text(item, "lease");
        uint64_t ended = nexus_json_u64(item, "ended_ms");

        NEXUS_TABLE_ROW(
            &table, nexus_show_short(nexus_json_text(item, "id"), call->arena),
            nexus_json_text(item, "state"),
            lease[0] ? nexus_show_short(lease, call->arena) : "space",
            nexus_account_name(accounts, nexus_json_text(item, "node"), call->arena),
            nexus_account_name(accounts, nexus_json_text(item, "challenger"), call->arena),
            nexus_show_time(ended ? ended : nexus_json_u64(item, "due_ms"), call->arena),
            nexus_json_text(item, "slashed"));
    }
    return nexus_table_finish(call, &table, out);
}

static int run_ls(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *items = NULL;
    const char *path = "/consensus/challenges";
    int rc = nexus_query(call, &path, "party", nexus_value(call, "party"));

    if (!rc)
        rc = nexus_query(call, &path, "open", nexus_has(call, "open") ? "true" : NULL);
    if (!rc)
        rc = nexus_list(call, path, 0, &items);
    return rc ? rc : nexus_show(call, items, table_challenges);
}

static const struct nexus_option ls_options[] = {
    {.name = "party", .value = "ACCOUNT", .help = "only those by it or against it"},
    {.name = "open", .help = "only those that wait for an answer"},
};

const struct nexus_verb verb_challenge_ls = {.group = "challenge",
                                             .name = "ls",
                                             .summary = "List challenges",
                                             .options = ls_options,
                                             .option_count = HM_COUNT_OF(ls_options),
                                             .run = run_ls};

static int table_challenge(struct nexus_call *call, const json_t *item, struct hm_buf *out)
{
    NEXUS_AUTOJSON json_t *accounts = nexus_accounts(call);
    const char *lease = nexus_json_text(item, "lease");
    struct nexus_table table;

    NEXUS_TABLE_INIT(&table, nexus_fact_columns, call->arena);
    nexus_fact(&table, "challenge", nexus_json_text(item, "id"));
    nexus_fact(&table, "state", nexus_json_text(item, "state"));
    nexus_fact(&table, "of", lease[0] ? lease : "the space committed");
    nexus_fact(&table, "node",
               nexus_account_name(accounts, nexus_json_text(item, "node"), call->arena));
    nexus_fact(&table, "by",
               nexus_account_name(accounts, nexus_json_text(item, "challenger"), call->arena));
    nexus_fact(&table, "deposit", nexus_show_hyper(nexus_json_text(item, "deposit"), call->arena));
    nexus_fact(&table, "opened", nexus_show_time(nexus_json_u64(item, "opened_ms"), call->arena));
    nexus_fact(&table, "due", nexus_show_time(nexus_json_u64(item, "due_ms"), call->arena));
    nexus_fact(&table, "ended", nexus_show_time(nexus_json_u64(item, "ended_ms"), call->arena));
    nexus_fact(&table, "slashed", nexus_show_hyper(nexus_json_text(item, "slashed"), call->arena));
    nexus_fact(&table, "paid to challenger",
               nexus_show_hyper(nexus_json_text(item, "paid"), call->arena));
    nexus_fact(&table, "why", nexus_json_text(item, "reason"));
    return nexus_table_finish(call, &table, out);
}

static int run_show(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *item = NULL;
    const char *id = NULL;
    int rc = nexus_resolve_challenge(call, nexus_operand(call, 0), &id);

    if (!rc)
        rc = nexus_ask(call, "GET", NULL, &item, "/consensus/challenges/%s", nexus_part(call, id));
    return rc ? rc : nexus_show(call, item, table_challenge);
}

const struct nexus_verb verb_challenge_show = {.group = "challenge",
                                               .name = "show",
                                               .operands = "CHALLENGE",
                                               .operands_min = 1,
                                               .operands_max = 1,
                                               .summary = "Show one challenge and how it ended",
                                               .run = run_show};
