/* verify: the node replays its chain, and nexus shows how far it is; with --remote nexus checks what a node says of a value
 * (verb_verify_remote.c). */
#include <unistd.h>

#include "nexus_call.h"
#include "nexus_verbs.h"
#include "nexus_verify.h"

#define LINE_MAX_BYTES 65536

/* JSON lines as they come: progress, and the last one is the result. */
struct replay {
    struct nexus_call *call;
    struct hm_buf line;
    json_t *result;
    bool shown; /* a progress line is on the terminal */
};

static int take_line(struct replay *replay, struct hm_error *error)
{
    json_t *value;
    int rc = hm_json_parse(hm_buf_slice(&replay->line), 0, &value, NULL);

    if (rc)
        return hm_fail(error, rc,
                       rc == HM_ENOMEM ? "no memory to read the node's answer"
                                       : "the node's answer is not JSON");
    if (!json_object_get(value, "done")) {
        json_decref(replay->result);
        replay->result = value;
        return 0;
    }
    if (isatty(2)) {
        fprintf(stderr, "\r\033[Kverified %llu of %llu blocks",
                (unsigned long long)nexus_json_u64(value, "done"),
                (unsigned long long)nexus_json_u64(value, "total"));
        replay->shown = true;
    }
    json_decref(value);
    return 0;
}

static int take_bytes(void *ctx, const uint8_t *data, size_t len, struct hm_error *error)
{
    struct replay *replay = ctx;

    for (size_t i = 0; i < len; i++) {
        int rc = 0;

        if (data[i] == '\n') {
            if (replay->line.len > 0)
                rc = take_line(replay, error);
            hm_buf_clear(&replay->line);
        } else if (replay->line.len >= LINE_MAX_BYTES) {
            rc = hm_fail(error, HM_ELIMIT, "the node's answer has a line of more than %d bytes",
                         LINE_MAX_BYTES);
        } else {
            rc = hm_buf_append(&replay->line, &data[i], 1);
        }
        if (rc)
            return rc;
    }
    return 0;
}

static int table_result(struct nexus_call *call, const json_t *result, struct hm_buf *out)
{
    if (hm_buf_printf(out,
                      "the chain is good: %llu blocks and %llu transactions replayed from genesis, "
                      "every state root the same\nstate root %s\n",
                      (unsigned long long)nexus_json_u64(result, "blocks"),
                      (unsigned long long)nexus_json_u64(result, "txs"),
                      nexus_json_text(result, "state_root")) != 0)
        return nexus_no_memory(call);
    return 0;
}

static int judge(struct nexus_call *call, const json_t *result)
{
    char *text;
    int rc;

    if (!result)
        return hm_fail(&call->error, HM_EPARSE, "the node's answer breaks off before the result");
    if (nexus_json_bool(result, "ok"))
        return nexus_show(call, result, table_result);
    text = json_dumps(result, 0);
    rc = nexus_problem_read(500, hm_slice_str(text ? text : ""), &call->error);
    free(text);
    return rc;
}

static int run_replay(struct nexus_call *call)
{
    struct replay replay = {.call = call};
    struct nexus_request request = {.method = "POST",
                                    .path = "/chain/verify",
                                    .take = take_bytes,
                                    .wake_fd = -1,
                                    .ctx = &replay};
    int rc = nexus_connect(call);

    if (!rc)
        rc = nexus_client_send(call->client, &request, NULL, &call->error);
    if (!rc && replay.line.len > 0)
        rc = take_line(&replay, &call->error);
    if (replay.shown)
        fprintf(stderr, "\r\033[K");
    if (!rc)
        rc = judge(call, replay.result);
    hm_buf_release(&replay.line);
    json_decref(replay.result);
    return rc;
}

static const struct nexus_option verify_options[] = {
    {.name = "remote",
     .value = "ADDR",
     .help = "check what this node says, as http://HOST:PORT or the path of its socket"},
    {.name = "trust",
     .value = "HEIGHT:HASH",
     .help = "begin with this block; default: the one that was trusted last"},
    {.name = "chain", .value = "ID", .help = "the chain must be this one"},
    {.name = "account", .value = "ID", .help = "an account's state: hm1..."},
    {.name = "asset", .value = "ID", .help = "an asset's: asset1..."},
    {.name = "lease", .value = "ID", .help = "a lease's: lease1..."},
    {.name = "kv", .value = "KEY", .help = "a key of the key-value store"},
    {.name = "key", .value = "HEX", .help = "any key of the state (docs/formats-ledger.md)"},
    {.name = "max-age",
     .value = "TIME",
     .help = "end with 7 when the block that shows it is older; default: 1m"},
    {.name = "timeout",
     .value = "TIME",
     .help = "how long all of it may take, whatever the node does; default: 2m"},
    {.name = "trust-for",
     .value = "TIME",
     .help = "how long a block is trusted after its time; default: 16h"},
    {.name = "trust-file",
     .value = "FILE",
     .help = "keep the trusted block here instead of in a file for each chain",
     .words = "@file"},
};

/* The other options are of --remote. */
static int run_local(struct nexus_call *call)
{
    for (size_t i = 0; i < call->line->given_count; i++) {
        const struct nexus_option *option = call->line->given[i].option;

        for (size_t k = 0; k < HM_COUNT_OF(verify_options); k++)
            if (option == &verify_options[k])
                return hm_fail(&call->error, HM_EINVAL, "--%s goes with --remote", option->name);
    }
    return run_replay(call);
}

static int run_verify(struct nexus_call *call)
{
    return nexus_has(call, "remote") ? nexus_verify_remote(call) : run_local(call);
}

const struct nexus_verb verb_verify = {
    .name = "verify",
    .summary = "Replay the chain and compare every state root; or check what a node says",
    .text =
        "With --remote nothing is replayed and the node need not be trusted: signatures lead from\n"
        "a block that you trust to the newest one, and a proof from its state root to the value.",
    .options = verify_options,
    .option_count = HM_COUNT_OF(verify_options),
    .run = run_verify};
