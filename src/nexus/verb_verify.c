/* Has the node replay its chain from genesis; the answer is a stream of JSON lines, the last one the result. */
#include <stdio.h>
#include <unistd.h>

#include "nexus_verbs.h"

#define LINE_MAX_BYTES 65536

struct verify {
    struct nexus_call *call;
    struct hm_buf line; /* under way */
    json_t *last;       /* what the last whole line said */
    bool told;          /* a line of progress stands on the terminal */
};

static void tell(struct verify *verify)
{
    uint64_t total = nexus_json_u64(verify->last, "total");

    if (total == 0 || !isatty(2))
        return;
    fprintf(stderr, "\rreplayed %llu of %llu blocks",
            (unsigned long long)nexus_json_u64(verify->last, "done"), (unsigned long long)total);
    verify->told = true;
}

static int take_line(struct verify *verify, struct hm_error *error)
{
    json_t *line = json_loadb((const char *)verify->line.data, verify->line.len,
                              JSON_REJECT_DUPLICATES, NULL);

    if (!json_is_object(line)) {
        json_decref(line);
        return hm_fail(error, HM_EPARSE, "the node's answer holds a line that is not JSON");
    }
    json_decref(verify->last);
    verify->last = line;
    hm_buf_clear(&verify->line);
    tell(verify);
    return 0;
}

static int take(void *ctx, const uint8_t *data, size_t len, struct hm_error *error)
{
    struct verify *verify = ctx;

    for (size_t i = 0; i < len; i++) {
        int rc = 0;

        if (data[i] == '\n')
            rc = verify->line.len > 0 ? take_line(verify, error) : 0;
        else if (verify->line.len >= LINE_MAX_BYTES)
            rc = hm_fail(error, HM_ELIMIT, "the node's answer holds a line without an end");
        else if (hm_buf_append(&verify->line, &data[i], 1) != 0)
            rc = hm_fail(error, HM_ENOMEM, "out of memory");
        if (rc)
            return rc;
    }
    return 0;
}

static int table_verify(struct nexus_call *call, const json_t *result, struct hm_buf *out)
{
    int rc = hm_buf_printf(out,
                           "the chain is as its blocks say: %llu blocks, %llu transactions "
                           "replayed from genesis, every state root the same\nstate root %s\n",
                           (unsigned long long)nexus_json_u64(result, "blocks"),
                           (unsigned long long)nexus_json_u64(result, "txs"),
                           nexus_json_text(result, "state_root"));

    return rc ? nexus_no_memory(call) : 0;
}

static int result(struct verify *verify)
{
    struct nexus_call *call = verify->call;
    HM_AUTOFREE char *text = NULL;

    if (nexus_json_bool(verify->last, "ok"))
        return nexus_show(call, verify->last, table_verify);
    if (!verify->last || !json_object_get(verify->last, "detail"))
        return hm_fail(&call->error, HM_EPARSE, "the node ended its answer without a result");
    return hm_fail(&call->error, HM_ECORRUPT, "%s", nexus_json_text(verify->last, "detail"));
}

static int run(struct nexus_call *call)
{
    struct verify verify = {.call = call};
    struct nexus_request request = {.method = "POST",
                                    .path = "/chain/verify",
                                    .take = take,
                                    .wake_fd = -1,
                                    .ctx = &verify};
    int rc = nexus_connect(call);

    if (!rc)
        rc = nexus_client_send(call->client, &request, NULL, &call->error);
    if (verify.told)
        fputc('\n', stderr);
    if (!rc)
        rc = result(&verify);
    hm_buf_release(&verify.line);
    json_decref(verify.last);
    return rc;
}

const struct nexus_verb verb_verify = {
    .name = "verify",
    .summary = "Replay the chain from genesis and compare every state root",
    .run = run};
