/* A volume's slots: who may open it, one more, one less, all anew. */
#include "cli_people.h"

/* --- what is to open it from now on --- */

struct fresh {
    struct packetfs_unlock unlock;
    struct cli_for people;
    struct hm_buf secret; /* wiped */
    struct cli_call asks; /* holds what was typed */
};

static void fresh_release(struct fresh *fresh)
{
    struct hm_buf *secrets[] = {&fresh->secret, &fresh->asks.passphrase};

    for (size_t i = 0; i < HM_COUNT_OF(secrets); i++) {
        if (secrets[i]->data != NULL)
            hm_wipe(secrets[i]->data, secrets[i]->cap);
        hm_buf_release(secrets[i]);
    }
    cli_for_release(&fresh->people);
}

/* What --new-passphrase asks for: as --passphrase does, twice. */
static int new_passphrase(struct cli_call *call, struct cli_call *asks)
{
    struct cli_given given = {.value = NULL};

    *asks = (struct cli_call){.verb = call->verb, .given = &given, .given_count = 1};
    for (size_t i = 0; i < cli_global_count; i++)
        if (strcmp(cli_globals[i].name, "passphrase") == 0)
            given.option = &cli_globals[i];
    int rc = cli_unlock(asks, true);
    asks->given = NULL;
    asks->given_count = 0;
    return rc != 0 ? cli_fail(call, rc, "%s", asks->error.text) : 0;
}

static int new_passphrase_file(struct cli_call *call, const char *file, struct hm_buf *secret)
{
    int rc = hm_buf_reserve(secret, CLI_PASSPHRASE_MAX_BYTES + 3) != 0 ? cli_no_memory(call) : 0;

    if (rc == 0)
        rc = cli_read(call, file, CLI_PASSPHRASE_MAX_BYTES + 2, secret);
    while (rc == 0 && secret->len > 0 &&
           (secret->data[secret->len - 1] == '\n' || secret->data[secret->len - 1] == '\r'))
        secret->len--;
    if (rc == 0 && (secret->len == 0 || memchr(secret->data, 0, secret->len) != NULL))
        rc = cli_fail(call, PACKETFS_EINVAL,
                      "the new passphrase is empty, or has a NUL byte in it");
    if (rc == 0 && hm_buf_append(secret, "", 1) != 0)
        rc = cli_no_memory(call);
    return rc;
}

static int fresh_read(struct cli_call *call, struct fresh *out)
{
    const char *file = cli_value(call, "new-passphrase-file");
    int rc;

    *out = (struct fresh){.unlock = {.key_file = cli_value(call, "new-key-file"),
                                     .key_dir = cli_value(call, "key-dir")}};
    if ((out->unlock.key_file != NULL) + (file != NULL) + cli_has(call, "new-passphrase") > 1)
        return cli_fail(call, PACKETFS_EINVAL, "one new key file or one new passphrase, not both");
    rc = cli_for_read(call, &out->people);
    if (rc == 0 && file != NULL) {
        rc = new_passphrase_file(call, file, &out->secret);
        out->unlock.passphrase = (const char *)out->secret.data;
    } else if (rc == 0 && cli_has(call, "new-passphrase")) {
        rc = new_passphrase(call, &out->asks);
        out->unlock.passphrase = out->asks.unlock.passphrase;
    }
    if (rc != 0)
        fresh_release(out);
    return rc;
}

static bool names_key(const struct fresh *fresh)
{
    return fresh->unlock.passphrase != NULL || fresh->unlock.key_file != NULL;
}

/* --- rotate --- */

/* The others are let in by what is new: the old key opens nothing any more. */
static int rotate(struct cli_call *call, const char *dir, struct fresh *fresh)
{
    struct packetfs_unlock own = {.identity_file = fresh->people.me,
                                  .key_dir = cli_value(call, "key-dir")};
    int rc;

    if (fresh->people.count > 0 && fresh->people.me == NULL && !names_key(fresh))
        return cli_fail(call, PACKETFS_EINVAL,
                        "rotated for others alone the volume would not open for you: --for me, "
                        "too, or a new key");
    if (!names_key(fresh))
        fresh->unlock.identity_file = fresh->people.me;
    rc = packetfs_key_rotate(dir, &call->unlock, &fresh->unlock, &call->error);
    if (rc == 0 && names_key(fresh) && fresh->people.me != NULL)
        rc = packetfs_key_add(dir, &fresh->unlock, &own, &call->error);
    return rc != 0 ? rc : cli_for_admit(call, dir, &fresh->unlock, &fresh->people);
}

static int run_rotate(struct cli_call *call)
{
    const char *dir = cli_volume_dir(call);
    struct fresh fresh;
    int rc;

    if (dir == NULL)
        return call->error.code;
    rc = fresh_read(call, &fresh);
    if (rc != 0)
        return rc;
    rc = cli_unlock(call, false);
    if (rc == 0)
        rc = rotate(call, dir, &fresh);
    fresh_release(&fresh);
    return rc;
}

/* --- add --- */

struct adding {
    const char *dir;
    struct fresh fresh;
};

static int do_add(struct cli_call *call, void *ctx)
{
    const struct adding *adding = ctx;
    const struct fresh *fresh = &adding->fresh;
    struct packetfs_unlock own = {.identity_file = fresh->people.me,
                                  .key_dir = cli_value(call, "key-dir")};
    int rc = 0;

    if (names_key(fresh))
        rc = packetfs_key_add(adding->dir, &call->unlock, &fresh->unlock, &call->error);
    if (rc == 0 && own.identity_file != NULL)
        rc = packetfs_key_add(adding->dir, &call->unlock, &own, &call->error);
    return rc != 0 ? rc : cli_for_admit(call, adding->dir, &call->unlock, &fresh->people);
}

static int run_add(struct cli_call *call)
{
    struct adding adding = {.dir = cli_volume_dir(call)};
    int rc;

    if (adding.dir == NULL)
        return call->error.code;
    rc = fresh_read(call, &adding.fresh);
    if (rc != 0)
        return rc;
    if (!names_key(&adding.fresh) && adding.fresh.people.me == NULL &&
        adding.fresh.people.count == 0)
        rc = cli_fail(call, PACKETFS_EINVAL,
                      "for whom? --for FILE (the public part of an identity) or --for me, or a new "
                      "passphrase or key file");
    if (rc == 0)
        rc = cli_unlock(call, false);
    if (rc == 0)
        rc = cli_unlocked(call, do_add, &adding);
    fresh_release(&adding.fresh);
    return rc;
}

/* --- list --- */

static const char *kind_of(const struct packetfs_slot_info *slot)
{
    switch (slot->kind) {
    case PACKETFS_SLOT_PASSPHRASE:
        return "passphrase";
    case PACKETFS_SLOT_FILE:
        return "key file";
    case PACKETFS_SLOT_IDENTITY:
        return "identity";
    default:
        return "damaged";
    }
}

static void show_json(const struct packetfs_slot_info *slot, const char *time)
{
    cli_json_open('{');
    cli_json_key("slot");
    cli_json_text(slot->name);
    cli_json_key("kind");
    cli_json_text(kind_of(slot));
    if (slot->kind == PACKETFS_SLOT_IDENTITY) {
        cli_json_key("id");
        cli_json_text(slot->id);
        cli_json_key("name");
        cli_json_text(slot->who);
        cli_json_key("by");
        cli_json_text(slot->by_id);
        cli_json_key("time");
        cli_json_text(time);
    }
    cli_json_close();
}

static int show_slot(void *ctx, const struct packetfs_slot_info *slot)
{
    const struct cli_call *call = ctx;
    char time[CLI_SHOW_BYTES];

    (void)cli_show_time((int64_t)(slot->time_ns / 1000000000u), time);
    if (call->json) {
        show_json(slot, time);
        return 0;
    }
    (void)printf("%-9s %-10s", slot->name, kind_of(slot));
    if (slot->kind == PACKETFS_SLOT_IDENTITY) {
        (void)printf(" %s (", slot->id);
        cli_put_name((const uint8_t *)slot->who, strlen(slot->who));
        (void)printf("), %s, by %s", time,
                     strcmp(slot->by_id, slot->id) == 0 ? "himself" : slot->by_id);
    }
    (void)printf("\n");
    return 0;
}

static int run_list(struct cli_call *call)
{
    const char *dir = cli_volume_dir(call);
    int rc;

    if (dir == NULL)
        return call->error.code;
    rc = cli_unlock(call, false);
    if (rc != 0)
        return rc;
    if (call->json)
        cli_json_open('[');
    rc = packetfs_key_list(dir, &call->unlock, show_slot, call, &call->error);
    if (call->json)
        cli_json_close();
    return rc;
}

/* --- remove --- */

static int run_remove(struct cli_call *call)
{
    const char *dir = cli_volume_dir(call);
    int rc;

    if (dir == NULL)
        return call->error.code;
    rc = cli_unlock(call, false);
    if (rc == 0)
        rc = packetfs_key_remove(dir, &call->unlock, cli_operand(call, 0), &call->error);
    if (rc == PACKETFS_ENOTFOUND)
        call->hint = "packetfs key list shows the slots";
    return rc;
}

/* --- rows --- */

#define NEW_KEY_OPTIONS                                                         \
    {.name = "new-passphrase", .help = "ask for a passphrase that opens it"},   \
        {.name = "new-passphrase-file",                                         \
         .value = "FILE",                                                       \
         .help = "read the new passphrase from here",                           \
         .words = "@file"},                                                     \
    {                                                                           \
        .name = "new-key-file", .value = "FILE",                                \
        .help = "the new key file; made when it is not there", .words = "@file" \
    }

static const struct cli_option rotate_options[] = {
    CLI_FOR_OPTION("whose identity opens it from then on: a public part, or me; once for each"),
    NEW_KEY_OPTIONS,
};
static const struct cli_option add_options[] = {
    CLI_FOR_OPTION("whose identity shall open it, too: a public part, or me; once for each"),
    NEW_KEY_OPTIONS,
};

const struct cli_verb verb_key_list = {
    .name = "key list",
    .summary = "Show what opens the volume, and whose identities do",
    .run = run_list,
};

const struct cli_verb verb_key_add = {
    .name = "key add",
    .summary = "Let another identity, passphrase or key file open the volume",
    .text = "No data is read. Compare an identity's id over another channel before you let it in: "
            "it reads everything.\nWho is let in opens the volume with --identity the first time.",
    .options = add_options,
    .option_count = HM_COUNT_OF(add_options),
    .run = run_add,
};

const struct cli_verb verb_key_remove = {
    .name = "key remove",
    .operands = "SLOT|ID",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Take away one thing that opens the volume",
    .text = "SLOT as `packetfs key list` shows it, or the id of an identity. The last one stays. "
            "The volume's key stays the same: who had it may have kept it.",
    .run = run_remove,
};

const struct cli_verb verb_key_rotate = {
    .name = "key rotate",
    .summary = "Wrap the volume's key anew, so that what opened it before does not",
    .text = "No data is read or written again: the volume's key stays, and who has it, or enough "
            "shares of it, still has it. With no option a new "
            "key file takes the old one's place.",
    .options = rotate_options,
    .option_count = HM_COUNT_OF(rotate_options),
    .run = run_rotate,
};
