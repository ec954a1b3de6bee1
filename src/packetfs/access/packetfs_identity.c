#include "access/packetfs_identity.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "access/packetfs_key_file.h"
#include "packetfs_error.h"

#define IDENTITY_FILE "identity" /* in the key folder */

static void seed_of(const char *context, const uint8_t secret[CRYPTO_KEY_BYTES],
                    uint8_t out[CRYPTO_KEY_BYTES])
{
    crypto_derive(context, secret, (struct hm_slice){0}, out);
}

static int keys_make(const uint8_t secret[CRYPTO_KEY_BYTES], struct packetfs_identity *identity,
                     struct hm_error *error)
{
    struct {
        uint8_t ed25519[CRYPTO_KEY_BYTES], mldsa65[CRYPTO_KEY_BYTES], x25519[CRYPTO_KEY_BYTES],
            mlkem768[CRYPTO_MLKEM768_SEED_BYTES];
    } seeds;
    int rc;

    seed_of("hypermesh packetfs 1 identity ed25519", secret, seeds.ed25519);
    seed_of("hypermesh packetfs 1 identity mldsa65", secret, seeds.mldsa65);
    seed_of("hypermesh packetfs 1 identity x25519", secret, seeds.x25519);
    seed_of("hypermesh packetfs 1 identity mlkem768 d", secret, seeds.mlkem768);
    seed_of("hypermesh packetfs 1 identity mlkem768 z", secret, seeds.mlkem768 + CRYPTO_KEY_BYTES);
    rc = crypto_root_key_new(seeds.ed25519, seeds.mldsa65, &identity->sign, error);
    if (rc == 0)
        rc = crypto_kem_key_new(seeds.x25519, seeds.mlkem768, &identity->seal, error);
    hm_wipe(&seeds, sizeof(seeds));
    return rc;
}

/* Name and public keys as bytes and back: the way the public part comes from others, so that its rules hold here, too. */
static int contact_make(const char *name, struct packetfs_identity *identity,
                        struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    struct packetfs_contact contact = {.name = ""};
    size_t len = strlen(name);
    struct hm_slice in;
    int rc;

    if (len > PACKETFS_CONTACT_NAME_MAX_BYTES)
        return hm_fail(error, HM_EINVAL, "a name has at most %u bytes",
                       PACKETFS_CONTACT_NAME_MAX_BYTES);
    memcpy(contact.name, name, len);
    crypto_root_key_public(identity->sign, &contact.sign);
    crypto_kem_key_public(identity->seal, &contact.seal);
    if (packetfs_contact_encode(&contact, &bytes) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for an identity");
    in = hm_buf_slice(&bytes);
    rc = packetfs_contact_take(&in, &identity->contact, error);
    return rc == HM_EPARSE ? HM_EINVAL : rc;
}

int packetfs_identity_make(const uint8_t secret[CRYPTO_KEY_BYTES], const char *name,
                           struct packetfs_identity **out, struct hm_error *error)
{
    struct packetfs_identity *identity = hm_calloc(1, sizeof(*identity));
    int rc;

    if (identity == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for an identity");
    rc = keys_make(secret, identity, error);
    if (rc == 0)
        rc = contact_make(name, identity, error);
    if (rc != 0) {
        packetfs_identity_close(identity);
        return rc;
    }
    *out = identity;
    return 0;
}

void packetfs_identity_close(struct packetfs_identity *identity)
{
    if (identity == NULL)
        return;
    crypto_root_key_free(identity->sign);
    crypto_kem_key_free(identity->seal);
    hm_free(identity);
}

const struct packetfs_contact *packetfs_identity_contact(const struct packetfs_identity *identity)
{
    return &identity->contact;
}

/* --- files --- */

/* path, or the one in the key folder; the folder is made when something is to be written there. */
static int path_of(const char *path, const char *key_dir, bool make, struct hm_buf *out,
                   struct hm_error *error)
{
    int rc;

    if (path != NULL && path[0] != '\0')
        return hm_buf_append_str(out, path) != 0 ? hm_fail(error, HM_ENOMEM, "no memory") : 0;
    rc = packetfs_key_dir_path(key_dir, out, error);
    if (rc == 0 && make)
        rc = hm_mkdir_all(hm_buf_cstr(out), 0700, error);
    if (rc == 0 && hm_buf_append_str(out, "/" IDENTITY_FILE) != 0)
        rc = hm_fail(error, HM_ENOMEM, "no memory for a path");
    return rc;
}

/* Never over a file that is there. */
static int public_write(const char *path, const struct packetfs_identity *identity,
                        struct hm_error *error)
{
    HM_AUTOFREE char *text = NULL;
    int rc = packetfs_contact_print(&identity->contact, &text,
                                    (struct packetfs_error *)(void *)error);
    HM_AUTOCLOSE int fd = -1;

    if (rc != 0)
        return rc;
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return hm_fail_errno(error, errno == EEXIST ? HM_EEXIST : HM_EIO,
                             "the public part %s cannot be made", path);
    rc = hm_write_all(fd, text, strlen(text), error);
    if (rc == 0 && fsync(fd) != 0)
        rc = hm_fail_errno(error, HM_EIO, "the public part %s cannot be written", path);
    if (rc != 0)
        (void)unlink(path);
    return rc;
}

int packetfs_identity_create(const char *path, const char *name, struct packetfs_error *error)
{
    struct hm_error *own = packetfs_error_own(error);
    HM_CLEANUP(hm_buf) struct hm_buf file = {0};
    HM_CLEANUP(hm_buf) struct hm_buf public_file = {0};
    struct packetfs_identity *identity = NULL;
    uint8_t secret[CRYPTO_KEY_BYTES];
    int rc = path_of(path, NULL, true, &file, own);

    if (rc == 0 && (hm_buf_append(&public_file, file.data, file.len) != 0 ||
                    hm_buf_append_str(&public_file, ".pub") != 0))
        rc = hm_fail(own, HM_ENOMEM, "no memory for an identity");
    if (rc == 0 && access(hm_buf_cstr(&public_file), F_OK) == 0)
        rc = hm_fail(own, HM_EEXIST, "%s is there already", hm_buf_cstr(&public_file));

    if (rc == 0) /* first, so that a name that cannot be leaves nothing behind */
        rc = packetfs_identity_make((const uint8_t[CRYPTO_KEY_BYTES]){0}, name, &identity, own);
    packetfs_identity_close(HM_TAKE(identity));
    if (rc == 0)
        rc = packetfs_key_file_create(hm_buf_cstr(&file), hm_random_system(), secret, own);
    if (rc != 0)
        return rc;
    rc = packetfs_identity_make(secret, name, &identity, own);
    if (rc == 0)
        rc = public_write(hm_buf_cstr(&public_file), identity, own);
    if (rc != 0)
        (void)unlink(hm_buf_cstr(&file));
    packetfs_identity_close(identity);
    hm_wipe(secret, sizeof(secret));
    return rc;
}

/* The name stands in the public part beside it, if that is there and of the same keys. */
static int name_read(const char *path, struct packetfs_identity *identity)
{
    HM_AUTOFREE char *name = hm_asprintf("%s.pub", path);
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    struct packetfs_contact contact;

    if (name == NULL)
        return HM_ENOMEM;
    int rc = hm_file_read(name, PACKETFS_CONTACT_TEXT_MAX, &text, NULL);
    if (rc == 0)
        rc = packetfs_contact_read(hm_buf_slice(&text), &contact, NULL);
    if (rc == 0 && memcmp(contact.id, identity->contact.id, sizeof(contact.id)) == 0)
        identity->contact = contact;
    return rc == HM_ENOMEM ? rc : 0;
}

int packetfs_identity_open(const char *path, struct packetfs_identity **out,
                           struct packetfs_error *error)
{
    return packetfs_identity_open_in(path, NULL, out, packetfs_error_own(error));
}

int packetfs_identity_open_in(const char *path, const char *key_dir, struct packetfs_identity **out,
                              struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf file = {0};
    struct packetfs_identity *identity = NULL;
    uint8_t secret[CRYPTO_KEY_BYTES];
    int rc = path_of(path, key_dir, false, &file, error);

    if (rc == 0)
        rc = packetfs_key_file_read(hm_buf_cstr(&file), secret, error);
    if (rc == HM_ENOTFOUND)
        return hm_fail(error, HM_ENOTFOUND,
                       "there is no identity %s: packetfs identity create makes one",
                       hm_buf_cstr(&file));
    if (rc != 0)
        return rc;
    rc = packetfs_identity_make(secret, "", &identity, error);
    hm_wipe(secret, sizeof(secret));
    if (rc == 0 && name_read(hm_buf_cstr(&file), identity) != 0) {
        packetfs_identity_close(HM_TAKE(identity));
        rc = hm_fail(error, HM_ENOMEM, "no memory for an identity");
    }
    if (rc == 0)
        *out = identity;
    return rc;
}
