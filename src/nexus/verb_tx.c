/* tx show, send, validate; state prove. */
#include "nexus_call.h"
#include "nexus_verbs.h"

#define TX_FILE_MAX_BYTES ((size_t)1 << 20) /* the API takes no more */

/* "allocate" and its fields, one a line. */
static void add_op(struct nexus_table *table, const json_t *op, struct hm_arena *arena)
{
    json_t *all = (json_t *)(uintptr_t)op;

    nexus_fact(table, "act", nexus_json_text(op, "op"));
    for (void *at = json_object_iter(all); at; at = json_object_iter_next(all, at)) {
        const char *name = json_object_iter_key(at);

        if (strcmp(name, "op") != 0)
            nexus_fact(table, "",
                       hm_arena_printf(arena, "%s: %s", name,
                                       nexus_json_cell(json_object_iter_value(at), arena)));
    }
}

static int table_tx(struct nexus_call *call, const json_t *tx, struct hm_buf *out)
{
    struct hm_arena *arena = call->arena;
    const json_t *ops = nexus_json_list(tx, "ops");
    const char *session = nexus_json_text(tx, "session_key");
    struct nexus_table table;

    NEXUS_TABLE_INIT(&table, nexus_fact_columns, arena);
    nexus_fact(&table, "transaction", nexus_json_text(tx, "digest"));
    nexus_fact(&table, "block", nexus_json_cell(json_object_get(tx, "height"), arena));
    nexus_fact(&table, "result", nexus_json_text(tx, "code"));
    nexus_fact(&table, "reason", nexus_json_text(tx, "text"));
    nexus_fact(&table, "account", nexus_json_text(tx, "account"));
    nexus_fact(&table, "signed by", session[0] ? session : "the root keys");
    nexus_fact(&table, "fee",
               hm_arena_printf(arena, "%s HYPER of at most %s", nexus_json_text(tx, "fee"),
                               nexus_json_text(tx, "fee_limit")));
    nexus_fact(&table, "time", nexus_show_time(nexus_json_u64(tx, "timestamp_ms"), arena));
    nexus_fact(&table, "follows", nexus_json_text(tx, "presence"));
    nexus_fact(&table, "anchor",
               hm_arena_printf(arena, "block %llu",
                               (unsigned long long)nexus_json_u64(tx, "anchor_height")));
    for (size_t i = 0; i < json_array_size(ops); i++)
        add_op(&table, json_array_get(ops, i), arena);
    return nexus_table_finish(call, &table, out);
}

static int run_show(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *tx = NULL;
    int rc = nexus_ask(call, "GET", NULL, &tx, "/txs/%s", nexus_part(call, nexus_operand(call, 0)));

    return rc ? rc : nexus_show(call, tx, table_tx);
}

const struct nexus_verb verb_tx_show = {.group = "tx",
                                        .name = "show",
                                        .operands = "DIGEST",
                                        .operands_min = 1,
                                        .operands_max = 1,
                                        .summary = "Show a transaction and what came of it",
                                        .run = run_show};

static int run_send(struct nexus_call *call)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    NEXUS_AUTOJSON json_t *reply = NULL;
    int rc = hm_file_read(nexus_operand(call, 0), TX_FILE_MAX_BYTES, &bytes, &call->error);

    if (!rc && bytes.len == 0)
        rc = hm_fail(&call->error, HM_EINVAL, "%s is empty", nexus_operand(call, 0));
    if (!rc)
        rc = nexus_connect(call);
    if (rc)
        return rc;
    struct nexus_request request = {.method = "POST",
                                    .path = "/txs",
                                    .bytes = hm_buf_slice(&bytes),
                                    .type = "application/octet-stream",
                                    .wake_fd = -1};

    rc = nexus_client_send(call->client, &request, &reply, &call->error);
    return rc ? rc : nexus_show(call, reply, nexus_table_receipt);
}

const struct nexus_verb verb_tx_send = {
    .group = "tx",
    .name = "send",
    .operands = "FILE",
    .operands_min = 1,
    .operands_max = 1,
    .words = "@file",
    .summary = "Send a packed transaction that was signed elsewhere",
    .run = run_send};

static int table_validation(struct nexus_call *call, const json_t *reply, struct hm_buf *out)
{
    static const struct nexus_column columns[] = {
        {"PROOF", false}, {"", false}, {"CHECKED IN", true}, {"WHAT IT SHOWS", false}};
    const json_t *proofs = nexus_json_list(reply, "proofs");
    struct nexus_table table;

    NEXUS_TABLE_INIT(&table, columns, call->arena);
    for (size_t i = 0; i < json_array_size(proofs); i++) {
        const json_t *proof = json_array_get(proofs, i);
        bool valid = nexus_json_bool(proof, "valid");

        NEXUS_TABLE_WRAPPED(&table, NEXUS_SENTENCE_COLUMNS, nexus_json_text(proof, "name"),
                            valid ? "holds" : "REFUSED",
                            nexus_show_span_ns(nexus_json_u64(proof, "check_ns"), call->arena),
                            nexus_json_text(proof, valid ? "shows" : "fault"));
    }
    return nexus_table_finish(call, &table, out);
}

static int run_validate(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *reply = NULL;
    NEXUS_AUTOJSON json_t *body = json_object();
    int rc = nexus_body_text(call, body, "tx", nexus_operand(call, 0));

    if (!rc)
        rc = nexus_ask(call, "POST", json_incref(body), &reply, "/consensus/validate");
    if (!rc)
        rc = nexus_show(call, reply, table_validation);
    if (rc)
        return rc;
    return nexus_json_bool(reply, "valid") ? 0 : NEXUS_EXIT_REFUSED;
}

const struct nexus_verb verb_tx_validate = {
    .group = "tx",
    .name = "validate",
    .operands = "DIGEST",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Check a transaction's four proofs again and say what each shows",
    .run = run_validate};

static int run_prove(struct nexus_call *call)
{
    NEXUS_AUTOJSON json_t *reply = NULL;
    int rc = nexus_ask(call, "GET", NULL, &reply, "/state/%s",
                       nexus_part(call, nexus_operand(call, 0)));

    return rc ? rc : nexus_show(call, reply, nexus_table_object);
}

const struct nexus_verb verb_state_prove = {
    .group = "state",
    .name = "prove",
    .operands = "KEY",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "A value of the ledger, or its absence, with the proof of it",
    .text = "KEY is in hexadecimal (docs/formats-ledger.md). The proof is shown, not checked.",
    .run = run_prove};
