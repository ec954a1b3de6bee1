/* account ls, show, create, transfer, bond, unbond, revoke. */
#include "nexus_call.h"
#include "nexus_verbs.h"

#define USER_ACCOUNT "user" /* made by every node for whoever uses it */

static const char *from_account(struct nexus_call *call)
{
    const char *name = nexus_value(call, "account");

    return nexus_part(call, name ? name : USER_ACCOUNT);
}

static int table_accounts(struct nexus_call *call, const json_t *items, struct hm_buf *out)
{
    static const struct nexus_column columns[] = {
        {"NAME", false}, {"HYPER", true}, {"BONDED", true}, {"CAES", true}, {"ID", false}};
    struct nexus_table table;

    NEXUS_TABLE_INIT(&table, columns, call->arena);
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *account = json_array_get(items, i);

        NEXUS_TABLE_ROW(&table, nexus_json_text(account, "name"), nexus_json_text(account, "hyper"),
                        nexus_json_text(account, "bonded"), nexus_json_text(account, "caes"),
                        nexus_json_text(account, "id"));
    }
    return nexus_table_finish(call, &table, out);
}

static int run_ls(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *items = NULL;
    int rc = nexus_items(call, "/accounts", &items);

    return rc ? rc : nexus_show(call, items, table_accounts);
}

const struct nexus_verb verb_account_ls = {.group = "account",
                                           .name = "ls",
                                           .summary = "List the accounts whose keys the node has",
                                           .run = run_ls};

static void add_unbonding(struct nexus_table *table, const json_t *list, struct hm_arena *arena)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *part = json_array_get(list, i);

        nexus_fact(table, i == 0 ? "unbonding" : "",
                   hm_arena_printf(arena, "%s HYPER, free at %s UTC",
                                   nexus_json_text(part, "amount"),
                                   nexus_show_time(nexus_json_u64(part, "free_ms"), arena)));
    }
}

static void add_sessions(struct nexus_table *table, const json_t *list, struct hm_arena *arena)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *session = json_array_get(list, i);

        nexus_fact(table, i == 0 ? "sessions" : "",
                   hm_arena_printf(arena, "%s until %s UTC", nexus_json_text(session, "key"),
                                   nexus_show_time(nexus_json_u64(session, "expires_ms"), arena)));
    }
}

static int table_account(struct nexus_call *call, const json_t *account, struct hm_buf *out)
{
    struct hm_arena *arena = call->arena;
    struct nexus_table table;

    NEXUS_TABLE_INIT(&table, nexus_fact_columns, arena);
    nexus_fact(&table, "name", nexus_json_text(account, "name"));
    nexus_fact(&table, "id", nexus_json_text(account, "id"));
    nexus_fact(&table, "HYPER", nexus_json_text(account, "hyper"));
    nexus_fact(&table, "bonded", nexus_json_text(account, "bonded"));
    add_unbonding(&table, nexus_json_list(account, "unbonding"), arena);
    nexus_fact(&table, "CAES", nexus_json_text(account, "caes"));
    nexus_fact(&table, "assets", nexus_json_cell(json_object_get(account, "assets"), arena));
    nexus_fact(&table, "acts", nexus_json_cell(json_object_get(account, "txs"), arena));
    nexus_fact(&table, "presence", nexus_json_text(account, "presence"));
    add_sessions(&table, nexus_json_list(account, "sessions"), arena);
    return nexus_table_finish(call, &table, out);
}

static int run_show(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *account = NULL;
    const char *name = nexus_operand(call, 0);
    int rc = nexus_ask(call, "GET", NULL, &account, "/accounts/%s",
                       nexus_part(call, name ? name : USER_ACCOUNT));

    return rc ? rc : nexus_show(call, account, table_account);
}

const struct nexus_verb verb_account_show = {
    .group = "account",
    .name = "show",
    .operands = "[ACCOUNT]",
    .operands_max = 1,
    .summary = "Show one account, by name or id; \"user\" when left out",
    .run = run_show};

static int run_create(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *account = NULL;
    NEXUS_AUTOJSON json_t *body = json_object();
    int rc = nexus_body_text(call, body, "name", nexus_operand(call, 0));

    if (!rc)
        rc = nexus_ask(call, "POST", json_incref(body), &account, "/accounts");
    return rc ? rc : nexus_show(call, account, table_account);
}

const struct nexus_verb verb_account_create = {
    .group = "account",
    .name = "create",
    .operands = "NAME",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Make keys for a new account; the node keeps them",
    .run = run_create};

static int run_transfer(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *reply = NULL;
    NEXUS_AUTOJSON json_t *body = json_object();
    int rc = nexus_body_text(call, body, "to", nexus_operand(call, 0));

    if (!rc)
        rc = nexus_body_text(call, body, "amount", nexus_operand(call, 1));
    if (!rc)
        rc = nexus_body_option(call, body, "token", "token");
    if (!rc)
        rc = nexus_body_option(call, body, "memo", "memo");
    if (!rc)
        rc = nexus_ask(call, "POST", json_incref(body), &reply, "/accounts/%s/transfer",
                       from_account(call));
    return rc ? rc : nexus_show(call, reply, nexus_table_receipt);
}

/* clang-format off */
#define FROM_OPTION {.name = "account", .value = "NAME", .help = "whose; default: user"}
/* clang-format on */
static const struct nexus_option transfer_options[] = {
    FROM_OPTION,
    {.name = "token", .value = "TOKEN", .help = "what; default: hyper", .words = "hyper caes"},
    {.name = "memo", .value = "TEXT", .help = "a note on the ledger, for everyone to read"},
};

const struct nexus_verb verb_account_transfer = {.group = "account",
                                                 .name = "transfer",
                                                 .operands = "TO AMOUNT",
                                                 .operands_min = 2,
                                                 .operands_max = 2,
                                                 .summary = "Pay another account",
                                                 .options = transfer_options,
                                                 .option_count = HM_COUNT_OF(transfer_options),
                                                 .run = run_transfer};

static int change_bond(struct nexus_call *call, const char *act)
{
    NEXUS_AUTOJSON json_t *reply = NULL;
    NEXUS_AUTOJSON json_t *body = json_object();
    int rc = nexus_body_text(call, body, "amount", nexus_operand(call, 0));

    if (!rc)
        rc = nexus_ask(call, "POST", json_incref(body), &reply, "/accounts/%s/%s",
                       from_account(call), act);
    return rc ? rc : nexus_show(call, reply, nexus_table_receipt);
}

static int run_bond(struct nexus_call *call)
{
    return change_bond(call, "bond");
}

static int run_unbond(struct nexus_call *call)
{
    return change_bond(call, "unbond");
}

static const struct nexus_option bond_options[] = {FROM_OPTION};

const struct nexus_verb verb_account_bond = {
    .group = "account",
    .name = "bond",
    .operands = "AMOUNT",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Put HYPER down as a bond; offering and leasing assets needs one",
    .options = bond_options,
    .option_count = HM_COUNT_OF(bond_options),
    .run = run_bond};

const struct nexus_verb verb_account_unbond = {
    .group = "account",
    .name = "unbond",
    .operands = "AMOUNT",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Take bonded HYPER back, after the chain's delay",
    .options = bond_options,
    .option_count = HM_COUNT_OF(bond_options),
    .run = run_unbond};

static int run_revoke(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *reply = NULL;
    NEXUS_AUTOJSON json_t *body = json_object();
    int rc = nexus_body_text(call, body, "session_key", nexus_operand(call, 0));

    if (!rc)
        rc = nexus_ask(call, "POST", json_incref(body), &reply, "/accounts/%s/sessions/revoke",
                       from_account(call));
    return rc ? rc : nexus_show(call, reply, nexus_table_receipt);
}

const struct nexus_verb verb_account_revoke = {.group = "account",
                                               .name = "revoke",
                                               .operands = "SESSION-KEY",
                                               .operands_min = 1,
                                               .operands_max = 1,
                                               .summary = "End a session key before its time",
                                               .options = bond_options,
                                               .option_count = HM_COUNT_OF(bond_options),
                                               .run = run_revoke};
