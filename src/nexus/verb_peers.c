/* account peers, account relays: with whom an account deals P2P, and who may carry its traffic. */
#include "nexus_resolve.h"
#include "nexus_verbs.h"

/* The operands as a list under `member`. */
static int body_list(struct nexus_call *call, json_t *body, const char *member)
{
    json_t *list = json_array();
    const char *text;

    if (json_object_set_new(body, member, list) != 0)
        return nexus_no_memory(call);
    for (size_t i = 0; (text = nexus_operand(call, i)); i++)
        if (json_array_append_new(list, json_string(text)) != 0)
            return hm_fail(&call->error, HM_EINVAL, "%s: is not UTF-8", text);
    return 0;
}

static int put_names(struct nexus_call *call, const json_t *ids, struct hm_buf *out)
{
    NEXUS_AUTOJSON json_t *accounts = nexus_accounts(call);

    for (size_t i = 0; i < json_array_size(ids); i++) {
        const char *id = json_string_value(json_array_get(ids, i));
        const char *name = id ? nexus_account_name(accounts, id, call->arena) : "";

        if (!name || hm_buf_printf(out, "%s\n", name) != 0)
            return nexus_no_memory(call);
    }
    return 0;
}

static int show(struct nexus_call *call, const char *path, nexus_table_form form)
{
    NEXUS_AUTOJSON json_t *reply = NULL;
    int rc = nexus_query(call, &path, "account", nexus_value(call, "account"));

    if (!rc)
        rc = nexus_ask(call, "GET", NULL, &reply, "%s", path);
    return rc ? rc : nexus_show(call, reply, form);
}

/* --- peers ----------------------------------------------------------------------------------- */

static int table_peers(struct nexus_call *call, const json_t *reply, struct hm_buf *out)
{
    return put_names(call, nexus_json_list(reply, "accounts"), out);
}

static int run_peers(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *body = json_object();
    NEXUS_AUTOJSON json_t *reply = NULL;
    int rc;

    if (!nexus_operand(call, 0) && !nexus_has(call, "none"))
        return show(call, "/privacy/peers", table_peers);
    rc = body_list(call, body, "accounts");
    if (!rc)
        rc = nexus_body_option(call, body, "account", "account");
    if (!rc)
        rc = nexus_ask(call, "PUT", json_incref(body), &reply, "/privacy/peers");
    return rc ? rc : nexus_show(call, reply, nexus_table_receipt);
}

static const struct nexus_option peers_options[] = {
    {.name = "none", .help = "nobody any more"},
    {.name = "account", .value = "NAME", .help = "whose peers; default: user"},
};

const struct nexus_verb verb_account_peers = {
    .group = "account",
    .name = "peers",
    .operands = "[PEER...]",
    .operands_max = 256,
    .summary = "Show or replace the accounts one deals with P2P",
    .text =
        "A P2P asset is leased only when its owner lists the consumer (nexus asset privacy ASSET\n"
        "P2P --for CONSUMER) and the consumer has the owner among its peers.",
    .options = peers_options,
    .option_count = HM_COUNT_OF(peers_options),
    .run = run_peers};

/* --- relays ---------------------------------------------------------------------------------- */

static int table_relays(struct nexus_call *call, const json_t *reply, struct hm_buf *out)
{
    const json_t *relays = nexus_json_list(reply, "relays");
    int rc = 0;

    if (hm_buf_append_str(out, nexus_json_bool(reply, "any") ? "any relay"
                               : json_array_size(relays)     ? "only these relays"
                                                             : "no relay") ||
        hm_buf_append_str(out, nexus_json_bool(reply, "sealed_only")
                                   ? ", only what is sealed end to end\n"
                                   : "\n"))
        rc = nexus_no_memory(call);
    return rc ? rc : put_names(call, relays, out);
}

static int run_relays(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *body = json_object();
    NEXUS_AUTOJSON json_t *reply = NULL;
    bool any = nexus_has(call, "any");
    int rc;

    if (!nexus_operand(call, 0) && !any && !nexus_has(call, "none"))
        return show(call, "/privacy/proxy", table_relays);
    rc = body_list(call, body, "relays");
    if (!rc && (json_object_set_new(body, "any", json_boolean(any)) != 0 ||
                json_object_set_new(body, "sealed_only",
                                    json_boolean(nexus_has(call, "sealed-only"))) != 0))
        rc = nexus_no_memory(call);
    if (!rc)
        rc = nexus_body_option(call, body, "account", "account");
    if (!rc)
        rc = nexus_ask(call, "POST", json_incref(body), &reply, "/privacy/proxy");
    return rc ? rc : nexus_show(call, reply, nexus_table_receipt);
}

static const struct nexus_option relays_options[] = {
    {.name = "any", .help = "every relay"},
    {.name = "none", .help = "no relay"},
    {.name = "sealed-only", .help = "only traffic that is sealed end to end"},
    {.name = "account", .value = "NAME", .help = "whose traffic; default: user"},
};

const struct nexus_verb verb_account_relays = {
    .group = "account",
    .name = "relays",
    .operands = "[RELAY...]",
    .operands_max = 256,
    .summary = "Show or replace the relays that may carry traffic to one's assets",
    .text = "Kept on the ledger; enforced where there are relays, which is not yet.",
    .options = relays_options,
    .option_count = HM_COUNT_OF(relays_options),
    .run = run_relays};
