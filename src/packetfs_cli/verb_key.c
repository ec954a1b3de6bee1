/* A volume's key: split among trustees, asked back, joined. */
#include "cli_people.h"

#define TRUSTEES_MAX         255
#define SHARE_FILE_MAX_BYTES ((size_t)1 << 20)

/* --- split --- */

struct splitting {
    struct packetfs_contact *trustees[TRUSTEES_MAX];
    struct packetfs_sealed shares[TRUSTEES_MAX];
    size_t count;
    struct packetfs_identity *by;
    const char *dir;
    unsigned k;
};

static void splitting_free(struct splitting *splitting)
{
    for (size_t i = 0; i < splitting->count; i++) {
        packetfs_contact_close(splitting->trustees[i]);
        packetfs_free(splitting->shares[i].data);
    }
    packetfs_identity_close(splitting->by);
    hm_free(splitting);
}

static int trustees_read(struct cli_call *call, struct splitting *splitting)
{
    size_t at = 0;
    const char *file;
    int rc = 0;

    while (rc == 0 && (file = cli_next(call, "to", &at)) != NULL) {
        if (splitting->count == TRUSTEES_MAX)
            return cli_fail(call, PACKETFS_EINVAL, "at most %d trustees", TRUSTEES_MAX);
        rc = cli_contact(call, file, &splitting->trustees[splitting->count]);
        splitting->count += rc == 0;
    }
    if (rc == 0 && splitting->count == 0)
        rc = cli_fail(call, PACKETFS_EINVAL,
                      "among whom? --to FILE names the public part of a trustee, once for each");
    return rc;
}

/* DIR/1.share, DIR/2.share …: in the order of --to. */
static int shares_write(struct cli_call *call, const struct splitting *splitting)
{
    const char *dir = cli_value(call, "output-dir");
    struct hm_error why = {0};

    if (hm_mkdir_all(dir, 0700, &why) != 0)
        return cli_fail(call, why.code, "%s", why.text);
    if (call->json)
        cli_json_open('[');
    for (size_t i = 0; i < splitting->count; i++) {
        HM_AUTOFREE char *path = hm_asprintf("%s/%zu.share", dir, i + 1);
        int rc = path != NULL ? cli_write(call, path, false, splitting->shares[i].data,
                                          splitting->shares[i].len)
                              : cli_no_memory(call);
        if (rc != 0)
            return rc;
        if (call->json) {
            cli_json_open('{');
            cli_json_key("file");
            cli_json_text(path);
            cli_json_key("to");
            cli_json_text(packetfs_contact_id(splitting->trustees[i]));
            cli_json_key("name");
            cli_json_text(packetfs_contact_name(splitting->trustees[i]));
            cli_json_close();
        } else {
            (void)printf("%s  for %s (%s)\n", path, packetfs_contact_name(splitting->trustees[i]),
                         packetfs_contact_id(splitting->trustees[i]));
        }
    }
    if (call->json)
        cli_json_close();
    return 0;
}

static int do_split(struct cli_call *call, void *ctx)
{
    struct splitting *splitting = ctx;

    return packetfs_key_split(splitting->dir, &call->unlock, splitting->by, splitting->k,
                              (const struct packetfs_contact *const *)splitting->trustees,
                              splitting->count, splitting->shares, &call->error);
}

static int run_split(struct cli_call *call)
{
    struct splitting *splitting;
    const char *dir = cli_volume_dir(call);
    uint64_t k = 0;
    int rc;

    if (dir == NULL)
        return call->error.code;
    rc = cli_number(call, "threshold", TRUSTEES_MAX, &k);
    if (rc == 0 && k == 0)
        rc = cli_fail(call, PACKETFS_EINVAL, "--threshold says how many shares give the key back");
    if (rc == 0 && cli_value(call, "output-dir") == NULL)
        rc = cli_fail(call, PACKETFS_EINVAL, "--output-dir says where the shares go");
    if (rc == 0)
        rc = cli_unlock(call, false);
    if (rc != 0)
        return rc;
    splitting = hm_calloc(1, sizeof(*splitting));
    if (splitting == NULL)
        return cli_no_memory(call);
    rc = trustees_read(call, splitting);
    if (rc == 0)
        rc = cli_identity(call, &splitting->by);
    splitting->dir = dir;
    splitting->k = (unsigned)k;
    if (rc == 0)
        rc = cli_unlocked(call, do_split, splitting);
    if (rc == 0)
        rc = shares_write(call, splitting);
    splitting_free(splitting);
    return rc;
}

/* --- answer --- */

static void show_info(const struct cli_call *call, const struct packetfs_share_info *info)
{
    if (call->json) {
        cli_json_open('{');
        cli_json_key("volume");
        cli_json_text(info->volume);
        cli_json_key("split");
        cli_json_text(info->split);
        cli_json_pair("share", info->index);
        cli_json_pair("of", info->n);
        cli_json_pair("threshold", info->k);
        cli_json_key("by");
        cli_json_text(info->by_id);
        cli_json_key("name");
        cli_json_text(info->by_name);
        cli_json_close();
        return;
    }
    (void)fprintf(stderr,
                  "share %u of %u, any %u of which give the key of volume %s\nsplit by %s (%s)\n",
                  info->index, info->n, info->k, info->volume, info->by_name, info->by_id);
}

static int run_answer(struct cli_call *call)
{
    HM_CLEANUP(hm_buf) struct hm_buf share = {0};
    struct packetfs_identity *trustee = NULL;
    struct packetfs_contact *to = NULL;
    struct packetfs_sealed answer = {NULL, 0};
    struct packetfs_share_info info;
    const char *to_file = cli_value(call, "to");
    int rc = cli_identity(call, &trustee);

    if (rc == 0 && to_file != NULL)
        rc = cli_contact(call, to_file, &to);
    if (rc == 0)
        rc = cli_read(call, cli_operand(call, 0), SHARE_FILE_MAX_BYTES, &share);
    if (rc == 0)
        rc = packetfs_key_answer(trustee, (struct packetfs_bytes){share.data, share.len}, to,
                                 &answer, &info, &call->error);
    if (rc == 0 && to != NULL)
        rc = cli_write(call, cli_value(call, "output"), false, answer.data, answer.len);
    if (rc == 0 && (!call->json || to == NULL || cli_value(call, "output") != NULL))
        show_info(call, &info);
    packetfs_free(answer.data);
    packetfs_contact_close(to);
    packetfs_identity_close(trustee);
    return rc;
}

/* --- join --- */

static int run_join(struct cli_call *call)
{
    const char *dir = cli_volume_dir(call);
    struct packetfs_identity *identity = NULL;
    struct hm_buf *files;
    struct packetfs_bytes *answers;
    int rc;

    if (dir == NULL)
        return call->error.code;
    rc = cli_unlock(call, true);
    call->unlock.identity_file = NULL; /* says whom the answers are sealed to */
    if (rc == 0)
        rc = cli_identity(call, &identity);
    files = hm_calloc(call->operand_count, sizeof(*files));
    answers = hm_calloc(call->operand_count, sizeof(*answers));
    if (rc == 0 && (files == NULL || answers == NULL))
        rc = cli_no_memory(call);
    for (size_t i = 0; i < call->operand_count && rc == 0; i++) {
        rc = cli_read(call, cli_operand(call, i), SHARE_FILE_MAX_BYTES, &files[i]);
        answers[i] = (struct packetfs_bytes){files[i].data, files[i].len};
    }
    if (rc == 0)
        rc = packetfs_key_join(dir, identity, answers, call->operand_count, &call->unlock,
                               &call->error);
    for (size_t i = 0; files != NULL && i < call->operand_count; i++)
        hm_buf_release(&files[i]);
    hm_free(files);
    hm_free(answers);
    packetfs_identity_close(identity);
    if (rc == PACKETFS_ECONFLICT)
        call->hint = "answers are numbered in the order of the command line";
    return rc;
}

/* --- rows --- */

static const struct cli_option split_options[] = {
    {.name = "threshold", .letter = 'k', .value = "K", .help = "how many shares give the key back"},
    {.name = "to",
     .value = "FILE",
     .help = "the public part of a trustee; once for each",
     .words = "@file"},
    {.name = "output-dir",
     .letter = 'O',
     .value = "DIR",
     .help = "where the shares go",
     .words = "@folder"},
    CLI_IDENTITY_OPTION,
};
static const struct cli_option answer_options[] = {
    {.name = "to",
     .value = "FILE",
     .help = "the public part of who asks; none: only say what it is",
     .words = "@file"},
    CLI_IDENTITY_OPTION,
    CLI_OUTPUT_OPTION,
};
static const struct cli_option join_options[] = {CLI_IDENTITY_OPTION};
const struct cli_verb verb_key_split = {
    .name = "key split",
    .summary = "Split the volume's key among trustees",
    .text = "Any K of the trustees can give the key back together, fewer learn nothing. Each gets "
            "one file, sealed to him. The volume stays as "
            "it is.",
    .options = split_options,
    .option_count = HM_COUNT_OF(split_options),
    .run = run_split,
};

const struct cli_verb verb_key_answer = {
    .name = "key answer",
    .operands = "SHARE",
    .operands_min = 1,
    .operands_max = 1,
    .words = "@file",
    .summary = "Hand our share of a key to somebody who asks for it",
    .text = "Be sure who asks, over another channel: K answers open the volume.",
    .options = answer_options,
    .option_count = HM_COUNT_OF(answer_options),
    .run = run_answer,
};

const struct cli_verb verb_key_join = {
    .name = "key join",
    .operands = "ANSWER...",
    .operands_min = 1,
    .operands_max = TRUSTEES_MAX,
    .words = "@file",
    .summary = "Open a volume again with the answers of its trustees",
    .text = "--passphrase, --passphrase-file, --key-file or, with none, a new key file opens the "
            "volume from then on.",
    .options = join_options,
    .option_count = HM_COUNT_OF(join_options),
    .run = run_join,
};
