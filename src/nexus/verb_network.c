/* network ls, create, show, members, join, leave, invite, expel, dissolve. */
#include "nexus_resolve.h"
#include "nexus_verbs.h"

/* clang-format off */
#define ACCOUNT(who) {.name = "account", .value = "NAME", .help = "who acts; default: " who}
/* clang-format on */

static int table_networks(struct nexus_call *call, const json_t *items, struct hm_buf *out)
{
    static const struct nexus_column columns[] = {{"NETWORK", false}, {"NAME", false},
                                                  {"OWNER", false},   {"WHO MAY JOIN", false},
                                                  {"MEMBERS", true},  {"INVITED", true}};
    NEXUS_AUTOJSON json_t *accounts = nexus_accounts(call);
    struct nexus_table table;

    NEXUS_TABLE_INIT(&table, columns, call->arena);
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *network = json_array_get(items, i);

        NEXUS_TABLE_ROW(
            &table, nexus_show_short(nexus_json_text(network, "id"), call->arena),
            nexus_json_text(network, "name"),
            nexus_account_name(accounts, nexus_json_text(network, "owner"), call->arena),
            nexus_json_bool(network, "open") ? "anyone" : "who is invited",
            nexus_json_cell(json_object_get(network, "members"), call->arena),
            nexus_json_cell(json_object_get(network, "invited"), call->arena));
    }
    return nexus_table_finish(call, &table, out);
}

static int run_ls(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *items = NULL;
    const char *path = "/networks";
    int rc = nexus_query(call, &path, "member", nexus_value(call, "member"));

    if (!rc)
        rc = nexus_list(call, path, 0, &items);
    return rc ? rc : nexus_show(call, items, table_networks);
}

static const struct nexus_option ls_options[] = {
    {.name = "member", .value = "ACCOUNT", .help = "only those it owns, joined or is invited to"},
};

const struct nexus_verb verb_network_ls = {.group = "network",
                                           .name = "ls",
                                           .summary = "List networks",
                                           .options = ls_options,
                                           .option_count = HM_COUNT_OF(ls_options),
                                           .run = run_ls};

/* --- create ---------------------------------------------------------------------------------- */

static int table_created(struct nexus_call *call, const json_t *reply, struct hm_buf *out)
{
    if (hm_buf_printf(out, "%s\n", nexus_json_text(reply, "network")) != 0)
        return nexus_no_memory(call);
    return nexus_table_receipt(call, reply, out);
}

static int run_create(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *body = json_object();
    NEXUS_AUTOJSON json_t *reply = NULL;
    int rc = nexus_body_text(call, body, "name", nexus_operand(call, 0));

    if (!rc && json_object_set_new(body, "open", json_boolean(nexus_has(call, "open"))) != 0)
        rc = nexus_no_memory(call);
    if (!rc)
        rc = nexus_body_option(call, body, "account", "account");
    if (!rc)
        rc = nexus_ask(call, "POST", json_incref(body), &reply, "/networks");
    return rc ? rc : nexus_show(call, reply, table_created);
}

static const struct nexus_option create_options[] = {
    {.name = "open", .help = "anyone may join; otherwise only who is invited"},
    ACCOUNT("user"),
};

const struct nexus_verb verb_network_create = {
    .group = "network",
    .name = "create",
    .operands = "NAME",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Make a network: a set of accounts that assets can be offered to",
    .options = create_options,
    .option_count = HM_COUNT_OF(create_options),
    .run = run_create};

/* --- show, members --------------------------------------------------------------------------- */

static int table_network(struct nexus_call *call, const json_t *network, struct hm_buf *out)
{
    NEXUS_AUTOJSON json_t *accounts = nexus_accounts(call);
    struct nexus_table table;

    NEXUS_TABLE_INIT(&table, nexus_fact_columns, call->arena);
    nexus_fact(&table, "network", nexus_json_text(network, "id"));
    nexus_fact(&table, "name", nexus_json_text(network, "name"));
    nexus_fact(&table, "owner",
               nexus_account_name(accounts, nexus_json_text(network, "owner"), call->arena));
    nexus_fact(&table, "who may join",
               nexus_json_bool(network, "open") ? "anyone" : "who is invited");
    nexus_fact(&table, "members",
               nexus_json_cell(json_object_get(network, "members"), call->arena));
    nexus_fact(&table, "invited",
               nexus_json_cell(json_object_get(network, "invited"), call->arena));
    nexus_fact(&table, "since block",
               nexus_json_cell(json_object_get(network, "created_height"), call->arena));
    return nexus_table_finish(call, &table, out);
}

static int run_show(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *network = NULL;
    const char *id = NULL;
    int rc = nexus_resolve_network(call, nexus_operand(call, 0), &id);

    if (!rc)
        rc = nexus_ask(call, "GET", NULL, &network, "/networks/%s", nexus_part(call, id));
    return rc ? rc : nexus_show(call, network, table_network);
}

const struct nexus_verb verb_network_show = {.group = "network",
                                             .name = "show",
                                             .operands = "NETWORK",
                                             .operands_min = 1,
                                             .operands_max = 1,
                                             .summary = "Show one network",
                                             .run = run_show};

static int table_members(struct nexus_call *call, const json_t *items, struct hm_buf *out)
{
    static const struct nexus_column columns[] = {
        {"ACCOUNT", false}, {"STATE", false}, {"SINCE (UTC)", false}};
    NEXUS_AUTOJSON json_t *accounts = nexus_accounts(call);
    struct nexus_table table;

    NEXUS_TABLE_INIT(&table, columns, call->arena);
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *member = json_array_get(items, i);

        NEXUS_TABLE_ROW(
            &table, nexus_account_name(accounts, nexus_json_text(member, "account"), call->arena),
            nexus_json_text(member, "state"),
            nexus_show_time(nexus_json_u64(member, "since_ms"), call->arena));
    }
    return nexus_table_finish(call, &table, out);
}

static int run_members(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *items = NULL;
    const char *path = NULL;
    const char *id = NULL;
    int rc = nexus_resolve_network(call, nexus_operand(call, 0), &id);

    if (rc)
        return rc;
    path = hm_arena_printf(call->arena, "/networks/%s/members", nexus_part(call, id));
    rc = path ? nexus_list(call, path, 0, &items) : nexus_no_memory(call);
    return rc ? rc : nexus_show(call, items, table_members);
}

const struct nexus_verb verb_network_members = {
    .group = "network",
    .name = "members",
    .operands = "NETWORK",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "List who is in a network, invited or expelled",
    .run = run_members};

/* --- join, leave, invite, expel, dissolve ----------------------------------------------------- */

/* The second operand, when the verb has one, is whom it is about. */
static int act(struct nexus_call *call, const char *what)
{
    NEXUS_AUTOJSON json_t *body = json_object();
    NEXUS_AUTOJSON json_t *reply = NULL;
    const char *who = nexus_operand(call, 1);
    const char *id = NULL;
    int rc = nexus_resolve_network(call, nexus_operand(call, 0), &id);

    if (!rc && who)
        rc = nexus_body_text(call, body, "who", who);
    if (!rc)
        rc = nexus_body_option(call, body, "account", "account");
    if (!rc)
        rc = nexus_ask(call, "POST", json_incref(body), &reply, "/networks/%s/%s",
                       nexus_part(call, id), what);
    return rc ? rc : nexus_show(call, reply, nexus_table_receipt);
}

static int run_join(struct nexus_call *call)
{
    return act(call, "join");
}

static int run_leave(struct nexus_call *call)
{
    return act(call, "leave");
}

static int run_invite(struct nexus_call *call)
{
    return act(call, "invite");
}

static int run_expel(struct nexus_call *call)
{
    return act(call, "expel");
}

static int run_dissolve(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *reply = NULL;
    const char *path = NULL;
    const char *id = NULL;
    int rc = nexus_resolve_network(call, nexus_operand(call, 0), &id);

    if (rc)
        return rc;
    path = hm_arena_printf(call->arena, "/networks/%s", nexus_part(call, id));
    rc = path ? nexus_query(call, &path, "account", nexus_value(call, "account"))
              : nexus_no_memory(call);
    if (!rc)
        rc = nexus_ask(call, "DELETE", NULL, &reply, "%s", path);
    return rc ? rc : nexus_show(call, reply, nexus_table_receipt);
}

static const struct nexus_option member_options[] = {ACCOUNT("user")};
static const struct nexus_option owner_options[] = {ACCOUNT("the owner")};

const struct nexus_verb verb_network_join = {.group = "network",
                                             .name = "join",
                                             .operands = "NETWORK",
                                             .operands_min = 1,
                                             .operands_max = 1,
                                             .summary = "Join an open network, or where invited",
                                             .options = member_options,
                                             .option_count = HM_COUNT_OF(member_options),
                                             .run = run_join};

const struct nexus_verb verb_network_leave = {.group = "network",
                                              .name = "leave",
                                              .operands = "NETWORK",
                                              .operands_min = 1,
                                              .operands_max = 1,
                                              .summary = "Leave a network",
                                              .options = member_options,
                                              .option_count = HM_COUNT_OF(member_options),
                                              .run = run_leave};

const struct nexus_verb verb_network_invite = {.group = "network",
                                               .name = "invite",
                                               .operands = "NETWORK WHO",
                                               .operands_min = 2,
                                               .operands_max = 2,
                                               .summary = "Let an account join",
                                               .options = owner_options,
                                               .option_count = HM_COUNT_OF(owner_options),
                                               .run = run_invite};

const struct nexus_verb verb_network_expel = {
    .group = "network",
    .name = "expel",
    .operands = "NETWORK WHO",
    .operands_min = 2,
    .operands_max = 2,
    .summary = "End a membership or take an invitation back",
    .options = owner_options,
    .option_count = HM_COUNT_OF(owner_options),
    .run = run_expel};

const struct nexus_verb verb_network_dissolve = {
    .group = "network",
    .name = "dissolve",
    .operands = "NETWORK",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "End a network of which the owner is the only member left",
    .options = owner_options,
    .option_count = HM_COUNT_OF(owner_options),
    .run = run_dissolve};
