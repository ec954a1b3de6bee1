/* kv get, put, del, ls, compact, state, txn. */
#include <stdio.h>
#include <unistd.h>

#include "nexus_kv.h"
#include "nexus_verbs.h"

/* --- get ------------------------------------------------------------------------------------- */

/* The value as it is; a line end is added for people only. */
static int table_value(struct nexus_call *call, const json_t *item, struct hm_buf *out)
{
    struct hm_slice value;
    int rc = nexus_kv_bytes(call, item, "value", &value);

    if (!rc && hm_buf_append(out, value.data, value.len))
        rc = nexus_no_memory(call);
    if (!rc && isatty(1) && (value.len == 0 || value.data[value.len - 1] != '\n') &&
        hm_buf_append(out, "\n", 1))
        rc = nexus_no_memory(call);
    return rc;
}

static int run_get(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *item = NULL;
    const char *path = nexus_kv_path(call, nexus_operand(call, 0));
    int rc = path ? nexus_query(call, &path, "revision", nexus_value(call, "revision"))
                  : nexus_no_memory(call);

    if (!rc)
        rc = nexus_query(call, &path, "account", nexus_value(call, "account"));
    if (!rc)
        rc = nexus_ask(call, "GET", NULL, &item, "%s", path);
    return rc ? rc : nexus_show(call, item, table_value);
}

static const struct nexus_option get_options[] = {
    {.name = "revision", .value = "N", .help = "as it was then; default: now"},
    NEXUS_KV_ACCOUNT,
};

const struct nexus_verb verb_kv_get = {
    .group = "kv",
    .name = "get",
    .operands = "KEY",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Print a key's value",
    .text =
        "The value is written as it is; with -o json also its revisions and lease. A value that\n"
        "is not UTF-8 is given as base64 there.",
    .options = get_options,
    .option_count = HM_COUNT_OF(get_options),
    .run = run_get};

/* --- put ------------------------------------------------------------------------------------- */

static int run_put(struct nexus_call *call)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    NEXUS_AUTOJSON json_t *body = json_object();
    NEXUS_AUTOJSON json_t *reply = NULL;
    const char *path = NULL;
    const char *value = nexus_operand(call, 1);
    uint64_t lease = 0;
    int rc = 0;

    if (value && hm_buf_append_str(&bytes, value))
        rc = nexus_no_memory(call);
    if (!rc && !value)
        rc = nexus_read_input(call, NEXUS_KV_INPUT_MAX_BYTES, &bytes);
    if (!rc)
        rc = nexus_kv_put_body(call, nexus_operand(call, 0), hm_buf_slice(&bytes), body, &path);
    if (!rc)
        rc = nexus_value_u64(call, "lease", &lease);
    if (!rc && nexus_has(call, "lease") &&
        json_object_set_new(body, "lease", json_integer((json_int_t)lease)) != 0)
        rc = nexus_no_memory(call);
    if (!rc)
        rc = nexus_body_option(call, body, "account", "account");
    if (!rc)
        rc = nexus_ask(call, "PUT", json_incref(body), &reply, "%s", path);
    return rc ? rc : nexus_show(call, reply, nexus_kv_table_revision);
}

static const struct nexus_option put_options[] = {
    {.name = "lease", .value = "ID", .help = "the key goes when this lease ends"},
    NEXUS_KV_ACCOUNT,
};

const struct nexus_verb verb_kv_put = {
    .group = "kv",
    .name = "put",
    .operands = "KEY [VALUE]",
    .operands_min = 1,
    .operands_max = 2,
    .summary = "Set a key",
    .text = "Without VALUE it is read from standard input, whatever bytes it holds.",
    .options = put_options,
    .option_count = HM_COUNT_OF(put_options),
    .run = run_put};

/* --- del ------------------------------------------------------------------------------------- */

static int table_deleted(struct nexus_call *call, const json_t *reply, struct hm_buf *out)
{
    if (hm_buf_printf(out, "%llu deleted\n",
                      (unsigned long long)nexus_json_u64(reply, "deleted")) != 0)
        return nexus_no_memory(call);
    return nexus_kv_table_revision(call, reply, out);
}

static int run_del(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *reply = NULL;
    const char *path = nexus_kv_path(call, nexus_operand(call, 0));
    int rc = path ? nexus_query(call, &path, "prefix", nexus_has(call, "prefix") ? "true" : NULL)
                  : nexus_no_memory(call);

    if (!rc)
        rc = nexus_query(call, &path, "account", nexus_value(call, "account"));
    if (!rc)
        rc = nexus_ask(call, "DELETE", NULL, &reply, "%s", path);
    return rc ? rc : nexus_show(call, reply, table_deleted);
}

static const struct nexus_option del_options[] = {
    {.name = "prefix", .help = "every key that begins so"},
    NEXUS_KV_ACCOUNT,
};

const struct nexus_verb verb_kv_del = {.group = "kv",
                                       .name = "del",
                                       .operands = "KEY",
                                       .operands_min = 1,
                                       .operands_max = 1,
                                       .summary = "Delete a key, or all that begin with it",
                                       .options = del_options,
                                       .option_count = HM_COUNT_OF(del_options),
                                       .run = run_del};

/* --- ls -------------------------------------------------------------------------------------- */

static int table_keys(struct nexus_call *call, const json_t *items, struct hm_buf *out)
{
    static const struct nexus_column columns[] = {
        {"KEY", false}, {"REVISION", true}, {"VERSION", true}, {"VALUE", false}};
    struct nexus_table table;

    NEXUS_TABLE_INIT(&table, columns, call->arena);
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);

        NEXUS_TABLE_ROW(&table, nexus_kv_key(item, call->arena),
                        nexus_json_cell(json_object_get(item, "mod_revision"), call->arena),
                        nexus_json_cell(json_object_get(item, "version"), call->arena),
                        nexus_kv_brief(nexus_json_text(item, "value"), call->arena));
    }
    return nexus_table_finish(call, &table, out);
}

static int run_ls(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *items = NULL;
    const char *path = "/kv";
    int rc = nexus_query(call, &path, "prefix", nexus_operand(call, 0));

    if (!rc)
        rc = nexus_query(call, &path, "revision", nexus_value(call, "revision"));
    if (!rc)
        rc = nexus_query(call, &path, "keys_only", nexus_has(call, "keys-only") ? "true" : NULL);
    if (!rc)
        rc = nexus_query(call, &path, "account", nexus_value(call, "account"));
    if (!rc)
        rc = nexus_list(call, path, 0, &items);
    return rc ? rc : nexus_show(call, items, table_keys);
}

static const struct nexus_option ls_options[] = {
    {.name = "revision", .value = "N", .help = "as it was then; default: now"},
    {.name = "keys-only", .help = "without the values"},
    NEXUS_KV_ACCOUNT,
};

const struct nexus_verb verb_kv_ls = {.group = "kv",
                                      .name = "ls",
                                      .operands = "[PREFIX]",
                                      .operands_max = 1,
                                      .summary = "List keys",
                                      .options = ls_options,
                                      .option_count = HM_COUNT_OF(ls_options),
                                      .run = run_ls};

/* --- txn ------------------------------------------------------------------------------------- */

static int run_txn(struct nexus_call *call)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    NEXUS_AUTOJSON json_t *body = NULL;
    NEXUS_AUTOJSON json_t *reply = NULL;
    const char *file = nexus_operand(call, 0);
    json_error_t where;
    int rc;

    rc = file && strcmp(file, "-") != 0
             ? hm_file_read(file, NEXUS_KV_INPUT_MAX_BYTES, &bytes, &call->error)
             : nexus_read_input(call, NEXUS_KV_INPUT_MAX_BYTES, &bytes);
    if (rc)
        return rc;
    rc = hm_json_parse(hm_buf_slice(&bytes), JSON_REJECT_DUPLICATES, &body, &where);
    if (rc == HM_ENOMEM)
        return nexus_no_memory(call);
    if (rc || !json_is_object(body))
        return hm_fail(&call->error, HM_EPARSE,
                       "the transaction is not a JSON object: line %d, column %d: %s", where.line,
                       where.column, body ? "it is another value" : where.text);
    rc = nexus_body_option(call, body, "account", "account");
    if (!rc)
        rc = nexus_ask(call, "POST", json_incref(body), &reply, "/kv-txn");
    return rc ? rc : nexus_show(call, reply, nexus_kv_table_txn);
}

static const struct nexus_option account_options[] = {NEXUS_KV_ACCOUNT};

const struct nexus_verb verb_kv_txn = {
    .group = "kv",
    .name = "txn",
    .operands = "[FILE]",
    .operands_max = 1,
    .words = "@file",
    .summary = "If every compare holds do one thing, else another; all at once",
    .text = "FILE (standard input without it) is JSON:\n"
            "  {\"compare\": [{\"key\": \"a\", \"target\": \"version\", \"result\": \"equal\", "
            "\"number\": 0}],\n"
            "   \"success\": [{\"put\": {\"key\": \"a\", \"value\": \"1\"}}],\n"
            "   \"failure\": [{\"range\": {\"key\": \"a\"}}]}",
    .options = account_options,
    .option_count = HM_COUNT_OF(account_options),
    .run = run_txn};

/* --- compact, state -------------------------------------------------------------------------- */

static int run_compact(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *body = json_object();
    NEXUS_AUTOJSON json_t *reply = NULL;
    uint64_t revision = 0;
    int rc = hm_u64_parse(nexus_operand(call, 0), &revision, &call->error);

    if (rc)
        return hm_error_prefix(&call->error, rc, "REVISION");
    if (json_object_set_new(body, "revision", json_integer((json_int_t)revision)) != 0)
        return nexus_no_memory(call);
    rc = nexus_body_option(call, body, "account", "account");
    if (!rc)
        rc = nexus_ask(call, "POST", json_incref(body), &reply, "/kv-compact");
    return rc ? rc : nexus_show(call, reply, nexus_table_receipt);
}

const struct nexus_verb verb_kv_compact = {
    .group = "kv",
    .name = "compact",
    .operands = "REVISION",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Forget history before a revision; what is there now stays",
    .options = account_options,
    .option_count = HM_COUNT_OF(account_options),
    .run = run_compact};

static int run_state(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *state = NULL;
    int rc = nexus_ask(call, "GET", NULL, &state, "/kv-state");

    return rc ? rc : nexus_show(call, state, nexus_table_object);
}

const struct nexus_verb verb_kv_state = {.group = "kv",
                                         .name = "state",
                                         .summary = "Revision, number of keys and leases",
                                         .run = run_state};
