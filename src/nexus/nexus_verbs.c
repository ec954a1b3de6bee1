/* The grammar: one row a verb. Help shows them in this order. */
#include "nexus_verbs.h"

#include "nexus_call.h"

static const struct nexus_verb *const verbs[] = {
    &verb_up,           &verb_down,           &verb_status,           &verb_run,
    &verb_verify,       &verb_doctor,         &verb_completion,       &verb_version,
    &verb_help,         &verb_asset_ls,       &verb_asset_show,       &verb_asset_history,
    &verb_asset_scan,   &verb_asset_register, &verb_asset_update,     &verb_asset_transfer,
    &verb_asset_retire, &verb_asset_privacy,  &verb_asset_lease,      &verb_asset_release,
    &verb_lease_ls,     &verb_lease_show,     &verb_lease_renew,      &verb_job_ls,
    &verb_job_show,     &verb_job_logs,       &verb_job_wait,         &verb_job_cancel,
    &verb_image_ls,     &verb_image_import,   &verb_image_build_base, &verb_image_rm,
    &verb_account_ls,   &verb_account_show,   &verb_account_create,   &verb_account_transfer,
    &verb_account_bond, &verb_account_unbond, &verb_account_revoke,   &verb_block_ls,
    &verb_block_show,   &verb_tx_show,        &verb_tx_send,          &verb_tx_validate,
    &verb_state_prove,
};

static const struct nexus_group groups[] = {
    {"asset", "What machines offer: look, register, lease, set who may use it"},
    {"lease", "Parts of assets that somebody has taken for a time"},
    {"job", "What was run: list, output, proofs and payment"},
    {"image", "Container images that jobs start from"},
    {"account", "Owners on the ledger: balances, payments, bonds"},
    {"block", "Blocks of the chain"},
    {"tx", "Transactions of the chain"},
    {"state", "The ledger's authenticated state"},
};

static const struct nexus_option globals[] = {
    {.name = "format",
     .letter = 'o',
     .value = "FORMAT",
     .help = "how to answer",
     .words = "table json yaml"},
    {.name = "data",
     .value = "DIR",
     .help = "the node's data folder; default: $HYPERMESH_DATA, else /var/lib/hypermesh for root, "
             "~/.local/share/hypermesh for others",
     .words = "@folder"},
    {.name = "url",
     .value = "URL",
     .help = "ask the node at http://HOST:PORT instead of its unix socket"},
    {.name = "token-file",
     .value = "FILE",
     .help = "bearer token for --url; default: DIR/api.token",
     .words = "@file"},
    {.name = "no-color", .help = "no colours, as with NO_COLOR in the environment"},
    {.name = "help", .letter = 'h', .help = "help on this verb"},
    {.name = "version", .help = "the version of nexus"},
};

const struct nexus_grammar *nexus_grammar(void)
{
    static const struct nexus_grammar grammar = {.verbs = verbs,
                                                 .verb_count = HM_COUNT_OF(verbs),
                                                 .groups = groups,
                                                 .group_count = HM_COUNT_OF(groups),
                                                 .globals = globals,
                                                 .global_count = HM_COUNT_OF(globals)};

    return &grammar;
}
