/* Key files: KeystoreFile messages, one for each root key and each session, sealed under the keystore's
 * key when it has one. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "trust_keystore.h"

#define TRUST_ARENA_BYTES ((size_t)16 << 10)

void trust_secret_release(struct trust_secret *secret)
{
    hm_wipe(secret, sizeof(*secret));
}

/* A buffer that held a secret. */
static void trust_bytes_release(struct hm_buf *buf)
{
    if (buf->data != NULL)
        hm_wipe(buf->data, buf->cap);
    hm_buf_release(buf);
}

void trust_arena_init(struct hm_arena *arena)
{
    hm_arena_init(arena, TRUST_ARENA_BYTES);
}

/* The limit is far below an arena's first chunk, so after a clear one allocation covers all that was
 * handed out. */
void trust_arena_release(struct hm_arena *arena)
{
    size_t used = arena->used;

    hm_arena_clear(arena);
    void *all = used > 0 ? hm_arena_alloc(arena, used) : NULL;
    if (all != NULL)
        hm_wipe(all, used);
    hm_arena_release(arena);
}

int trust_name_check(const char *name, struct hm_error *error)
{
    size_t len = strnlen(name, TRUST_NAME_MAX + 1);
    bool good = len >= 1 && len <= TRUST_NAME_MAX && name[0] >= 'a' && name[0] <= 'z';

    for (size_t i = 0; good && i < len; i++)
        good = (name[i] >= 'a' && name[i] <= 'z') || (name[i] >= '0' && name[i] <= '9') ||
               name[i] == '-';
    if (!good)
        return hm_fail(error, HM_EINVAL,
                       "an account's name is 1-%d characters of a-z, 0-9 and '-', and starts with "
                       "a letter",
                       TRUST_NAME_MAX);
    return 0;
}

static const char *trust_suffix(enum trust_kind kind)
{
    return kind == TRUST_ROOT ? "root" : "session";
}

/* The name under which a file belongs; part of its content, and of its seal. */
#define TRUST_FILE_NAME_BYTES (TRUST_NAME_MAX + sizeof(".session"))
static const char *trust_file_name(const char *name, enum trust_kind kind,
                                   char out[TRUST_FILE_NAME_BYTES])
{
    (void)snprintf(out, TRUST_FILE_NAME_BYTES, "%s.%s", name, trust_suffix(kind));
    return out;
}

int trust_file_path(const struct trust_keystore *keystore, const char *name, enum trust_kind kind,
                    char out[TRUST_PATH_MAX_BYTES], struct hm_error *error)
{
    int rc = trust_name_check(name, error);

    if (rc != 0)
        return rc;
    int len = snprintf(out, TRUST_PATH_MAX_BYTES, "%s/%s.%s", keystore->dir, name,
                       trust_suffix(kind));
    if (len < 0 || len >= TRUST_PATH_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "the keystore's path is longer than %d bytes",
                       TRUST_PATH_MAX_BYTES);
    return 0;
}

/* Nobody else can change the folder, so what is seen here is what is read next. */
int trust_file_read(const char *path, struct hm_buf *out, struct hm_error *error)
{
    struct stat info;

    if (lstat(path, &info) != 0)
        return hm_fail_errno(error, errno == ENOENT ? HM_ENOTFOUND : HM_EIO,
                             "%s cannot be looked at", path);
    if (!S_ISREG(info.st_mode))
        return hm_fail(error, HM_ECORRUPT, "%s is not a regular file", path);
    if (info.st_uid != geteuid())
        return hm_fail(error, HM_EPERM,
                       "%s belongs to user %u, this is user %u: run as that user, or change the "
                       "file's owner",
                       path, (unsigned)info.st_uid, (unsigned)geteuid());
    if ((info.st_mode & 077) != 0)
        return hm_fail(error, HM_EPERM,
                       "%s may be read or changed by other users (mode %04o): see who did, then "
                       "chmod 600",
                       path, (unsigned)(info.st_mode & 07777));
    return hm_file_read(path, TRUST_FILE_MAX_BYTES, out, error);
}

/* --- bytes to secret ------------------------------------------------------------------------------- */

static int trust_secret_parse(struct hm_slice plain, const char *file, enum trust_kind kind,
                              struct trust_secret *out, struct hm_error *error)
{
    HM_CLEANUP(trust_arena) struct hm_arena arena;
    Hypermesh__KeystoreSecret *secret;
    size_t second_len = kind == TRUST_ROOT ? CRYPTO_SEED_BYTES : 0;

    trust_arena_init(&arena);
    int rc = WIRE_UNPACK(hypermesh__keystore_secret, plain, TRUST_FILE_MAX_BYTES, &arena, &secret,
                         error);
    if (rc != 0) {
        (void)hm_error_prefix(error, rc, "key file %s", file);
        return rc;
    }
    if (secret->ed25519_seed.len != CRYPTO_SEED_BYTES || secret->mldsa65_seed.len != second_len)
        return hm_fail(error, HM_ECORRUPT, "key file %s holds keys of a wrong length", file);
    memcpy(out->ed25519_seed, secret->ed25519_seed.data, CRYPTO_SEED_BYTES);
    if (second_len > 0)
        memcpy(out->mldsa65_seed, secret->mldsa65_seed.data, second_len);
    out->expires_ms = secret->expires_ms;
    return 0;
}

/* The seal covers which file it is and whose, so that sealed files cannot be swapped. */
#define TRUST_CONTEXT_BYTES (sizeof(TRUST_SEAL_CONTEXT) + TRUST_FILE_NAME_BYTES + WIRE_ID_BYTES)
static struct hm_slice trust_file_context(const char *file, const uint8_t account[WIRE_ID_BYTES],
                                          uint8_t out[TRUST_CONTEXT_BYTES])
{
    size_t prefix_len = sizeof(TRUST_SEAL_CONTEXT); /* with its NUL, which no name holds */
    size_t file_len = strlen(file) + 1;

    memcpy(out, TRUST_SEAL_CONTEXT, prefix_len);
    memcpy(out + prefix_len, file, file_len);
    memcpy(out + prefix_len + file_len, account, WIRE_ID_BYTES);
    return hm_slice_of(out, prefix_len + file_len + WIRE_ID_BYTES);
}

static int trust_file_judge(const Hypermesh__KeystoreFile *message, const char *file,
                            const uint8_t *key, struct hm_error *error)
{
    if (message->version != TRUST_KEYSTORE_VERSION || message->account.len != WIRE_ID_BYTES)
        return hm_fail(error, HM_ECORRUPT, "key file %s is not of version %d, or damaged", file,
                       TRUST_KEYSTORE_VERSION);
    if (strcmp(message->file, file) != 0)
        return hm_fail(error, HM_ECORRUPT,
                       "key file %s was written under another name: accounts cannot be renamed by "
                       "moving files",
                       file);
    if (message->sealed && key == NULL)
        return hm_fail(error, HM_EAUTH, "key file %s is sealed: a passphrase is needed", file);
    if (!message->sealed && key != NULL)
        return hm_fail(error, HM_EAUTH,
                       "key file %s is not sealed, but its keystore is: it was not written here",
                       file);
    return 0;
}

int trust_file_parse(struct hm_slice bytes, const char *name, enum trust_kind kind,
                     const uint8_t *key, struct trust_secret *out, struct hm_error *error)
{
    HM_CLEANUP(trust_arena) struct hm_arena arena;
    HM_CLEANUP(trust_bytes) struct hm_buf plain = {0};
    HM_CLEANUP(trust_secret) struct trust_secret secret = {0};
    Hypermesh__KeystoreFile *message;
    char file[TRUST_FILE_NAME_BYTES];
    uint8_t context[TRUST_CONTEXT_BYTES];

    trust_arena_init(&arena);
    trust_file_name(name, kind, file);
    int rc = WIRE_UNPACK(hypermesh__keystore_file, bytes, TRUST_FILE_MAX_BYTES, &arena, &message,
                         error);
    if (rc != 0) {
        (void)hm_error_prefix(error, rc, "key file %s", file);
        return rc;
    }
    rc = trust_file_judge(message, file, key, error);
    if (rc != 0)
        return rc;
    struct hm_slice inner = wire_slice(message->secret);
    if (message->sealed) {
        rc = crypto_open(key, trust_file_context(file, message->account.data, context), inner,
                         &plain, error);
        if (rc == HM_EAUTH)
            return hm_fail(error, rc, "key file %s does not open with this passphrase", file);
        if (rc != 0)
            return rc;
        inner = hm_buf_slice(&plain);
    }
    memcpy(secret.account, message->account.data, WIRE_ID_BYTES);
    rc = trust_secret_parse(inner, file, kind, &secret, error);
    if (rc == 0)
        *out = secret;
    return rc;
}

int trust_file_load(const struct trust_keystore *keystore, const char *name, enum trust_kind kind,
                    struct trust_secret *out, struct hm_error *error)
{
    HM_CLEANUP(trust_bytes) struct hm_buf bytes = {0};
    char path[TRUST_PATH_MAX_BYTES];
    int rc = trust_file_path(keystore, name, kind, path, error);

    if (rc == 0)
        rc = trust_file_read(path, &bytes, error);
    if (rc == 0)
        rc = trust_file_parse(hm_buf_slice(&bytes), name, kind,
                              keystore->sealed ? keystore->key : NULL, out, error);
    return rc;
}

/* --- secret to bytes ------------------------------------------------------------------------------- */

static int trust_secret_pack(const struct trust_keystore *keystore, const char *file,
                             enum trust_kind kind, const struct trust_secret *secret,
                             struct hm_buf *out, struct hm_error *error)
{
    Hypermesh__KeystoreSecret message = HYPERMESH__KEYSTORE_SECRET__INIT;
    HM_CLEANUP(trust_bytes) struct hm_buf plain = {0};
    uint8_t context[TRUST_CONTEXT_BYTES];

    message.ed25519_seed = wire_bytes(secret->ed25519_seed, CRYPTO_SEED_BYTES);
    if (kind == TRUST_ROOT)
        message.mldsa65_seed = wire_bytes(secret->mldsa65_seed, CRYPTO_SEED_BYTES);
    message.expires_ms = secret->expires_ms;
    if (wire_pack(&message.base, keystore->sealed ? &plain : out) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for a key file");
    if (!keystore->sealed)
        return 0;
    return crypto_seal(keystore->key, trust_file_context(file, secret->account, context),
                       hm_buf_slice(&plain), keystore->random, out, error);
}

int trust_file_save(const struct trust_keystore *keystore, const char *name, enum trust_kind kind,
                    const struct trust_secret *secret, struct hm_error *error)
{
    Hypermesh__KeystoreFile message = HYPERMESH__KEYSTORE_FILE__INIT;
    HM_CLEANUP(trust_bytes) struct hm_buf inner = {0};
    HM_CLEANUP(trust_bytes) struct hm_buf bytes = {0};
    char path[TRUST_PATH_MAX_BYTES];
    char file[TRUST_FILE_NAME_BYTES];
    int rc = trust_file_path(keystore, name, kind, path, error);

    if (rc == 0)
        rc = trust_secret_pack(keystore, trust_file_name(name, kind, file), kind, secret, &inner,
                               error);
    if (rc != 0)
        return rc;
    message.version = TRUST_KEYSTORE_VERSION;
    message.file = file;
    message.account = wire_bytes(secret->account, WIRE_ID_BYTES);
    message.sealed = keystore->sealed;
    message.secret = wire_bytes(inner.data, inner.len);
    if (wire_pack(&message.base, &bytes) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for a key file");
    return hm_file_replace(path, bytes.data, bytes.len, 0600, error);
}
