/* completion, version, help. */
#include "cli.h"

static int run_completion(struct cli_call *call)
{
    const char *shell = cli_operand(call, 0);

    if (!cli_completion(shell, stdout))
        return cli_fail(call, PACKETFS_EINVAL,
                        "no completion for %.40s; there is bash, zsh and fish", shell);
    return 0;
}

const struct cli_verb verb_completion = {.name = "completion",
                                         .operands = "bash|zsh|fish",
                                         .operands_min = 1,
                                         .operands_max = 1,
                                         .words = "bash zsh fish",
                                         .summary = "Print a completion script for a shell",
                                         .text = "bash: source <(packetfs completion bash)\n"
                                                 "zsh:  source <(packetfs completion zsh)\n"
                                                 "fish: packetfs completion fish | source",
                                         .run = run_completion};

static int run_version(struct cli_call *call)
{
    if (call->json) {
        cli_json_open('{');
        cli_json_key("version");
        cli_json_text(HM_VERSION);
        cli_json_close();
    } else {
        (void)printf("packetfs %s\n", HM_VERSION);
    }
    return 0;
}

const struct cli_verb verb_version = {
    .name = "version", .summary = "Print the version", .run = run_version};

static int run_help(struct cli_call *call)
{
    const char *first = cli_operand(call, 0);
    const struct cli_verb *verb;

    if (first == NULL) {
        cli_help_all(stdout);
        return 0;
    }
    verb = cli_verb_find(first, cli_operand(call, 1));
    if (verb == NULL)
        return cli_fail(call, PACKETFS_EINVAL, "there is no verb %.40s; `packetfs help` lists them",
                        first);
    cli_help_verb(verb, stdout);
    return 0;
}

const struct cli_verb verb_help = {.name = "help",
                                   .operands = "[VERB]",
                                   .operands_max = 2,
                                   .summary = "Say more about a verb",
                                   .run = run_help};
