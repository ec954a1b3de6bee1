/* validator ls, show, declare, commission, retire, unjail: the operator's side. */
#include "nexus_resolve.h"
#include "nexus_verbs.h"

/* clang-format off */
#define ACCOUNT(who) {.name = "account", .value = "NAME", .help = "who acts; default: " who}
/* clang-format on */

static const char *standing(const json_t *validator)
{
    if (nexus_json_bool(validator, "tombstoned"))
        return "tombstoned";
    if (nexus_json_bool(validator, "retired"))
        return "retired";
    return nexus_json_bool(validator, "jailed") ? "jailed" : "good";
}

static int table_validators(struct nexus_call *call, const json_t *items, struct hm_buf *out)
{
    static const struct nexus_column columns[] = {{"OPERATOR", false}, {"STANDING", false},
                                                  {"STAKE", true},     {"COMMISSION PPM", true},
                                                  {"MISSED", true},    {"SLASHED", true}};
    NEXUS_AUTOJSON json_t *accounts = nexus_accounts(call);
    struct nexus_table table;

    NEXUS_TABLE_INIT(&table, columns, call->arena);
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);

        NEXUS_TABLE_ROW(&table,
                        nexus_account_name_or_id(accounts, nexus_json_text(item, "operator")),
                        standing(item), nexus_json_text(item, "stake"),
                        nexus_json_cell(json_object_get(item, "commission_ppm"), call->arena),
                        nexus_json_cell(json_object_get(item, "missed"), call->arena),
                        nexus_json_text(item, "slashed"));
    }
    return nexus_table_finish(call, &table, out);
}

static int run_ls(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *items = NULL;
    int rc = nexus_list(call, "/validators", 0, &items);

    return rc ? rc : nexus_show(call, items, table_validators);
}

const struct nexus_verb verb_validator_ls = {.group = "validator",
                                             .name = "ls",
                                             .summary = "List the validators of the chain",
                                             .run = run_ls};

static int table_validator(struct nexus_call *call, const json_t *item, struct hm_buf *out)
{
    NEXUS_AUTOJSON json_t *accounts = nexus_accounts(call);
    struct hm_arena *arena = call->arena;
    struct nexus_table table;

    NEXUS_TABLE_INIT(&table, nexus_fact_columns, arena);
    nexus_fact(&table, "operator",
               nexus_account_name_or_id(accounts, nexus_json_text(item, "operator")));
    nexus_fact(&table, "key", nexus_json_text(item, "key"));
    nexus_fact(&table, "standing", standing(item));
    if (nexus_json_bool(item, "jailed"))
        nexus_fact(&table, "jailed until",
                   nexus_show_time(nexus_json_u64(item, "jailed_until_ms"), arena));
    nexus_fact(&table, "stake", nexus_show_hyper(nexus_json_text(item, "stake"), arena));
    nexus_fact(&table, "commission ppm",
               nexus_json_cell(json_object_get(item, "commission_ppm"), arena));
    nexus_fact(&table, "blocks missed", nexus_json_cell(json_object_get(item, "missed"), arena));
    nexus_fact(&table, "slashed", nexus_show_hyper(nexus_json_text(item, "slashed"), arena));
    nexus_fact(&table, "CAES to be taken", nexus_json_text(item, "caes"));
    nexus_fact(&table, "declared", nexus_show_time(nexus_json_u64(item, "declared_ms"), arena));
    return nexus_table_finish(call, &table, out);
}

static int run_show(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *item = NULL;
    int rc = nexus_ask(call, "GET", NULL, &item, "/validators/%s",
                       nexus_part(call, nexus_operand(call, 0)));

    return rc ? rc : nexus_show(call, item, table_validator);
}

const struct nexus_verb verb_validator_show = {.group = "validator",
                                               .name = "show",
                                               .operands = "OPERATOR",
                                               .operands_min = 1,
                                               .operands_max = 1,
                                               .summary = "Show one validator",
                                               .run = run_show};

/* --- declare ---------------------------------------------------------------------------------- */

/* An option of a number becomes a member; left out when it is not given. */
static int body_number(struct nexus_call *call, json_t *body, const char *key, const char *text)
{
    uint64_t number;
    int rc;

    if (!text)
        return 0;
    rc = hm_u64_parse(text, &number, &call->error);
    if (rc == 0 && number > 1000000)
        rc = hm_fail(&call->error, HM_ERANGE, "a commission is at most 1000000 parts per million");
    if (rc)
        return rc;
    return json_object_set_new(body, key, json_integer((json_int_t)number)) != 0
               ? nexus_no_memory(call)
               : 0;
}

static int run_declare(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *body = json_object();
    NEXUS_AUTOJSON json_t *reply = NULL;
    int rc = nexus_body_text(call, body, "key", nexus_operand(call, 0));

    if (!rc)
        rc = nexus_body_text(call, body, "proof", nexus_operand(call, 1));
    if (!rc)
        rc = nexus_body_text(call, body, "bond", nexus_operand(call, 2));
    if (!rc)
        rc = body_number(call, body, "commission_ppm", nexus_value(call, "commission"));
    if (!rc)
        rc = nexus_body_option(call, body, "account", "account");
    if (!rc)
        rc = nexus_ask(call, "POST", json_incref(body), &reply, "/validators");
    return rc ? rc : nexus_show(call, reply, nexus_table_receipt);
}

static const struct nexus_option declare_options[] = {
    {.name = "commission",
     .value = "PPM",
     .help = "of the rewards, in parts per million; default: 0"},
    ACCOUNT("user"),
};

const struct nexus_verb verb_validator_declare = {
    .group = "validator",
    .name = "declare",
    .operands = "KEY PROOF BOND",
    .operands_min = 3,
    .operands_max = 3,
    .summary = "Declare a validator with the key that its engine signs with",
    .text =
        "KEY and PROOF are hexadecimal: an Ed25519 key, and its signature of the chain and the\n"
        "operator. BOND is HYPER of the operator's own that stays with it.",
    .options = declare_options,
    .option_count = HM_COUNT_OF(declare_options),
    .run = run_declare};

/* --- what an operator changes ----------------------------------------------------------------- */

static int run_commission(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *body = json_object();
    NEXUS_AUTOJSON json_t *reply = NULL;
    int rc = body_number(call, body, "commission_ppm", nexus_operand(call, 1));

    if (!rc)
        rc = nexus_ask(call, "POST", json_incref(body), &reply, "/validators/%s/commission",
                       nexus_part(call, nexus_operand(call, 0)));
    return rc ? rc : nexus_show(call, reply, nexus_table_receipt);
}

const struct nexus_verb verb_validator_commission = {
    .group = "validator",
    .name = "commission",
    .operands = "OPERATOR PPM",
    .operands_min = 2,
    .operands_max = 2,
    .summary = "Change a validator's commission, a little at a time",
    .text = "By at most 1 % of the rewards a day, counted from the declaration on; a chain's "
            "genesis\n"
            "may say otherwise.",
    .run = run_commission};

static int run_retire(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *reply = NULL;
    int rc = nexus_ask(call, "DELETE", NULL, &reply, "/validators/%s",
                       nexus_part(call, nexus_operand(call, 0)));

    return rc ? rc : nexus_show(call, reply, nexus_table_receipt);
}

const struct nexus_verb verb_validator_retire = {
    .group = "validator",
    .name = "retire",
    .operands = "OPERATOR",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Take a validator out for good",
    .text = "Its key is never a validator's again. Who delegated to it takes his stake out with\n"
            "nexus stake take.",
    .run = run_retire};

static int run_unjail(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *reply = NULL;
    int rc = nexus_ask(call, "POST", NULL, &reply, "/validators/%s/unjail",
                       nexus_part(call, nexus_operand(call, 0)));

    return rc ? rc : nexus_show(call, reply, nexus_table_receipt);
}

const struct nexus_verb verb_validator_unjail = {
    .group = "validator",
    .name = "unjail",
    .operands = "OPERATOR",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Let a validator that was absent too much take part again",
    .run = run_unjail};
