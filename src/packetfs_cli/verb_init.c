#include "cli_people.h"
#include "cli_policy.h"

#include <stdlib.h>

static const struct cli_option options[] = {
    CLI_POLICY_OPTIONS,
    CLI_FOR_OPTION("whose identity opens it: a public part, or me; once for each"),
    {.name = "explain", .help = "say what is chosen and why, and make nothing"},
    {.name = "chunker",
     .value = "KIND",
     .help = "how data is cut: keyed hides where from who stores it, fast is for disks you trust",
     .words = "keyed fast"},
    {.name = "chunk-average",
     .value = "SIZE",
     .help = "pieces of this size in the mean, a power of two; default: 64K"},
    {.name = "chunk-min",
     .value = "SIZE",
     .help = "no piece is smaller, but the last; default: half the mean"},
    {.name = "chunk-max",
     .value = "SIZE",
     .help = "no piece is larger; default: four times the mean"},
    {.name = "suite",
     .value = "SUITE",
     .help = "cipher; default: AES where the processor has it",
     .words = "aes-256-gcm chacha20-poly1305"},
    {.name = "level", .value = "LEVEL", .help = "zstd's, 1 to 19, or none; default: 3"},
    {.name = "no-padding", .help = "packs show their exact sizes, and objects stand in order"},
    {.name = "no-dictionaries",
     .help = "compress each small file by itself; default: with what it has in common with others"},
};

static int level_of(struct cli_call *call, int *out)
{
    const char *text = cli_value(call, "level");
    uint64_t level = 0;
    int rc;

    if (text == NULL)
        return 0;
    if (strcmp(text, "none") == 0) {
        *out = 100;
        return 0;
    }
    rc = cli_number(call, "level", 19, &level);
    if (rc == 0 && level == 0)
        rc = cli_fail(call, PACKETFS_EINVAL, "--level 0: 1 to 19, or none");
    *out = (int)level;
    return rc;
}

static int sizes_of(struct cli_call *call, struct packetfs_parameters *out)
{
    uint64_t min = 0, average = 0, max = 0;
    int rc = cli_size(call, "chunk-average", UINT64_C(1) << 20, &average);

    if (rc == 0)
        rc = cli_size(call, "chunk-min", UINT64_C(1) << 20, &min);
    if (rc == 0)
        rc = cli_size(call, "chunk-max", UINT64_C(1) << 20, &max);
    if (rc != 0)
        return rc;
    if (average != 0 && min == 0)
        min = average / 2;
    if (average != 0 && max == 0)
        max = average * 4 < UINT64_C(1) << 20 ? average * 4 : UINT64_C(1) << 20;
    if (average == 0 && (min != 0 || max != 0))
        return cli_fail(call, PACKETFS_EINVAL, "--chunk-min and --chunk-max need --chunk-average");
    out->chunk_min_bytes = (uint32_t)min;
    out->chunk_average_bytes = (uint32_t)average;
    out->chunk_max_bytes = (uint32_t)max;
    return 0;
}

static void as_said(struct packetfs_reason *reason, const char *value)
{
    reason->value = value;
    reason->why = "as the command line says";
}

/* The policy, and over it what was said outright. */
static int parameters_of(struct cli_call *call, struct packetfs_parameters *out,
                         struct packetfs_reason reasons[PACKETFS_REASONS])
{
    const char *chunker = cli_value(call, "chunker"), *suite = cli_value(call, "suite");
    struct packetfs_parameters given = {0};
    struct packetfs_circumstances circumstances = {.bytes = 0};
    int rc = cli_circumstances(call, &circumstances);

    if (rc == 0) {
        packetfs_policy(&circumstances, out, reasons);
        rc = sizes_of(call, &given);
    }
    if (rc == 0)
        rc = level_of(call, &out->zstd_level);
    if (rc != 0)
        return rc;
    if (chunker != NULL) {
        out->chunker = strcmp(chunker, "fast") == 0 ? PACKETFS_CHUNKER_FAST
                                                    : PACKETFS_CHUNKER_KEYED;
        as_said(&reasons[0], chunker);
    }
    if (given.chunk_average_bytes != 0) {
        out->chunk_min_bytes = given.chunk_min_bytes;
        out->chunk_average_bytes = given.chunk_average_bytes;
        out->chunk_max_bytes = given.chunk_max_bytes;
        as_said(&reasons[1], cli_value(call, "chunk-average"));
    }
    if (suite != NULL) {
        out->suite = strcmp(suite, "aes-256-gcm") == 0 ? PACKETFS_SUITE_AES_256_GCM
                                                       : PACKETFS_SUITE_CHACHA20_POLY1305;
        as_said(&reasons[2], suite);
    }
    if (cli_has(call, "level"))
        as_said(&reasons[3], cli_value(call, "level"));
    if (cli_has(call, "no-padding")) {
        out->no_padding = true;
        as_said(&reasons[4], "none");
    }
    if (cli_has(call, "no-dictionaries") || (out->zstd_level == 100 && !out->no_dictionaries)) {
        out->no_dictionaries = true;
        as_said(&reasons[5], "none");
    }
    return 0;
}

static void show(const char *dir, const struct packetfs_volume *volume, bool json)
{
    const char *key_file = packetfs_volume_key_file(volume);
    struct packetfs_parameters p;
    char id[33];

    packetfs_volume_id(volume, id);
    packetfs_volume_parameters(volume, &p);
    if (!json) {
        (void)printf("volume %s made in %s\n", id, dir);
        if (key_file[0] != '\0')
            (void)printf("its key: %s\nKeep a copy of that file elsewhere: without it the volume "
                         "cannot be read.\n",
                         key_file);
        return;
    }
    cli_json_open('{');
    cli_json_key("id");
    cli_json_text(id);
    cli_json_key("volume");
    cli_json_text(dir);
    cli_json_key("key_file");
    cli_json_text(key_file);
    cli_json_key("chunker");
    cli_json_text(p.chunker == PACKETFS_CHUNKER_FAST ? "fast" : "keyed");
    cli_json_pair("chunk_min_bytes", p.chunk_min_bytes);
    cli_json_pair("chunk_average_bytes", p.chunk_average_bytes);
    cli_json_pair("chunk_max_bytes", p.chunk_max_bytes);
    cli_json_key("suite");
    cli_json_text(p.suite == PACKETFS_SUITE_AES_256_GCM ? "aes-256-gcm" : "chacha20-poly1305");
    cli_json_key("zstd_level");
    cli_json_signed(p.zstd_level);
    cli_json_key("padding");
    cli_json_bool(!p.no_padding);
    cli_json_key("dictionaries");
    cli_json_bool(!p.no_dictionaries);
    cli_json_close();
}

/* The first slot is for a passphrase or key file if one is named, else for us, if there are people at all. */
static int make(struct cli_call *call, const char *dir,
                const struct packetfs_parameters *parameters, const struct cli_for *people)
{
    struct packetfs_unlock *unlock = &call->unlock;
    struct packetfs_unlock own;
    bool more = false;
    int rc = cli_unlock(call, true);

    own = (struct packetfs_unlock){.identity_file = people->me, .key_dir = unlock->key_dir};
    if (unlock->passphrase != NULL || unlock->key_file != NULL)
        more = people->me != NULL;
    else if (unlock->identity_file == NULL && (people->me != NULL || people->count > 0))
        unlock->identity_file = "";
    if (rc == 0)
        rc = packetfs_volume_create(dir, parameters, unlock, &call->error);
    if (rc == PACKETFS_EEXIST)
        call->hint = "name a folder that is empty or not there";
    if (rc == 0 && more)
        rc = packetfs_key_add(dir, unlock, &own, &call->error);
    if (rc == 0)
        rc = cli_for_admit(call, dir, unlock, people);
    return rc != 0 ? rc : packetfs_volume_open(dir, unlock, false, &call->volume, &call->error);
}

static int run(struct cli_call *call)
{
    struct cli_for people;
    struct packetfs_parameters parameters = {0};
    struct packetfs_reason reasons[PACKETFS_REASONS];
    const char *dir = cli_operand(call, 0);
    int rc = parameters_of(call, &parameters, reasons);

    if (rc != 0)
        return rc;
    if (cli_has(call, "explain")) {
        cli_explain(call->json, reasons);
        return 0;
    }
    if (dir == NULL)
        dir = cli_volume_dir(call);
    if (dir == NULL)
        return call->error.code;
    rc = cli_for_read(call, &people);
    if (rc == 0)
        rc = make(call, dir, &parameters, &people);
    cli_for_release(&people);
    if (rc == 0)
        show(dir, call->volume, call->json);
    return rc;
}

const struct cli_verb verb_init = {
    .name = "init",
    .operands = "[DIR]",
    .operands_max = 1,
    .words = "@folder",
    .summary = "Make a new, empty volume",
    .text =
        "With no option about keys, a key file is made in the key folder, and opens the volume "
        "from\n"
        "then on. With --passphrase or --passphrase-file a passphrase does, with --identity or\n"
        "--for me your identity, with --for FILE others' identities, too.\n"
        "How data is cut and sealed is fixed for the volume's life.",
    .options = options,
    .option_count = HM_COUNT_OF(options),
    .run = run};
