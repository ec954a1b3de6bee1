/* The ready-made verifier: each reason to refuse a chain, its alert and its words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/x509.h>

#include "tls_certificates.h"

static const struct tls_wish middle_wish = {
    .subject = "the middle", .authority = true, .from_days = -50, .to_days = 500};

struct chain {
    uint8_t *der[STOQ_CHAIN_CERTIFICATES_MAX + 1];
    struct stoq_bytes list[STOQ_CHAIN_CERTIFICATES_MAX + 1];
    size_t count;
};

static void chain_add(struct chain *chain, X509 *cert)
{
    int len = i2d_X509(cert, &chain->der[chain->count]);
    assert_true(len > 0);
    chain->list[chain->count] = (struct stoq_bytes){chain->der[chain->count], (size_t)len};
    chain->count++;
}

static void chain_release(struct chain *chain)
{
    for (size_t i = 0; i < chain->count; i++)
        OPENSSL_free(chain->der[i]);
}

/* Verifies leaf (and middle, nullable) now or at some other day. alert 0: must be accepted. */
static void judge(struct stoq_trust *trust, X509 *leaf, X509 *middle, const char *name,
                  long long day, uint8_t alert, const char *words)
{
    struct chain chain = {0};
    struct stoq_error error = {.text = ""};
    uint8_t got = 0;

    chain_add(&chain, leaf);
    if (middle != NULL)
        chain_add(&chain, middle);
    struct stoq_peer peer = {.chain = chain.list,
                             .count = chain.count,
                             .expected_name = name,
                             .wall_seconds = (uint64_t)((long long)TLS_NOW + day * TLS_DAY)};
    int rc = stoq_trust_verify(trust, &peer, &got, &error);
    if (rc != (alert == 0 ? 0 : STOQ_EAUTH) || got != alert || strstr(error.text, words) == NULL)
        fail_msg("%d, alert %u, \"%s\"; expected alert %u, \"%s\"", rc, got, error.text, alert,
                 words);
    chain_release(&chain);
}

static void test_names(void **state)
{
    struct tls_maker authority = tls_authority("the authority");
    struct tls_maker leaf = tls_leaf("DNS:a.test,DNS:*.wild.test,IP:10.0.0.7,IP:fd00::7",
                                     &authority);
    struct tls_maker nameless = tls_leaf(NULL, &authority);
    struct stoq_trust *trust = tls_trust(&authority, NULL);
    (void)state;
    judge(trust, leaf.cert, NULL, "a.test", 0, 0, "");
    judge(trust, leaf.cert, NULL, "A.Test", 0, 0, "");
    judge(trust, leaf.cert, NULL, "b.wild.test", 0, 0, "");
    judge(trust, leaf.cert, NULL, "10.0.0.7", 0, 0, "");
    judge(trust, leaf.cert, NULL, "fd00:0::7", 0, 0, "");
    judge(trust, leaf.cert, NULL, NULL, 0, 0, ""); /* a client: its names do not matter */
    judge(trust, leaf.cert, NULL, "b.test", 0, 42, "does not carry the name b.test");
    judge(trust, leaf.cert, NULL, "a.b.wild.test", 0, 42, "does not carry the name");
    judge(trust, leaf.cert, NULL, "10.0.0.8", 0, 42, "does not carry the address 10.0.0.8");
    judge(trust, nameless.cert, NULL, "a leaf", 0, 42, "does not carry"); /* not the subject */
    stoq_trust_unref(trust);
    tls_maker_release(&nameless);
    tls_maker_release(&leaf);
    tls_maker_release(&authority);
}

static void test_times(void **state)
{
    struct tls_maker authority = tls_authority("the authority");
    struct tls_maker leaf = tls_leaf("DNS:a.test", &authority);
    struct stoq_trust *trust = tls_trust(&authority, NULL);
    (void)state;
    judge(trust, leaf.cert, NULL, "a.test", -11, 42, "is not valid yet");
    judge(trust, leaf.cert, NULL, "a.test", -9, 0, "");
    judge(trust, leaf.cert, NULL, "a.test", 99, 0, "");
    judge(trust, leaf.cert, NULL, "a.test", 101, 45, "has expired");
    judge(trust, leaf.cert, NULL, "a.test", 101, 45, "a leaf"); /* says which */
    stoq_trust_unref(trust);
    tls_maker_release(&leaf);
    tls_maker_release(&authority);
}

static void test_issuers(void **state)
{
    struct tls_maker authority = tls_authority("the authority");
    struct tls_maker stranger = tls_authority("the authority"); /* the same name, another key */
    struct tls_maker middle = tls_make(&middle_wish, &authority);
    struct tls_maker leaf = tls_leaf("DNS:a.test", &middle);
    struct tls_maker other = tls_authority("another authority");
    struct tls_maker foreign = tls_leaf("DNS:a.test", &other);
    struct tls_maker forged = tls_leaf("DNS:a.test", &stranger);
    /* Signed by what is no authority. */
    struct tls_maker below = tls_make(
        &(struct tls_wish){
            .subject = "below", .names = "DNS:a.test", .from_days = -1, .to_days = 1},
        &leaf);
    struct tls_maker alone = tls_make(
        &(struct tls_wish){
            .subject = "alone", .names = "DNS:a.test", .from_days = -1, .to_days = 1},
        NULL);
    struct stoq_trust *trust = tls_trust(&authority, NULL);
    (void)state;
    judge(trust, leaf.cert, middle.cert, "a.test", 0, 0, "");
    judge(trust, leaf.cert, NULL, "a.test", 0, 48, "unknown issuer");
    judge(trust, alone.cert, NULL, "a.test", 0, 48, "signs itself");
    judge(trust, forged.cert, NULL, "a.test", 0, 42, "wrong signature");
    judge(trust, forged.cert, stranger.cert, "a.test", 0, 42, "wrong signature");
    judge(trust, foreign.cert, other.cert, "a.test", 0, 48, "not trusted here");
    judge(trust, foreign.cert, NULL, "a.test", 0, 48, "unknown issuer");
    judge(trust, below.cert, leaf.cert, "a.test", 0, 48, "unknown issuer");
    stoq_trust_unref(trust);
    trust = tls_trust(&middle, NULL); /* an authority below the root is one */
    judge(trust, leaf.cert, NULL, "a.test", 0, 0, "");
    stoq_trust_unref(trust);
    trust = tls_trust(&alone, NULL); /* and a certificate that is pinned */
    judge(trust, alone.cert, NULL, "a.test", 0, 0, "");
    judge(trust, leaf.cert, middle.cert, "a.test", 0, 48, "unknown issuer");
    stoq_trust_unref(trust);
    tls_maker_release(&alone);
    tls_maker_release(&below);
    tls_maker_release(&forged);
    tls_maker_release(&foreign);
    tls_maker_release(&other);
    tls_maker_release(&leaf);
    tls_maker_release(&middle);
    tls_maker_release(&stranger);
    tls_maker_release(&authority);
}

static void test_purposes(void **state)
{
    struct tls_maker authority = tls_authority("the authority");
    struct tls_wish wish = {
        .subject = "a leaf", .names = "DNS:a.test", .usage = "clientAuth", .to_days = 1};
    struct tls_maker client = tls_make(&wish, &authority);
    wish.usage = "serverAuth";
    struct tls_maker server = tls_make(&wish, &authority);
    struct stoq_trust *trust = tls_trust(&authority, NULL);
    (void)state;
    judge(trust, client.cert, NULL, NULL, 0, 0, "");
    judge(trust, server.cert, NULL, "a.test", 0, 0, "");
    judge(trust, client.cert, NULL, "a.test", 0, 43, "is not made for this purpose");
    judge(trust, server.cert, NULL, NULL, 0, 43, "is not made for this purpose");
    stoq_trust_unref(trust);
    tls_maker_release(&client);
    tls_maker_release(&server);
    tls_maker_release(&authority);
}

static void test_weak_key(void **state)
{
    struct tls_maker authority = tls_authority("the authority");
    struct tls_maker weak = tls_make(
        &(struct tls_wish){
            .subject = "a leaf", .names = "DNS:a.test", .rsa_bits = 1024, .to_days = 1},
        &authority);
    struct stoq_trust *trust = tls_trust(&authority, NULL);
    (void)state;
    judge(trust, weak.cert, NULL, "a.test", 0, 42, "a key that is too weak");
    stoq_trust_unref(trust);
    tls_maker_release(&weak);
    tls_maker_release(&authority);
}

static void test_revocation(void **state)
{
    struct tls_maker authority = tls_authority("the authority");
    struct tls_maker middle = tls_make(&middle_wish, &authority);
    struct tls_maker good = tls_leaf("DNS:a.test", &middle);
    struct tls_maker bad = tls_leaf("DNS:a.test", &middle);
    HM_CLEANUP(hm_buf) struct hm_buf lists = {0};
    (void)state;
    tls_pem_list(&lists, &middle, bad.cert, -1, 7);
    struct stoq_trust *trust = tls_trust(&authority, &lists);
    judge(trust, good.cert, middle.cert, "a.test", 0, 42, "list is not here"); /* of authority */
    stoq_trust_unref(trust);

    tls_pem_list(&lists, &authority, NULL, -1, 7);
    trust = tls_trust(&authority, &lists);
    judge(trust, good.cert, middle.cert, "a.test", 0, 0, "");
    judge(trust, bad.cert, middle.cert, "a.test", 0, 44, "was revoked");
    judge(trust, bad.cert, middle.cert, NULL, 0, 44, "was revoked");
    judge(trust, good.cert, middle.cert, "a.test", 8, 42, "out of date");
    judge(trust, good.cert, middle.cert, "a.test", -2, 42, "not valid yet");
    stoq_trust_unref(trust);

    /* The middle as authority: it needs no list of its own issuer. */
    hm_buf_clear(&lists);
    tls_pem_list(&lists, &middle, bad.cert, -1, 7);
    trust = tls_trust(&middle, &lists);
    judge(trust, good.cert, NULL, "a.test", 0, 0, "");
    judge(trust, bad.cert, NULL, "a.test", 0, 44, "was revoked");
    stoq_trust_unref(trust);

    /* The middle itself revoked. */
    hm_buf_clear(&lists);
    tls_pem_list(&lists, &middle, NULL, -1, 7);
    tls_pem_list(&lists, &authority, middle.cert, -1, 7);
    trust = tls_trust(&authority, &lists);
    judge(trust, good.cert, middle.cert, "a.test", 0, 44, "certificate 2 (CN = the middle)");
    stoq_trust_unref(trust);
    tls_maker_release(&bad);
    tls_maker_release(&good);
    tls_maker_release(&middle);
    tls_maker_release(&authority);
}

static void test_odd_chains(void **state)
{
    struct tls_maker authority = tls_authority("the authority");
    struct tls_maker leaf = tls_leaf("DNS:a.test", &authority);
    struct stoq_trust *trust = tls_trust(&authority, NULL);
    struct stoq_error error = {.text = ""};
    struct chain chain = {0};
    uint8_t alert = 0;
    (void)state;
    for (int i = 0; i < STOQ_CHAIN_CERTIFICATES_MAX + 1; i++)
        chain_add(&chain, leaf.cert);
    struct stoq_peer peer = {.chain = chain.list, .wall_seconds = TLS_NOW};
    assert_int_equal(stoq_trust_verify(trust, &peer, &alert, &error), STOQ_EAUTH);
    assert_int_equal(alert, 116);
    peer.count = chain.count;
    assert_int_equal(stoq_trust_verify(trust, &peer, &alert, &error), STOQ_EAUTH);
    assert_int_equal(alert, 42);
    peer.count = 1;
    for (size_t cut = 1; cut < chain.list[0].len; cut += 7) { /* truncated */
        struct stoq_bytes part = {chain.list[0].data, chain.list[0].len - cut};
        peer.chain = &part;
        alert = 0;
        assert_int_equal(stoq_trust_verify(trust, &peer, &alert, &error), STOQ_EAUTH);
        assert_int_equal(alert, 42);
    }
    peer.chain = &(struct stoq_bytes){chain.list[0].data, 0};
    assert_int_equal(stoq_trust_verify(trust, &peer, &alert, NULL), STOQ_EAUTH);
    chain_release(&chain);
    stoq_trust_unref(trust);
    tls_maker_release(&leaf);
    tls_maker_release(&authority);
}

static void test_making(void **state)
{
    struct tls_maker authority = tls_authority("the authority");
    HM_CLEANUP(hm_buf) struct hm_buf pem = {0};
    HM_CLEANUP(hm_buf) struct hm_buf list = {0};
    const struct stoq_bytes none = {NULL, 0};
    static const uint8_t junk[] = "no PEM at all";
    struct stoq_bytes text = {junk, sizeof(junk) - 1};
    struct stoq_trust *trust = NULL;
    struct stoq_error error = {.text = ""};
    (void)state;
    tls_pem_certificate(&pem, authority.cert);
    tls_pem_list(&list, &authority, NULL, -1, 1);
    assert_int_equal(stoq_trust_new(&trust, none, none, &error), STOQ_EPARSE);
    assert_int_equal(stoq_trust_new(&trust, text, none, &error), STOQ_EPARSE);
    assert_non_null(strstr(error.text, "no certificate among"));
    assert_int_equal(stoq_trust_new(&trust, tls_bytes(&pem), text, &error), STOQ_EPARSE);
    assert_non_null(strstr(error.text, "no revocation list"));
    assert_int_equal(stoq_trust_new(&trust, tls_bytes(&list), none, &error), STOQ_EPARSE);
    pem.data[pem.len / 2] = '!';
    assert_int_equal(stoq_trust_new(&trust, tls_bytes(&pem), none, &error), STOQ_EPARSE);
    assert_non_null(strstr(error.text, "authority 1 is not readable"));
    hm_alloc_fail_at(1);
    assert_int_equal(stoq_trust_new(&trust, tls_bytes(&pem), none, &error), STOQ_ENOMEM);
    hm_alloc_fail_at(0);
    assert_null(trust);
    stoq_trust_unref(NULL);
    trust = tls_trust(&authority, &list);
    assert_ptr_equal(stoq_trust_ref(trust), trust);
    stoq_trust_unref(trust);
    stoq_trust_unref(trust);
    tls_maker_release(&authority);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),      cmocka_unit_test(test_times),
        cmocka_unit_test(test_issuers),    cmocka_unit_test(test_purposes),
        cmocka_unit_test(test_revocation), cmocka_unit_test(test_odd_chains),
        cmocka_unit_test(test_making),     cmocka_unit_test(test_weak_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
