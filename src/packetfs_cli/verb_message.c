/* Messages to one person, sealed and signed. */
#include <unistd.h>

#include "cli_people.h"

static int run_seal(struct cli_call *call)
{
    HM_CLEANUP(hm_buf) struct hm_buf content = {0};
    struct packetfs_identity *from = NULL;
    struct packetfs_contact *to = NULL;
    const char *to_file = cli_value(call, "to");
    uint8_t *sealed = NULL;
    size_t len = 0;
    int rc;

    if (to_file == NULL)
        return cli_fail(call, PACKETFS_EINVAL, "for whom? --to FILE names a public part");
    rc = cli_identity(call, &from);
    if (rc == 0)
        rc = cli_contact(call, to_file, &to);
    if (rc == 0)
        rc = cli_read(call, cli_operand(call, 0), PACKETFS_MESSAGE_MAX_BYTES, &content);
    if (rc == 0)
        rc = packetfs_message_seal(from, to, (struct packetfs_bytes){content.data, content.len},
                                   &sealed, &len, &call->error);
    if (rc == 0)
        rc = cli_write(call, cli_value(call, "output"), false, sealed, len);
    if (content.data != NULL)
        hm_wipe(content.data, content.cap);
    packetfs_free(sealed);
    packetfs_contact_close(to);
    packetfs_identity_close(from);
    return rc;
}

/* Who it is from goes to standard error, so that what it says is standard output alone. */
static void show_from(const struct cli_call *call, const struct packetfs_message *message)
{
    char time[CLI_SHOW_BYTES];

    (void)cli_show_time((int64_t)(message->time_ns / 1000000000u), time);
    if (call->json) {
        cli_json_open('{');
        cli_json_key("from");
        cli_json_text(message->from_id);
        cli_json_key("name");
        cli_json_text(message->from_name);
        cli_json_key("time");
        cli_json_text(time);
        cli_json_key("kind");
        cli_json_text(message->kind == PACKETFS_MESSAGE_SHARE ? "share" : "text");
        cli_json_bytes("content", message->content,
                       message->kind == PACKETFS_MESSAGE_SHARE ? 0 : message->content_len);
        cli_json_close();
        return;
    }
    (void)fprintf(stderr, "from %s (%s), %s\n", message->from_id, message->from_name, time);
}

/* To a terminal line by line, so that nothing of it is obeyed there. */
static int show_content(struct cli_call *call, const struct packetfs_message *message)
{
    const uint8_t *at = message->content, *end = message->content + message->content_len;
    const char *file = cli_value(call, "output");

    if ((file != NULL && strcmp(file, "-") != 0) || !isatty(STDOUT_FILENO))
        return cli_write(call, file, true, message->content, message->content_len);
    while (at < end) {
        const uint8_t *line = memchr(at, '\n', (size_t)(end - at));
        size_t len = line != NULL ? (size_t)(line - at) : (size_t)(end - at);
        cli_put_name(at, len);
        (void)putchar('\n');
        at += len + (line != NULL);
    }
    return 0;
}

static int run_open(struct cli_call *call)
{
    HM_CLEANUP(hm_buf) struct hm_buf sealed = {0};
    struct packetfs_identity *identity = NULL;
    struct packetfs_message message = {.content = NULL};
    int rc = cli_identity(call, &identity);

    if (rc == 0) /* the content and at most as much again of padding */
        rc = cli_read(call, cli_operand(call, 0), 2 * PACKETFS_MESSAGE_MAX_BYTES, &sealed);
    if (rc == 0)
        rc = packetfs_message_open(identity, (struct packetfs_bytes){sealed.data, sealed.len},
                                   &message, &call->error);
    packetfs_identity_close(identity);
    if (rc != 0)
        return rc;
    show_from(call, &message);
    if (message.kind == PACKETFS_MESSAGE_SHARE && !call->json)
        cli_say("it holds a share of a key: packetfs key answer says of which");
    else if (!call->json)
        rc = show_content(call, &message);
    packetfs_message_release(&message);
    return rc;
}

static const struct cli_option seal_options[] = {
    {.name = "to", .value = "FILE", .help = "the public part of who it is for", .words = "@file"},
    CLI_IDENTITY_OPTION,
    CLI_OUTPUT_OPTION,
};
static const struct cli_option open_options[] = {CLI_IDENTITY_OPTION, CLI_OUTPUT_OPTION};

const struct cli_verb verb_message_seal = {
    .name = "message seal",
    .operands = "[FILE]",
    .operands_max = 1,
    .words = "@file",
    .summary = "Seal a message to an identity, signed by ours",
    .text = "Without FILE what comes on standard input is sealed. Who sees the result learns its "
            "size class alone.",
    .options = seal_options,
    .option_count = HM_COUNT_OF(seal_options),
    .run = run_seal,
};

const struct cli_verb verb_message_open = {
    .name = "message open",
    .operands = "[FILE]",
    .operands_max = 1,
    .words = "@file",
    .summary = "Open a message to us, and say who it is from",
    .options = open_options,
    .option_count = HM_COUNT_OF(open_options),
    .run = run_open,
};
