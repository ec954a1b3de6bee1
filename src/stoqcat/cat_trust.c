/* Certificates: ours from files, the peer's against what the user named. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cat.h"

static int refuse(struct stoq_error *error, int code, const char *what, const char *path)
{
    error->code = code;
    (void)snprintf(error->text, sizeof(error->text), "%s %.200s", what, path);
    return code;
}

static int file_load(const char *path, struct hm_buf *out, struct stoq_error *error)
{
    struct hm_error why = {0};
    int code = hm_file_read(path, CAT_PEM_BYTES_MAX, out, &why);

    if (code != 0) {
        error->code = code;
        (void)snprintf(error->text, sizeof(error->text), "%.380s", why.text);
    }
    return code;
}

/* Whoever may read the key may be us. A pipe or the like is read as it is. */
static int key_load(const char *path, struct hm_buf *out, struct stoq_error *error)
{
    struct stat about;

    if (stat(path, &about) == 0 && S_ISREG(about.st_mode) && (about.st_mode & 077) != 0) {
        error->code = STOQ_EIO;
        (void)snprintf(error->text, sizeof(error->text),
                       "others may read the private key %.200s: run chmod 600 on it, and think "
                       "about who has it already",
                       path);
        return STOQ_EIO;
    }
    return file_load(path, out, error);
}

static int identity_load(struct cat_trust *trust, const struct cat_options *options,
                         struct stoq_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf cert = {0}, key = {0};
    int code = file_load(options->cert, &cert, error);

    if (code == 0)
        code = key_load(options->key, &key, error);
    if (code == 0)
        code = stoq_identity_new(&trust->identity, (struct stoq_bytes){cert.data, cert.len},
                                 (struct stoq_bytes){key.data, key.len}, error);
    if (key.data != NULL)
        hm_wipe(key.data, key.len);
    return code;
}

static int pin_load(struct cat_trust *trust, const char *path, struct stoq_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf pem = {0};
    int code = file_load(path, &pem, error);

    if (code != 0)
        return code;
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
    X509 *cert = bio != NULL ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    unsigned char *der = NULL;
    int len = cert != NULL ? i2d_X509(cert, &der) : -1;
    if (len <= 0)
        code = refuse(error, STOQ_EPARSE, "there is no PEM certificate in", path);
    else if (hm_buf_append(&trust->pin, der, (size_t)len) != 0)
        code = refuse(error, STOQ_ENOMEM, "no memory for", path);
    OPENSSL_free(der);
    X509_free(cert);
    BIO_free(bio);
    return code;
}

static int ca_load(struct cat_trust *trust, const char *path, struct stoq_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf pem = {0};
    int code = file_load(path, &pem, error);

    return code != 0 ? code
                     : stoq_trust_new(&trust->trust, (struct stoq_bytes){pem.data, pem.len},
                                      (struct stoq_bytes){NULL, 0}, error);
}

int cat_trust_load(struct cat_trust *out, const struct cat_options *options,
                   struct stoq_error *error)
{
    struct cat_trust trust = {.any_client = options->any_client};
    int code = 0;

    if (options->cert != NULL)
        code = identity_load(&trust, options, error);
    if (code == 0 && options->pin != NULL)
        code = pin_load(&trust, options->pin, error);
    if (code == 0 && options->ca != NULL)
        code = ca_load(&trust, options->ca, error);
    if (code != 0)
        cat_trust_release(&trust);
    else
        *out = trust;
    return code;
}

void cat_trust_release(struct cat_trust *trust)
{
    stoq_identity_unref(trust->identity);
    stoq_trust_unref(trust->trust);
    hm_buf_release(&trust->pin);
}

int cat_trust_verify(void *ctx, const struct stoq_peer *peer, uint8_t *alert,
                     struct stoq_error *error)
{
    const struct cat_trust *trust = ctx;

    if (peer->count == 0 && trust->any_client)
        return 0;
    if (trust->trust != NULL)
        return stoq_trust_verify(trust->trust, peer, alert, error);
    if (trust->pin.len > 0 && peer->count > 0 && peer->chain[0].len == trust->pin.len &&
        memcmp(peer->chain[0].data, trust->pin.data, trust->pin.len) == 0)
        return 0;
    return refuse(error, STOQ_EAUTH, "the peer's certificate is not the one",
                  trust->pin.len > 0 ? "named with --pin" : "of anybody trusted");
}

/* --- a new identity ------------------------------------------------------------------------------------------------ */

static bool extend(X509 *cert, const char *name)
{
    char value[300];
    bool literal = strchr(name, ':') != NULL || strspn(name, "0123456789.") == strlen(name);

    (void)snprintf(value, sizeof(value), "%s:%s", literal ? "IP" : "DNS", name);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, value);
    bool done = extension != NULL && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return done;
}

static bool fill(X509 *cert, EVP_PKEY *key, const char *name)
{
    X509_NAME *subject = X509_get_subject_name(cert);
    uint64_t serial;

    if (hm_random_system()->fill(NULL, &serial, sizeof(serial)) != 0)
        return false;
    return X509_set_version(cert, X509_VERSION_3) == 1 &&
           ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial >> 1 | 1) == 1 &&
           X509_gmtime_adj(X509_getm_notBefore(cert), -60) != NULL &&
           X509_gmtime_adj(X509_getm_notAfter(cert), CAT_IDENTITY_DAYS * 86400L) != NULL &&
           X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                      (const unsigned char *)"stoqcat", -1, -1, 0) == 1 &&
           X509_set_issuer_name(cert, subject) == 1 && X509_set_pubkey(cert, key) == 1 &&
           extend(cert, name) && X509_sign(cert, key, NULL) > 0;
}

/* A file that was not there, with what is in bio. */
static int file_write(const char *path, BIO *bio, mode_t mode, struct stoq_error *error)
{
    struct hm_error why = {0};
    char *data;
    long len = BIO_get_mem_data(bio, &data);
    HM_AUTOCLOSE int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);

    if (fd < 0)
        return refuse(error, STOQ_EIO, errno == EEXIST ? "not overwritten:" : "cannot write", path);
    if (hm_write_all(fd, data, (size_t)len, &why) != 0) {
        (void)unlink(path); /* half a file is none */
        return refuse(error, STOQ_EIO, "cannot write", path);
    }
    return 0;
}

static int identity_write(X509 *cert, EVP_PKEY *key, const char *cert_path, const char *key_path,
                          struct stoq_error *error)
{
    BIO *cert_pem = BIO_new(BIO_s_mem()), *key_pem = BIO_new(BIO_s_secmem());
    int code = STOQ_ENOMEM;

    if (cert_pem == NULL || key_pem == NULL || PEM_write_bio_X509(cert_pem, cert) != 1 ||
        PEM_write_bio_PrivateKey(key_pem, key, NULL, NULL, 0, NULL, NULL) != 1)
        code = refuse(error, STOQ_ENOMEM, "no memory to write", cert_path);
    else
        code = file_write(key_path, key_pem, 0600, error);
    if (code == 0) {
        code = file_write(cert_path, cert_pem, 0644, error);
        if (code != 0) /* half an identity is none */
            (void)unlink(key_path);
    }
    BIO_free(cert_pem);
    BIO_free(key_pem);
    return code;
}

int cat_identity_new(const char *name, const char *cert_path, const char *key_path,
                     struct stoq_error *error)
{
    EVP_PKEY *key = NULL;
    X509 *cert = NULL;
    int code;

    /* What the extension's text syntax would take for more than a name. */
    size_t host = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.:");
    if (name[0] == '\0' || name[host] != '\0' || host > STOQ_NAME_BYTES_MAX)
        return refuse(error, STOQ_EINVAL, "no name for a certificate:", name);
    key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    cert = X509_new();
    if (key == NULL || cert == NULL || !fill(cert, key, name))
        code = refuse(error, STOQ_EINTERNAL, "cannot make a certificate for", name);
    else
        code = identity_write(cert, key, cert_path, key_path, error);
    X509_free(cert);
    EVP_PKEY_free(key);
    return code;
}
