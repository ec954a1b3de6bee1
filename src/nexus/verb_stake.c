/* stake ls, give, take, move, rewards: what accounts delegate to validators. */
#include "nexus_resolve.h"
#include "nexus_verbs.h"

#define USER_ACCOUNT "user"

static int table_stakes(struct nexus_call *call, const json_t *items, struct hm_buf *out)
{
    static const struct nexus_column columns[] = {{"VALIDATOR", false},
                                                  {"HYPER", true},
                                                  {"LEAVING", true},
                                                  {"FREE AT", false},
                                                  {"CAES EARNED", true}};
    NEXUS_AUTOJSON json_t *accounts = nexus_accounts(call);
    struct nexus_table table;

    NEXUS_TABLE_INIT(&table, columns, call->arena);
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);

        NEXUS_TABLE_ROW(&table,
                        nexus_account_name_or_id(accounts, nexus_json_text(item, "validator")),
                        nexus_json_text(item, "stake"), nexus_json_text(item, "leaving"),
                        nexus_show_time(nexus_json_u64(item, "free_ms"), call->arena),
                        nexus_json_text(item, "rewards"));
    }
    return nexus_table_finish(call, &table, out);
}

static int run_ls(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *items = NULL;
    const char *name = nexus_value(call, "account");
    const char *path = hm_arena_printf(call->arena, "/accounts/%s/stakes",
                                       nexus_part(call, name ? name : USER_ACCOUNT));
    int rc = path ? nexus_list(call, path, 0, &items) : nexus_no_memory(call);

    return rc ? rc : nexus_show(call, items, table_stakes);
}

static const struct nexus_option ls_options[] = {
    {.name = "account", .value = "NAME", .help = "whose; default: user"},
};

const struct nexus_verb verb_stake_ls = {
    .group = "stake",
    .name = "ls",
    .summary = "List what an account has delegated, and earned",
    .text = "FREE AT is when the last of what leaves (stake take, stake move) is free, in UTC.",
    .options = ls_options,
    .option_count = HM_COUNT_OF(ls_options),
    .run = run_ls};

static const struct nexus_option account_options[] = {
    {.name = "account", .value = "NAME", .help = "who acts; default: user"},
};
static const struct nexus_option amount_options[] = {
    {.name = "amount", .value = "HYPER", .help = "how much; default: all"},
    {.name = "account", .value = "NAME", .help = "who acts; default: user"},
};

/* Sends the body to the validator that is named first. */
static int stake_act(struct nexus_call *call, json_t *body, const char *what)
{
    NEXUS_AUTOJSON json_t *reply = NULL;
    int rc = nexus_body_option(call, body, "account", "account");

    if (!rc)
        rc = nexus_ask(call, "POST", json_incref(body), &reply, "/validators/%s/%s",
                       nexus_part(call, nexus_operand(call, 0)), what);
    return rc ? rc : nexus_show(call, reply, nexus_table_receipt);
}

static int run_give(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *body = json_object();
    int rc = nexus_body_text(call, body, "amount", nexus_operand(call, 1));

    return rc ? rc : stake_act(call, body, "delegate");
}

const struct nexus_verb verb_stake_give = {
    .group = "stake",
    .name = "give",
    .operands = "OPERATOR HYPER",
    .operands_min = 2,
    .operands_max = 2,
    .summary = "Delegate HYPER to a validator",
    .text = "It earns a part of the rewards, and loses a part when the validator is at fault.",
    .options = account_options,
    .option_count = HM_COUNT_OF(account_options),
    .run = run_give};

static int run_take(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *body = json_object();
    int rc = nexus_body_option(call, body, "amount", "amount");

    return rc ? rc : stake_act(call, body, "undelegate");
}

const struct nexus_verb verb_stake_take = {
    .group = "stake",
    .name = "take",
    .operands = "OPERATOR",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Take delegated HYPER out again, free after the chain's delay",
    .options = amount_options,
    .option_count = HM_COUNT_OF(amount_options),
    .run = run_take};

static int run_move(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *body = json_object();
    int rc = nexus_body_text(call, body, "to", nexus_operand(call, 1));

    if (!rc)
        rc = nexus_body_option(call, body, "amount", "amount");
    return rc ? rc : stake_act(call, body, "redelegate");
}

const struct nexus_verb verb_stake_move = {
    .group = "stake",
    .name = "move",
    .operands = "OPERATOR OPERATOR",
    .operands_min = 2,
    .operands_max = 2,
    .summary = "Move delegated HYPER to another validator",
    .text = "It waits for the chain's delay between them, and earns nothing while it does.",
    .options = amount_options,
    .option_count = HM_COUNT_OF(amount_options),
    .run = run_move};

static int run_rewards(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *body = json_object();

    return stake_act(call, body, "rewards");
}

const struct nexus_verb verb_stake_rewards = {
    .group = "stake",
    .name = "rewards",
    .operands = "OPERATOR",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Take the CAES that a delegation has earned",
    .options = account_options,
    .option_count = HM_COUNT_OF(account_options),
    .run = run_rewards};
