/* kv lease-grant, lease-keep, lease-revoke, lease-ls, lease-show. */
#include "nexus_kv.h"
#include "nexus_verbs.h"

static int table_granted(struct nexus_call *call, const json_t *reply, struct hm_buf *out)
{
    if (hm_buf_printf(out, "%s for %s\n",
                      nexus_json_cell(json_object_get(reply, "lease"), call->arena),
                      nexus_show_span_ms(nexus_json_u64(reply, "ttl_ms"), call->arena)) != 0)
        return nexus_no_memory(call);
    return nexus_table_receipt(call, reply, out);
}

static int run_grant(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *body = json_object();
    NEXUS_AUTOJSON json_t *reply = NULL;
    uint64_t lease = 0;
    int rc = nexus_body_text(call, body, "ttl", nexus_operand(call, 0));

    if (!rc)
        rc = nexus_value_u64(call, "id", &lease);
    if (!rc && lease && json_object_set_new(body, "lease", json_integer((json_int_t)lease)) != 0)
        rc = nexus_no_memory(call);
    if (!rc)
        rc = nexus_body_option(call, body, "account", "account");
    if (!rc)
        rc = nexus_ask(call, "POST", json_incref(body), &reply, "/kv-leases");
    return rc ? rc : nexus_show(call, reply, table_granted);
}

static const struct nexus_option grant_options[] = {
    {.name = "id", .value = "ID", .help = "its number; default: the ledger picks one"},
    NEXUS_KV_ACCOUNT,
};

const struct nexus_verb verb_kv_lease_grant = {
    .group = "kv",
    .name = "lease-grant",
    .operands = "TIME",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Make a lease: keys put with it go when it ends",
    .options = grant_options,
    .option_count = HM_COUNT_OF(grant_options),
    .run = run_grant};

static const struct nexus_option account_options[] = {NEXUS_KV_ACCOUNT};

/* Asks for something of the lease that is named; what: the rest of the path. */
static int ask_lease(struct nexus_call *call, const char *method, const char *what, json_t **reply)
{
    const char *path = hm_arena_printf(call->arena, "/kv-leases/%s%s",
                                       nexus_part(call, nexus_operand(call, 0)), what);
    int rc = path ? nexus_query(call, &path, "account", nexus_value(call, "account"))
                  : nexus_no_memory(call);

    return rc ? rc : nexus_ask(call, method, NULL, reply, "%s", path);
}

static int run_keep(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *reply = NULL;
    int rc = ask_lease(call, "POST", "/keep-alive", &reply);

    return rc ? rc : nexus_show(call, reply, table_granted);
}

const struct nexus_verb verb_kv_lease_keep = {.group = "kv",
                                              .name = "lease-keep",
                                              .operands = "ID",
                                              .operands_min = 1,
                                              .operands_max = 1,
                                              .summary = "Let a lease's time begin anew",
                                              .options = account_options,
                                              .option_count = HM_COUNT_OF(account_options),
                                              .run = run_keep};

static int run_revoke(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *reply = NULL;
    int rc = ask_lease(call, "DELETE", "", &reply);

    return rc ? rc : nexus_show(call, reply, nexus_table_receipt);
}

const struct nexus_verb verb_kv_lease_revoke = {.group = "kv",
                                                .name = "lease-revoke",
                                                .operands = "ID",
                                                .operands_min = 1,
                                                .operands_max = 1,
                                                .summary = "End a lease and delete its keys",
                                                .options = account_options,
                                                .option_count = HM_COUNT_OF(account_options),
                                                .run = run_revoke};

static int table_leases(struct nexus_call *call, const json_t *items, struct hm_buf *out)
{
    static const struct nexus_column columns[] = {
        {"LEASE", false}, {"OWNER", false}, {"TIME", true}, {"ENDS (UTC)", false}, {"KEYS", true}};
    struct nexus_table table;

    NEXUS_TABLE_INIT(&table, columns, call->arena);
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *lease = json_array_get(items, i);

        NEXUS_TABLE_ROW(&table, nexus_json_cell(json_object_get(lease, "id"), call->arena),
                        nexus_show_short(nexus_json_text(lease, "owner"), call->arena),
                        nexus_show_span_ms(nexus_json_u64(lease, "ttl_ms"), call->arena),
                        nexus_show_time(nexus_json_u64(lease, "expires_ms"), call->arena),
                        nexus_json_cell(json_object_get(lease, "keys"), call->arena));
    }
    return nexus_table_finish(call, &table, out);
}

static int run_ls(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *items = NULL;
    int rc = nexus_list(call, "/kv-leases", 0, &items);

    return rc ? rc : nexus_show(call, items, table_leases);
}

const struct nexus_verb verb_kv_lease_ls = {.group = "kv",
                                            .name = "lease-ls",
                                            .summary = "List leases of the key-value store",
                                            .run = run_ls};

static int run_show(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *lease = NULL;
    int rc = nexus_ask(call, "GET", NULL, &lease, "/kv-leases/%s",
                       nexus_part(call, nexus_operand(call, 0)));

    return rc ? rc : nexus_show(call, lease, nexus_table_object);
}

const struct nexus_verb verb_kv_lease_show = {.group = "kv",
                                              .name = "lease-show",
                                              .operands = "ID",
                                              .operands_min = 1,
                                              .operands_max = 1,
                                              .summary = "Show a lease and its keys",
                                              .run = run_show};
