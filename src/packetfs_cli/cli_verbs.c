/* The grammar: one row a verb. Help shows them in this order. */
#include "cli.h"

extern const struct cli_verb verb_init, verb_put, verb_get, verb_ls, verb_diff, verb_log, verb_rm,
    verb_prune, verb_check, verb_repair, verb_stats;
extern const struct cli_verb verb_mount, verb_identity_create, verb_identity_show,
    verb_message_seal, verb_message_open, verb_key_split, verb_key_answer, verb_key_join,
    verb_key_rotate, verb_key_list, verb_key_add, verb_key_remove, verb_policy;
extern const struct cli_verb verb_serve, verb_push, verb_pull, verb_sync;
extern const struct cli_verb verb_send, verb_receive;
extern const struct cli_verb verb_export, verb_import;
extern const struct cli_verb verb_completion, verb_version, verb_help;

const struct cli_verb *const cli_verbs[] = {
    &verb_init,
    &verb_policy,
    &verb_put,
    &verb_get,
    &verb_ls,
    &verb_diff,
    &verb_log,
    &verb_rm,
    &verb_prune,
    &verb_check,
    &verb_repair,
    &verb_stats,
    &verb_mount,
    &verb_export,
    &verb_import,
    &verb_identity_create,
    &verb_identity_show,
    &verb_message_seal,
    &verb_message_open,
    &verb_key_list,
    &verb_key_add,
    &verb_key_remove,
    &verb_key_split,
    &verb_key_answer,
    &verb_key_join,
    &verb_key_rotate,
    &verb_serve,
    &verb_push,
    &verb_pull,
    &verb_sync,
    &verb_send,
    &verb_receive,
    &verb_completion,
    &verb_version,
    &verb_help,
};
const size_t cli_verb_count = HM_COUNT_OF(cli_verbs);

const struct cli_option cli_globals[] = {
    {.name = "volume",
     .letter = 'V',
     .value = "DIR",
     .help = "the volume's folder; default: $PACKETFS_VOLUME",
     .words = "@folder"},
    {.name = "format",
     .letter = 'o',
     .value = "FORMAT",
     .help = "how to answer",
     .words = "text json"},
    {.name = "passphrase", .help = "ask for the passphrase that opens the volume"},
    {.name = "passphrase-file",
     .value = "FILE",
     .help = "read the passphrase from here",
     .words = "@file"},
    {.name = "key-file",
     .value = "FILE",
     .help = "open the volume with this key file",
     .words = "@file"},
    {.name = "key-dir",
     .value = "DIR",
     .help = "where key files lie; default: $PACKETFS_KEY_DIR, else ~/.config/packetfs/keys",
     .words = "@folder"},
    {.name = "identity",
     .letter = 'i',
     .value = "FILE",
     .help = "who we are, and what opens the volume; default: identity in the key folder",
     .words = "@file"},
    {.name = "quiet", .letter = 'q', .help = "no progress line"},
    {.name = "no-color", .help = "no colours, as with NO_COLOR in the environment"},
    {.name = "help", .letter = 'h', .help = "help on this verb"},
    {.name = "version", .help = "the version of packetfs"},
};
const size_t cli_global_count = HM_COUNT_OF(cli_globals);
