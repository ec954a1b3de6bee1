/* Identities: what is refused and in which words, what a self-signed certificate says, memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "stoq_identity.h"
#include "tls_certificates.h"

struct texts {
    struct tls_maker authority;
    struct tls_maker leaf;
    struct hm_buf chain;
    struct hm_buf key;
};

static void texts_init(struct texts *texts)
{
    *texts = (struct texts){0};
    texts->authority = tls_authority("the authority");
    texts->leaf = tls_leaf("DNS:one.test", &texts->authority);
    tls_pem_certificate(&texts->chain, texts->leaf.cert);
    tls_pem_certificate(&texts->chain, texts->authority.cert);
    tls_pem_key(&texts->key, texts->leaf.key);
}

static void texts_release(struct texts *texts)
{
    tls_maker_release(&texts->authority);
    tls_maker_release(&texts->leaf);
    hm_buf_release(&texts->chain);
    hm_buf_release(&texts->key);
}

static void assert_refused(struct stoq_bytes chain, struct stoq_bytes key, int code,
                           const char *words)
{
    struct stoq_identity *identity = NULL;
    struct stoq_error error = {.text = ""};
    assert_int_equal(stoq_identity_new(&identity, chain, key, &error), code);
    assert_null(identity);
    assert_int_equal(error.code, code);
    if (strstr(error.text, words) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", words, error.text);
    assert_int_equal(stoq_identity_new(&identity, chain, key, NULL), code);
}

static void test_chain_and_key(void **state)
{
    struct texts texts;
    struct stoq_identity *identity = NULL;
    (void)state;
    texts_init(&texts);
    assert_int_equal(
        stoq_identity_new(&identity, tls_bytes(&texts.chain), tls_bytes(&texts.key), NULL), 0);
    struct stoq_bytes leaf = stoq_identity_leaf(identity);
    uint8_t *der = NULL;
    int len = i2d_X509(texts.leaf.cert, &der);
    assert_int_equal(leaf.len, len);
    assert_memory_equal(leaf.data, der, leaf.len);
    OPENSSL_free(der);
    assert_int_equal(sk_X509_num(stoq_identity_chain(identity)), 1);
    assert_ptr_equal(stoq_identity_ref(identity), identity);
    stoq_identity_unref(identity);
    assert_int_equal(stoq_identity_leaf(identity).len, leaf.len); /* one holder is left */
    stoq_identity_unref(identity);
    stoq_identity_unref(NULL);
    assert_null(stoq_identity_ref(NULL));
    texts_release(&texts);
}

static void test_refusals(void **state)
{
    static const uint8_t junk[] = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    struct texts texts;
    HM_CLEANUP(hm_buf) struct hm_buf other = {0};
    HM_CLEANUP(hm_buf) struct hm_buf locked = {0};
    HM_CLEANUP(hm_buf) struct hm_buf broken = {0};
    HM_CLEANUP(hm_buf) struct hm_buf many = {0};
    const struct stoq_bytes none = {NULL, 0};
    (void)state;
    texts_init(&texts);
    struct stoq_bytes chain = tls_bytes(&texts.chain);
    struct stoq_bytes key = tls_bytes(&texts.key);

    assert_refused(none, key, STOQ_EPARSE, "chain is empty");
    assert_refused(chain, none, STOQ_EPARSE, "key is empty");
    assert_refused((struct stoq_bytes){junk, sizeof(junk) - 1}, key, STOQ_EPARSE,
                   "no readable certificate");
    assert_refused(key, key, STOQ_EPARSE, "no readable certificate");
    assert_refused(chain, chain, STOQ_EPARSE, "key is not readable");
    tls_pem_key(&other, texts.authority.key);
    assert_refused(chain, tls_bytes(&other), STOQ_EINVAL, "does not belong");

    hm_buf_append(&broken, chain.data, chain.len);
    hm_buf_append(&broken, junk, sizeof(junk) - 1);
    assert_refused(tls_bytes(&broken), key, STOQ_EPARSE, "certificate 3");
    for (int i = 0; i < STOQ_CHAIN_CERTIFICATES_MAX + 1; i++)
        tls_pem_certificate(&many, texts.leaf.cert);
    assert_refused(tls_bytes(&many), key, STOQ_ELIMIT, "more than 8");
    assert_refused((struct stoq_bytes){chain.data, (1U << 20) + 1}, key, STOQ_ELIMIT, "longer");

    /* Encrypted: refused, and nobody is asked for a passphrase. */
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, texts.leaf.key, EVP_aes_128_cbc(), "pass",
                                                   4, NULL, NULL),
                     1);
    long len = BIO_get_mem_data(bio, &text);
    hm_buf_append(&locked, text, (size_t)len);
    BIO_free(bio);
    assert_refused(chain, tls_bytes(&locked), STOQ_EPARSE, "must not be encrypted");
    texts_release(&texts);
}

static void test_self_signed(void **state)
{
    struct stoq_identity *identity = NULL;
    struct stoq_error error = {.text = ""};
    char long_name[STOQ_NAME_BYTES_MAX + 2];
    (void)state;
    memset(long_name, 'a', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = '\0';

    assert_int_equal(stoq_identity_self_signed(&identity, "node,7:x.test", TLS_NOW, 30, &error), 0);
    X509 *cert = stoq_identity_x509(identity);
    assert_int_equal(EVP_PKEY_get_id(X509_get0_pubkey(cert)), EVP_PKEY_ED25519);
    assert_int_equal(X509_verify(cert, X509_get0_pubkey(cert)), 1);
    time_t end = (time_t)(TLS_NOW + 30 * TLS_DAY);
    assert_int_equal(X509_cmp_time(X509_get0_notAfter(cert), &end), -1); /* earlier or the same */
    end -= 1;
    assert_int_equal(X509_cmp_time(X509_get0_notAfter(cert), &end), 1);
    /* A comma and a colon in the name stay parts of one name. */
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    assert_int_equal(sk_GENERAL_NAME_num(names), 1);
    GENERAL_NAMES_free(names);
    stoq_identity_unref(identity);

    assert_int_equal(stoq_identity_self_signed(&identity, "fd00::7", TLS_NOW, 3650, &error), 0);
    assert_int_equal(X509_check_ip_asc(stoq_identity_x509(identity), "fd00::7", 0), 1);
    stoq_identity_unref(identity);

    identity = NULL;
    assert_int_equal(stoq_identity_self_signed(&identity, "", TLS_NOW, 1, &error), STOQ_EINVAL);
    assert_int_equal(stoq_identity_self_signed(&identity, NULL, TLS_NOW, 1, &error), STOQ_EINVAL);
    assert_int_equal(stoq_identity_self_signed(&identity, "a b", TLS_NOW, 1, &error), STOQ_EINVAL);
    assert_int_equal(stoq_identity_self_signed(&identity, long_name, TLS_NOW, 1, &error),
                     STOQ_EINVAL);
    assert_int_equal(stoq_identity_self_signed(&identity, "a", TLS_NOW, 0, &error), STOQ_EINVAL);
    assert_int_equal(stoq_identity_self_signed(&identity, "a", TLS_NOW, 3651, &error), STOQ_EINVAL);
    assert_non_null(strstr(error.text, "3651"));
    assert_int_equal(stoq_identity_self_signed(&identity, "a", UINT64_MAX, 1, &error), STOQ_EINVAL);
    assert_null(identity);
}

static void test_same(void **state)
{
    struct stoq_identity *one = NULL;
    struct stoq_identity *two = NULL;
    struct stoq_error error = {.text = ""};
    uint8_t alert = 0;
    (void)state;
    assert_int_equal(stoq_identity_self_signed(&one, "a", TLS_NOW, 1, NULL), 0);
    assert_int_equal(stoq_identity_self_signed(&two, "a", TLS_NOW, 1, NULL), 0);
    struct stoq_bytes leaf = stoq_identity_leaf(one);
    struct stoq_peer peer = {.chain = &leaf, .count = 1};
    assert_int_equal(stoq_verify_same(one, &peer, &alert, &error), 0);
    assert_int_equal(stoq_verify_same(two, &peer, &alert, &error), STOQ_EAUTH);
    assert_int_equal(alert, 42);
    assert_non_null(strstr(error.text, "not the one"));
    peer.count = 0;
    assert_int_equal(stoq_verify_same(one, &peer, &alert, &error), STOQ_EAUTH);
    assert_int_equal(alert, 116);
    leaf.len--;
    peer.count = 1;
    assert_int_equal(stoq_verify_same(one, &peer, &alert, &error), STOQ_EAUTH);
    stoq_identity_unref(one);
    stoq_identity_unref(two);
}

static void test_memory_runs_out(void **state)
{
    struct texts texts;
    struct stoq_identity *identity = NULL;
    struct stoq_error error;
    (void)state;
    texts_init(&texts);
    hm_alloc_fail_at(1);
    assert_int_equal(
        stoq_identity_new(&identity, tls_bytes(&texts.chain), tls_bytes(&texts.key), &error),
        STOQ_ENOMEM);
    hm_alloc_fail_at(1);
    assert_int_equal(stoq_identity_self_signed(&identity, "a", TLS_NOW, 1, &error), STOQ_ENOMEM);
    hm_alloc_fail_at(0);
    assert_null(identity);
    assert_int_equal(stoq_identity_self_signed(&identity, "a", TLS_NOW, 1, &error), 0);
    hm_alloc_fail_at(1);
    assert_null(stoq_identity_replay(identity, TLS_NOW));
    hm_alloc_fail_at(0);
    struct stoq_replay *replay = stoq_identity_replay(identity, TLS_NOW);
    assert_non_null(replay);
    assert_ptr_equal(stoq_identity_replay(identity, TLS_NOW), replay);
    stoq_identity_unref(identity);
    texts_release(&texts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chain_and_key),   cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_self_signed),     cmocka_unit_test(test_same),
        cmocka_unit_test(test_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
