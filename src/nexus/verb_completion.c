#include "nexus_call.h"
#include "nexus_completion.h"
#include "nexus_verbs.h"

static int run_completion(struct nexus_call *call)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    const char *shell = nexus_operand(call, 0);
    int rc;

    if (strcmp(shell, "bash") == 0)
        rc = nexus_completion_bash(call->grammar, &out);
    else if (strcmp(shell, "zsh") == 0)
        rc = nexus_completion_zsh(call->grammar, &out);
    else if (strcmp(shell, "fish") == 0)
        rc = nexus_completion_fish(call->grammar, &out);
    else
        return hm_fail(&call->error, HM_EINVAL, "no completion for %s; there is bash, zsh and fish",
                       shell);
    return rc ? nexus_no_memory(call) : nexus_write(call, &out);
}

const struct nexus_verb verb_completion = {.name = "completion",
                                           .operands = "bash|zsh|fish",
                                           .operands_min = 1,
                                           .operands_max = 1,
                                           .words = "bash zsh fish",
                                           .summary = "Print a completion script for a shell",
                                           .text = "bash: source <(nexus completion bash)\n"
                                                   "zsh:  source <(nexus completion zsh)\n"
                                                   "fish: nexus completion fish | source",
                                           .run = run_completion};
