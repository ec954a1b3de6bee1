/* Who we are, for messages and for holding shares of keys. */
#include <stdlib.h>

#include "cli_people.h"

static void show(const struct cli_call *call, const struct packetfs_contact *contact,
                 const char *text)
{
    if (call->json) {
        cli_json_open('{');
        cli_json_key("id");
        cli_json_text(packetfs_contact_id(contact));
        cli_json_key("name");
        cli_json_text(packetfs_contact_name(contact));
        cli_json_key("public");
        cli_json_text(text);
        cli_json_close();
        return;
    }
    (void)printf("id    %s\nname  ", packetfs_contact_id(contact));
    cli_put_name((const uint8_t *)packetfs_contact_name(contact),
                 strlen(packetfs_contact_name(contact)));
    (void)printf("\n\n%s", text);
}

static int show_contact(struct cli_call *call, const struct packetfs_contact *contact)
{
    char *text = NULL;
    int rc = packetfs_contact_print(contact, &text, &call->error);

    if (rc == 0)
        show(call, contact, text);
    packetfs_free(text);
    return rc;
}

static int show_own(struct cli_call *call)
{
    struct packetfs_identity *identity = NULL;
    int rc = cli_identity(call, &identity);

    if (rc == 0)
        rc = show_contact(call, packetfs_identity_contact(identity));
    packetfs_identity_close(identity);
    return rc;
}

static int run_create(struct cli_call *call)
{
    const char *name = cli_value(call, "name");
    int rc;

    if (name == NULL)
        name = getenv("USER");
    rc = packetfs_identity_create(cli_value(call, "identity"), name != NULL ? name : "",
                                  &call->error);
    return rc != 0 ? rc : show_own(call);
}

static int run_show(struct cli_call *call)
{
    const char *file = cli_operand(call, 0);
    struct packetfs_contact *contact = NULL;
    int rc;

    if (file == NULL)
        return show_own(call);
    rc = cli_contact(call, file, &contact);
    if (rc == 0)
        rc = show_contact(call, contact);
    packetfs_contact_close(contact);
    return rc;
}

static const struct cli_option create_options[] = {
    {.name = "name", .value = "NAME", .help = "how others see us called; default: $USER"},
    CLI_IDENTITY_OPTION,
};
static const struct cli_option show_options[] = {CLI_IDENTITY_OPTION};

const struct cli_verb verb_identity_create = {
    .name = "identity create",
    .summary = "Make an identity: a secret file and a public part",
    .text = "The secret file has mode 0600; the public part, FILE.pub, is for others. Compare the "
            "id over another channel.",
    .options = create_options,
    .option_count = HM_COUNT_OF(create_options),
    .run = run_create,
};

const struct cli_verb verb_identity_show = {
    .name = "identity show",
    .operands = "[FILE]",
    .operands_max = 1,
    .words = "@file",
    .summary = "Show our public part, or whose the one in FILE is",
    .options = show_options,
    .option_count = HM_COUNT_OF(show_options),
    .run = run_show,
};
