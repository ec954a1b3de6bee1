/* The cryptography alone, by OpenSSL's own calls: what no transport over it can be faster than. */
#include <openssl/evp.h>
#include <string.h>

#include "perf_budget.h"

struct sealing {
    EVP_CIPHER_CTX *seal, *open, *mask;
    uint8_t plain[PERF_TRAIN_BYTES + 1], sealed[PERF_TRAIN_BYTES + 17], tag[16], nonce[12],
        head[32];
    int len;
    bool failed;
};

static void seal_once(void *ctx)
{
    struct sealing *s = ctx;
    int n;

    s->nonce[11]++;
    if (EVP_EncryptInit_ex(s->seal, NULL, NULL, NULL, s->nonce) != 1 ||
        EVP_EncryptUpdate(s->seal, NULL, &n, s->head, 21) != 1 ||
        EVP_EncryptUpdate(s->seal, s->sealed, &n, s->plain, s->len) != 1 ||
        EVP_EncryptFinal_ex(s->seal, s->sealed + n, &n) != 1 ||
        EVP_CIPHER_CTX_ctrl(s->seal, EVP_CTRL_AEAD_GET_TAG, 16, s->tag) != 1)
        s->failed = true;
}

static void open_once(void *ctx)
{
    struct sealing *s = ctx;
    int n;

    if (EVP_DecryptInit_ex(s->open, NULL, NULL, NULL, s->nonce) != 1 ||
        EVP_CIPHER_CTX_ctrl(s->open, EVP_CTRL_AEAD_SET_TAG, 16, s->tag) != 1 ||
        EVP_DecryptUpdate(s->open, NULL, &n, s->head, 21) != 1 ||
        EVP_DecryptUpdate(s->open, s->plain, &n, s->sealed, s->len) != 1 ||
        EVP_DecryptFinal_ex(s->open, s->plain + n, &n) != 1)
        s->failed = true;
}

static void mask_once(void *ctx)
{
    struct sealing *s = ctx;
    uint8_t mask[16];
    int n;

    if (EVP_EncryptUpdate(s->mask, mask, &n, s->sealed, 16) != 1)
        s->failed = true;
}

static int sealing_measure(struct perf_crypto_cost *cost, size_t mtu, double seconds)
{
    static const uint8_t key[16] = {1};
    struct sealing *s = hm_calloc(1, sizeof(*s));

    if (s == NULL)
        return STOQ_ENOMEM;
    s->len = (int)mtu - 37; /* short header, packet number, tag */
    s->seal = EVP_CIPHER_CTX_new();
    s->open = EVP_CIPHER_CTX_new();
    s->mask = EVP_CIPHER_CTX_new();
    int code = STOQ_EINTERNAL;
    if (s->seal != NULL && s->open != NULL && s->mask != NULL &&
        EVP_EncryptInit_ex(s->seal, EVP_aes_128_gcm(), NULL, key, s->nonce) == 1 &&
        EVP_DecryptInit_ex(s->open, EVP_aes_128_gcm(), NULL, key, s->nonce) == 1 &&
        EVP_EncryptInit_ex(s->mask, EVP_aes_128_ecb(), NULL, key, NULL) == 1) {
        cost->seal_ns = perf_cost_ns(seal_once, s, seconds);
        cost->open_ns = perf_cost_ns(open_once, s, seconds);
        cost->mask_ns = perf_cost_ns(mask_once, s, seconds);
        code = s->failed ? STOQ_EINTERNAL : 0;
    }
    EVP_CIPHER_CTX_free(s->seal);
    EVP_CIPHER_CTX_free(s->open);
    EVP_CIPHER_CTX_free(s->mask);
    hm_free(s);
    return code;
}

#define KEM "X25519MLKEM768"

struct keys {
    EVP_PKEY *kem, *signer;
    uint8_t wrapped[2048], secret[128], signature[64], text[130];
    size_t wrapped_len, secret_len;
    bool failed;
};

static void keygen_once(void *ctx)
{
    struct keys *keys = ctx;
    EVP_PKEY *made = EVP_PKEY_Q_keygen(NULL, NULL, KEM);

    keys->failed |= made == NULL;
    EVP_PKEY_free(made);
}

static void encapsulate_once(void *ctx)
{
    struct keys *keys = ctx;
    EVP_PKEY_CTX *op = EVP_PKEY_CTX_new(keys->kem, NULL);

    keys->wrapped_len = sizeof(keys->wrapped);
    keys->secret_len = sizeof(keys->secret);
    keys->failed |= op == NULL || EVP_PKEY_encapsulate_init(op, NULL) != 1 ||
                    EVP_PKEY_encapsulate(op, keys->wrapped, &keys->wrapped_len, keys->secret,
                                         &keys->secret_len) != 1;
    EVP_PKEY_CTX_free(op);
}

static void decapsulate_once(void *ctx)
{
    struct keys *keys = ctx;
    EVP_PKEY_CTX *op = EVP_PKEY_CTX_new(keys->kem, NULL);

    keys->secret_len = sizeof(keys->secret);
    keys->failed |= op == NULL || EVP_PKEY_decapsulate_init(op, NULL) != 1 ||
                    EVP_PKEY_decapsulate(op, keys->secret, &keys->secret_len, keys->wrapped,
                                         keys->wrapped_len) != 1;
    EVP_PKEY_CTX_free(op);
}

static void sign_once(void *ctx)
{
    struct keys *keys = ctx;
    EVP_MD_CTX *op = EVP_MD_CTX_new();
    size_t len = sizeof(keys->signature);

    keys->failed |= op == NULL || EVP_DigestSignInit(op, NULL, NULL, NULL, keys->signer) != 1 ||
                    EVP_DigestSign(op, keys->signature, &len, keys->text, sizeof(keys->text)) != 1;
    EVP_MD_CTX_free(op);
}

static void verify_once(void *ctx)
{
    struct keys *keys = ctx;
    EVP_MD_CTX *op = EVP_MD_CTX_new();

    keys->failed |= op == NULL || EVP_DigestVerifyInit(op, NULL, NULL, NULL, keys->signer) != 1 ||
                    EVP_DigestVerify(op, keys->signature, sizeof(keys->signature), keys->text,
                                     sizeof(keys->text)) != 1;
    EVP_MD_CTX_free(op);
}

static int keys_measure(struct perf_crypto_cost *cost, double seconds)
{
    struct keys keys = {.kem = EVP_PKEY_Q_keygen(NULL, NULL, KEM),
                        .signer = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")};

    if (keys.kem != NULL && keys.signer != NULL) {
        cost->keygen_ns = perf_cost_ns(keygen_once, &keys, seconds);
        cost->encapsulate_ns = perf_cost_ns(encapsulate_once, &keys, seconds);
        cost->decapsulate_ns = perf_cost_ns(decapsulate_once, &keys, seconds);
        cost->sign_ns = perf_cost_ns(sign_once, &keys, seconds);
        cost->verify_ns = perf_cost_ns(verify_once, &keys, seconds);
    } else {
        keys.failed = true;
    }
    EVP_PKEY_free(keys.kem);
    EVP_PKEY_free(keys.signer);
    hm_wipe(keys.secret, sizeof(keys.secret));
    return keys.failed ? STOQ_EINTERNAL : 0;
}

int perf_crypto_measure(struct perf_crypto_cost *cost, size_t mtu, double seconds,
                        struct stoq_error *error)
{
    int code = sealing_measure(cost, mtu, seconds);

    if (code == 0)
        code = keys_measure(cost, seconds);
    if (code != 0)
        *error = (struct stoq_error){.code = code,
                                     .text = "OpenSSL could not do what was to be measured"};
    return code;
}
