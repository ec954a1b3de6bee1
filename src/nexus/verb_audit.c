/* audit export, verify: every operation as JSON lines, and the check that none is missing. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "audit.h"
#include "nexus_call.h"
#include "nexus_verbs.h"

/* --- export ---------------------------------------------------------------------------------- */

static int take(void *ctx, const uint8_t *data, size_t len, struct hm_error *error)
{
    const int *fd = ctx;

    return hm_write_all(*fd, data, len, error);
}

static int fetch(struct nexus_call *call, int fd)
{
    struct nexus_request request = {
        .method = "GET", .path = "/audit", .take = take, .wake_fd = -1, .ctx = &fd};
    int rc = nexus_query(call, &request.path, "from", nexus_value(call, "from"));

    if (!rc)
        rc = nexus_query(call, &request.path, "to", nexus_value(call, "to"));
    if (!rc)
        rc = nexus_connect(call);
    return rc ? rc : nexus_client_send(call->client, &request, NULL, &call->error);
}

/* Under its name only when it is whole. */
static int export_file(struct nexus_call *call, const char *file)
{
    const char *partial = hm_arena_printf(call->arena, "%s.partial", file);
    HM_AUTOCLOSE int fd = -1;
    int rc;

    if (!partial)
        return nexus_no_memory(call);
    fd = open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return hm_fail_errno(&call->error, HM_EIO, "cannot write %s", partial);
    rc = fetch(call, fd);
    if (!rc && (fsync(fd) != 0 || rename(partial, file) != 0))
        rc = hm_fail_errno(&call->error, HM_EIO, "cannot write %s", file);
    if (rc)
        (void)unlink(partial);
    return rc;
}

static int run_export(struct nexus_call *call)
{
    const char *file = nexus_operand(call, 0);

    return file && strcmp(file, "-") != 0 ? export_file(call, file) : fetch(call, 1);
}

static const struct nexus_option export_options[] = {
    {.name = "from", .value = "BLOCK", .help = "the first; default: 1"},
    {.name = "to", .value = "BLOCK", .help = "the last; default: the newest"},
};

const struct nexus_verb verb_audit_export = {
    .group = "audit",
    .name = "export",
    .operands = "[FILE]",
    .operands_max = 1,
    .words = "@file",
    .summary = "Write every operation as JSON lines, with what proves that none is missing",
    .text = "Without FILE to standard output. `nexus audit verify` checks the lines, anywhere and\n"
            "without a node.",
    .options = export_options,
    .option_count = HM_COUNT_OF(export_options),
    .run = run_export};

/* --- verify ---------------------------------------------------------------------------------- */

static int read_lines(struct nexus_call *call, FILE *file, struct audit_reader *reader)
{
    HM_AUTOFREE char *line = NULL;
    size_t room = 0;
    ssize_t len;

    while ((len = getline(&line, &room, file)) > 0) {
        size_t bytes = (size_t)len - (line[len - 1] == '\n' ? 1 : 0);
        int rc = audit_reader_line(reader, hm_slice_of(line, bytes), &call->error);

        if (rc)
            return rc;
    }
    if (ferror(file))
        return hm_fail_errno(&call->error, HM_EIO, "cannot read the export");
    return 0;
}

static int known_hash(struct nexus_call *call, uint8_t hash[CRYPTO_HASH_BYTES])
{
    const char *text = nexus_value(call, "known");

    if (hm_hex_decode(text, strlen(text), hash, CRYPTO_HASH_BYTES, NULL))
        return hm_fail(&call->error, HM_EINVAL,
                       "--known %s: is not a hash of 64 hexadecimal digits", text);
    return 0;
}

static json_t *summary_json(const struct audit_summary *summary)
{
    char head[2 * CRYPTO_HASH_BYTES + 1];
    char root[2 * CRYPTO_HASH_BYTES + 1];

    hm_hex_encode(summary->head_hash, CRYPTO_HASH_BYTES, head);
    hm_hex_encode(summary->state_root, CRYPTO_HASH_BYTES, root);
    return json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:s, s:s}", "whole", 1, "from",
                     (json_int_t)summary->from, "to", (json_int_t)summary->to, "blocks",
                     (json_int_t)summary->blocks, "txs", (json_int_t)summary->txs, "ops",
                     (json_int_t)summary->ops, "head_hash", head, "state_root", root);
}

static int table_summary(struct nexus_call *call, const json_t *summary, struct hm_buf *out)
{
    struct nexus_table table;

    if (hm_buf_printf(out,
                      "blocks %llu to %llu, %llu transactions, %llu operations: nothing was left "
                      "out, added or changed\n",
                      (unsigned long long)nexus_json_u64(summary, "from"),
                      (unsigned long long)nexus_json_u64(summary, "to"),
                      (unsigned long long)nexus_json_u64(summary, "txs"),
                      (unsigned long long)nexus_json_u64(summary, "ops")) != 0)
        return nexus_no_memory(call);
    NEXUS_TABLE_INIT(&table, nexus_fact_columns, call->arena);
    nexus_fact(&table, "last block", nexus_json_text(summary, "head_hash"));
    nexus_fact(&table, "state root after it", nexus_json_text(summary, "state_root"));
    return nexus_table_finish(call, &table, out);
}

static int verify(struct nexus_call *call, FILE *file, struct audit_reader *reader)
{
    NEXUS_AUTOJSON json_t *shown = NULL;
    struct audit_summary summary;
    int rc = read_lines(call, file, reader);

    if (!rc)
        rc = audit_reader_end(reader, &summary, &call->error);
    if (rc)
        return rc;
    shown = summary_json(&summary);
    return shown ? nexus_show(call, shown, table_summary) : nexus_no_memory(call);
}

static int run_verify(struct nexus_call *call)
{
    const char *path = nexus_operand(call, 0);
    bool input = !path || strcmp(path, "-") == 0;
    uint8_t known[CRYPTO_HASH_BYTES];
    struct audit_reader *reader = NULL;
    FILE *file;
    int rc = nexus_has(call, "known") ? known_hash(call, known) : 0;

    if (rc)
        return rc;
    file = input ? stdin : fopen(path, "re");
    if (!file)
        return hm_fail_errno(&call->error, errno == ENOENT ? HM_ENOTFOUND : HM_EIO,
                             "cannot read %s", path);
    rc = audit_reader_new(nexus_has(call, "known") ? known : NULL, &reader);
    rc = rc ? nexus_no_memory(call) : verify(call, file, reader);
    audit_reader_free(reader);
    if (!input)
        (void)fclose(file);
    return rc;
}

static const struct nexus_option verify_options[] = {
    {.name = "known",
     .value = "HASH",
     .help = "genesis hash, or hash of the block before the first, that you trust"},
};

const struct nexus_verb verb_audit_verify = {
    .group = "audit",
    .name = "verify",
    .operands = "[FILE]",
    .operands_max = 1,
    .words = "@file",
    .summary = "Check an export: whole, unchanged, and what is shown is what was signed",
    .text =
        "Without FILE from standard input; needs no node. That the operations were also right is\n"
        "what `nexus verify` shows, by replaying the chain.",
    .options = verify_options,
    .option_count = HM_COUNT_OF(verify_options),
    .run = run_verify};
