/* Handshakes of a client and a server: who is let in, with which alert others are sent away, resumption, 0-RTT. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/ssl.h>
#include <stdio.h>

#include "tls_pair.h"

/* Both ends with certificates of one authority, and what is between them. */
struct world {
    uint64_t wall;
    struct tls_maker authority;
    struct tls_maker middle; /* signed by authority, signs the client */
    struct tls_maker server_leaf;
    struct tls_maker client_leaf;
    struct stoq_identity *server_identity;
    struct stoq_identity *client_identity;
    struct stoq_trust *trust;
    struct stoq_config server_config;
    struct stoq_config client_config;
    struct stoq_tls *server;
    struct stoq_tls *client;
    struct tls_pair pair;
    struct hm_buf ticket;
};

static void world_tls(struct world *world)
{
    struct stoq_error error = {.text = ""};
    stoq_tls_free(world->server);
    stoq_tls_free(world->client);
    world->server = world->client = NULL;
    if (stoq_tls_new(&world->server, &world->server_config, &error) != 0 ||
        stoq_tls_new(&world->client, &world->client_config, &error) != 0)
        fail_msg("%s", error.text);
}

static void world_init(struct world *world)
{
    *world = (struct world){.wall = TLS_NOW};
    world->authority = tls_authority("the authority");
    world->middle = tls_make(
        &(struct tls_wish){
            .subject = "the middle", .authority = true, .from_days = -50, .to_days = 500},
        &world->authority);
    world->server_leaf = tls_leaf("DNS:server.test", &world->authority);
    world->client_leaf = tls_leaf("DNS:client.test", &world->middle);
    world->server_identity = tls_identity(&world->server_leaf, NULL);
    world->client_identity = tls_identity(&world->client_leaf,
                                          (X509 *const[]){world->middle.cert, NULL});
    world->trust = tls_trust(&world->authority, NULL);
    world->server_config = tls_config(true, world->server_identity, stoq_trust_verify, world->trust,
                                      &world->wall);
    world->client_config = tls_config(false, world->client_identity, stoq_trust_verify,
                                      world->trust, &world->wall);
    world_tls(world);
}

static void world_release(struct world *world)
{
    tls_pair_release(&world->pair);
    stoq_tls_free(world->server);
    stoq_tls_free(world->client);
    stoq_trust_unref(world->trust);
    stoq_identity_unref(world->server_identity);
    stoq_identity_unref(world->client_identity);
    tls_maker_release(&world->authority);
    tls_maker_release(&world->middle);
    tls_maker_release(&world->server_leaf);
    tls_maker_release(&world->client_leaf);
    hm_buf_release(&world->ticket);
}

/* A connection from beginning to end; a ticket that came is kept in world->ticket. */
static void meet(struct world *world, bool resume, bool early)
{
    tls_pair_release(&world->pair);
    tls_pair_open(&world->pair, world->client, world->server,
                  resume ? tls_bytes(&world->ticket) : (struct stoq_bytes){NULL, 0}, early);
    tls_pair_run(&world->pair);
    if (world->pair.client.ticket.len > 0) {
        hm_buf_clear(&world->ticket);
        assert_int_equal(hm_buf_append(&world->ticket, world->pair.client.ticket.data,
                                       world->pair.client.ticket.len),
                         0);
    }
}

static void assert_met(const struct world *world)
{
    const struct tls_pair *pair = &world->pair;
    if (!pair->client.confirmed || !pair->server.confirmed)
        fail_msg("client: %s; server: %s", stoq_tls_refusal(pair->client.session),
                 stoq_tls_refusal(pair->server.session));
    assert_int_equal(pair->client.close_code, 0);
    assert_int_equal(pair->server.close_code, 0);
}

static void test_full_handshake(void **state)
{
    struct world world;
    (void)state;
    world_init(&world);
    meet(&world, false, false);
    assert_met(&world);
    const struct tls_pair *pair = &world.pair;
    assert_string_equal(stoq_tls_group(pair->client.session), "X25519MLKEM768");
    assert_string_equal(stoq_tls_group(pair->server.session), "X25519MLKEM768");
    assert_non_null(strstr(stoq_tls_cipher(pair->client.session), "TLS_"));
    assert_string_equal(stoq_tls_cipher(pair->client.session),
                        stoq_tls_cipher(pair->server.session));
    assert_false(stoq_tls_resumed(pair->client.session));
    struct stoq_bytes leaf = stoq_tls_peer_leaf(pair->server.session);
    struct stoq_bytes expected = stoq_identity_leaf(world.client_identity);
    assert_int_equal(leaf.len, expected.len);
    assert_memory_equal(leaf.data, expected.data, leaf.len);
    leaf = stoq_tls_peer_leaf(pair->client.session);
    expected = stoq_identity_leaf(world.server_identity);
    assert_memory_equal(leaf.data, expected.data, expected.len);
    assert_true(world.ticket.len > 0);
    assert_null(stoq_tls_native(world.pair.server.session)); /* TLS is gone, its answers stay */
    assert_null(stoq_tls_native(world.pair.client.session));
    world_release(&world);
}

static void test_hybrid_only(void **state)
{
    struct world world;
    (void)state;
    world_init(&world);
    world.server_config.groups = STOQ_GROUPS_HYBRID_ONLY;
    world.client_config.groups = STOQ_GROUPS_HYBRID_ONLY;
    world.server_config.ciphers = STOQ_CIPHERS_256;
    world_tls(&world);
    meet(&world, false, false);
    assert_met(&world);
    assert_string_equal(stoq_tls_group(world.pair.server.session), "X25519MLKEM768");
    assert_null(strstr(stoq_tls_cipher(world.pair.server.session), "128"));
    world_release(&world);
}

static void assert_refused(const struct tls_side *side, int alert, const char *words)
{
    assert_int_equal(side->close_code, 0x100 + alert);
    if (strstr(stoq_tls_refusal(side->session), words) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", words, stoq_tls_refusal(side->session));
}

static void test_other_protocol(void **state)
{
    struct world world;
    (void)state;
    world_init(&world);
    world.client_config.alpn = "stoq-tesT";
    world_tls(&world);
    meet(&world, false, false);
    assert_refused(&world.pair.server, 120, "no application protocol");
    world_release(&world);
}

static void test_client_without_certificate(void **state)
{
    struct world world;
    (void)state;
    world_init(&world);
    world.client_config.identity = NULL;
    world_tls(&world);
    meet(&world, false, false);
    assert_refused(&world.pair.server, 116, "peer did not return a certificate");
    world_release(&world);
}

static int accept_none(void *asked, const struct stoq_peer *peer, uint8_t *alert,
                       struct stoq_error *error)
{
    (void)alert;
    (void)error;
    assert_int_equal(peer->count, 0);
    assert_null(peer->expected_name);
    ++*(int *)asked;
    return 0;
}

static void test_optional_certificate_asks(void **state)
{
    struct world world;
    int asked = 0;
    (void)state;
    world_init(&world);
    world.client_config.identity = NULL;
    world.server_config.client_certificates_optional = true;
    world.server_config.verify = accept_none;
    world.server_config.verify_ctx = &asked;
    world_tls(&world);
    meet(&world, false, false);
    assert_met(&world);
    assert_int_equal(asked, 1);
    assert_int_equal(stoq_tls_peer_leaf(world.pair.server.session).len, 0);
    meet(&world, true, false); /* and again when it resumes */
    assert_met(&world);
    assert_true(stoq_tls_resumed(world.pair.server.session));
    assert_int_equal(asked, 2);
    world_release(&world);
}

/* A ticket that was got without a certificate is worth nothing where one is demanded. */
static void test_ticket_without_certificate(void **state)
{
    struct world world;
    int asked = 0;
    (void)state;
    world_init(&world);
    world.client_config.identity = NULL;
    world.server_config.client_certificates_optional = true;
    world.server_config.verify = accept_none;
    world.server_config.verify_ctx = &asked;
    world_tls(&world);
    meet(&world, false, false);
    assert_met(&world);
    world.server_config.client_certificates_optional = false;
    world_tls(&world);
    meet(&world, true, true);
    assert_refused(&world.pair.server, 116, "peer did not return a certificate");
    assert_int_equal(asked, 1);
    assert_int_equal(world.pair.server.bytes, 0);
    world_release(&world);
}

static void test_optional_certificate_refused(void **state)
{
    struct world world;
    (void)state;
    world_init(&world);
    world.client_config.identity = NULL;
    world.server_config.client_certificates_optional = true;
    world_tls(&world);
    meet(&world, false, false); /* the trust's answer to no certificate is no */
    assert_refused(&world.pair.server, 116, "showed no certificate");
    world_release(&world);
}

static void test_expired_server(void **state)
{
    struct world world;
    (void)state;
    world_init(&world);
    world.wall += 101 * (uint64_t)TLS_DAY;
    meet(&world, false, false);
    assert_refused(&world.pair.client, 45, "has expired");
    world_release(&world);
}

static int refuse_oddly(void *ctx, const struct stoq_peer *peer, uint8_t *alert,
                        struct stoq_error *error)
{
    (void)ctx;
    assert_int_equal(peer->count, 2); /* the client's leaf and the one between */
    *alert = 49; /* access_denied: OpenSSL has no result of verification that gives it */
    error->code = STOQ_EPERM;
    (void)snprintf(error->text, sizeof(error->text), "not on\x1b the list");
    return STOQ_EPERM;
}

static void test_alert_of_the_callback(void **state)
{
    struct world world;
    (void)state;
    world_init(&world);
    world.server_config.verify = refuse_oddly;
    world_tls(&world);
    meet(&world, false, false);
    assert_refused(&world.pair.server, 49, "not on");
    assert_null(strchr(stoq_tls_refusal(world.pair.server.session), 0x1b));
    world_release(&world);
}

static void test_resumption(void **state)
{
    struct world world;
    (void)state;
    world_init(&world);
    meet(&world, false, false);
    assert_met(&world);
    for (int i = 0; i < 3; i++) { /* each with the ticket of the one before */
        world.wall += 1;
        meet(&world, true, false);
        assert_met(&world);
        assert_true(stoq_tls_resumed(world.pair.client.session));
        assert_true(stoq_tls_resumed(world.pair.server.session));
        struct stoq_bytes leaf = stoq_tls_peer_leaf(world.pair.server.session);
        struct stoq_bytes expected = stoq_identity_leaf(world.client_identity);
        assert_int_equal(leaf.len, expected.len);
        assert_memory_equal(leaf.data, expected.data, leaf.len);
    }
    world_release(&world);
}

/* Another worker, or this one after a restart: tickets are made from the secret alone. */
static void test_resumption_elsewhere(void **state)
{
    struct world world;
    (void)state;
    world_init(&world);
    meet(&world, false, false);
    world_tls(&world);
    meet(&world, true, false);
    assert_met(&world);
    assert_true(stoq_tls_resumed(world.pair.server.session));
    world.server_config.secret[0] ^= 1;
    world_tls(&world);
    meet(&world, true, false);
    assert_met(&world);
    assert_false(stoq_tls_resumed(world.pair.server.session));
    world_release(&world);
}

static void test_ticket_too_old(void **state)
{
    struct world world;
    (void)state;
    world_init(&world);
    meet(&world, false, false);
    world.wall += 43200 + 1;
    meet(&world, true, false);
    assert_met(&world);
    assert_false(stoq_tls_resumed(world.pair.server.session));
    world_release(&world);
}

/* A server that has learnt of a revocation does not let the client in with the ticket it has. */
static void test_revoked_after_ticket(void **state)
{
    struct world world;
    HM_CLEANUP(hm_buf) struct hm_buf lists = {0};
    (void)state;
    world_init(&world);
    meet(&world, false, false);
    assert_met(&world);
    tls_pem_list(&lists, &world.authority, NULL, -1, 7);
    tls_pem_list(&lists, &world.middle, world.client_leaf.cert, -1, 7);
    struct stoq_trust *strict = tls_trust(&world.authority, &lists);
    world.server_config.verify_ctx = strict;
    world_tls(&world);
    meet(&world, true, true);
    assert_refused(&world.pair.server, 44, "was revoked");
    assert_int_equal(world.pair.server.bytes, 0);
    stoq_trust_unref(strict);
    world_release(&world);
}

/* A client that has learnt of a revocation does not resume to that server. */
static void test_revoked_server_after_ticket(void **state)
{
    struct world world;
    HM_CLEANUP(hm_buf) struct hm_buf lists = {0};
    (void)state;
    world_init(&world);
    meet(&world, false, false);
    tls_pem_list(&lists, &world.authority, world.server_leaf.cert, -1, 7);
    struct stoq_trust *strict = tls_trust(&world.authority, &lists);
    world.client_config.verify_ctx = strict;
    world_tls(&world);
    meet(&world, true, true);
    assert_refused(&world.pair.client, 44, "was revoked");
    assert_int_equal(world.pair.server.bytes, 0);
    stoq_trust_unref(strict);
    world_release(&world);
}

static void test_early_data_once(void **state)
{
    struct world world;
    (void)state;
    world_init(&world);
    meet(&world, false, false);
    HM_CLEANUP(hm_buf) struct hm_buf first = {0};
    assert_int_equal(hm_buf_append(&first, world.ticket.data, world.ticket.len), 0);
    world.wall += 1;
    meet(&world, true, true);
    assert_met(&world);
    assert_int_equal(stoq_tls_early_status(world.pair.server.session), STOQ_TLS_EARLY_ACCEPTED);
    assert_int_equal(stoq_tls_early_status(world.pair.client.session), STOQ_TLS_EARLY_ACCEPTED);
    assert_int_equal(world.pair.server.early_bytes, 5);

    /* The same ticket again, at another worker that has the identity and the secret: resumed, its data not taken. */
    hm_buf_clear(&world.ticket);
    assert_int_equal(hm_buf_append(&world.ticket, first.data, first.len), 0);
    world_tls(&world);
    meet(&world, true, true);
    assert_met(&world);
    assert_true(stoq_tls_resumed(world.pair.server.session));
    assert_int_equal(stoq_tls_early_status(world.pair.server.session), STOQ_TLS_EARLY_REFUSED);
    assert_int_equal(stoq_tls_early_status(world.pair.client.session), STOQ_TLS_EARLY_REFUSED);
    assert_int_equal(world.pair.server.early_bytes, 0);
    world_release(&world);
}

/* A copy of the client's first flight, given to the server a second time: byte for byte what it took before. */
static void test_early_data_replayed(void **state)
{
    struct world world;
    struct tls_pair copy;
    (void)state;
    world_init(&world);
    meet(&world, false, false);
    meet(&world, true, true);
    assert_int_equal(world.pair.server.early_bytes, 5);
    tls_pair_replay(&copy, &world.pair, world.server);
    assert_int_equal(copy.server.close_code, 0);
    assert_int_equal(stoq_tls_early_status(copy.server.session), STOQ_TLS_EARLY_REFUSED);
    assert_int_equal(copy.server.bytes, 0);
    tls_pair_release(&copy);
    /* A server that was started anew has an empty table, and refuses what that cannot have seen. */
    struct stoq_identity *again = tls_identity(&world.server_leaf, NULL);
    world.server_config.identity = again;
    world.wall += 1;
    world_tls(&world);
    tls_pair_replay(&copy, &world.pair, world.server);
    assert_int_equal(copy.server.bytes, 0);
    tls_pair_release(&copy);
    stoq_identity_unref(again);
    world_release(&world);
}

static void test_early_data_needs_same_limits(void **state)
{
    struct world world;
    (void)state;
    world_init(&world);
    meet(&world, false, false);
    world.server_config.stream_window = 1;
    world_tls(&world);
    meet(&world, true, true);
    assert_met(&world);
    assert_true(stoq_tls_resumed(world.pair.server.session));
    assert_int_equal(stoq_tls_early_status(world.pair.server.session), STOQ_TLS_EARLY_REFUSED);
    world_release(&world);
}

static void test_early_data_off(void **state)
{
    struct world world;
    (void)state;
    world_init(&world);
    world.server_config.early_data = false;
    world_tls(&world);
    meet(&world, false, false);
    meet(&world, true, true);
    assert_met(&world);
    assert_true(stoq_tls_resumed(world.pair.server.session));
    assert_int_equal(world.pair.server.early_bytes, 0);
    world_release(&world);
}

/* Whatever a stored session became, a connection comes of it. */
static void test_damaged_session(void **state)
{
    struct world world;
    (void)state;
    world_init(&world);
    meet(&world, false, false);
    HM_CLEANUP(hm_buf) struct hm_buf good = {0};
    assert_int_equal(hm_buf_append(&good, world.ticket.data, world.ticket.len), 0);
    for (size_t at = 5; at < good.len; at += good.len / 24 + 1) {
        struct stoq_session parsed;
        hm_buf_clear(&world.ticket);
        assert_int_equal(hm_buf_append(&world.ticket, good.data, good.len), 0);
        world.ticket.data[at] ^= 0x41;
        if (stoq_session_parse(tls_bytes(&world.ticket), &parsed) != 0)
            continue;
        size_t ticket_end = (size_t)(parsed.ticket.data + parsed.ticket.len - world.ticket.data);
        if (at >= ticket_end)
            break; /* the transport parameters are the connection's matter */
        tls_pair_release(&world.pair);
        tls_pair_open(&world.pair, world.client, world.server, tls_bytes(&world.ticket), false);
        tls_pair_run(&world.pair);
        /* Damage to the secret is found by the server (binder), to the rest by us or by nobody. */
        assert_true(world.pair.client.confirmed || world.pair.server.close_code != 0 ||
                    world.pair.client.close_code != 0);
    }
    world_release(&world);
}

static void test_memory_runs_out(void **state)
{
    struct world world;
    (void)state;
    world_init(&world);
    meet(&world, false, false);
    struct stoq_session parsed;
    assert_int_equal(stoq_session_parse(tls_bytes(&world.ticket), &parsed), 0);
    for (unsigned long nth = 1; nth < 50; nth++) {
        struct stoq_tls_session *session = NULL;
        ngtcp2_crypto_conn_ref ref = {0};
        struct stoq_error error = {.text = ""};
        unsigned long before = hm_alloc_failures();
        hm_alloc_fail_at(nth);
        int rc = stoq_tls_session_new(&session, world.client, false, "server.test", parsed.ticket,
                                      &ref, NULL, &error);
        hm_alloc_fail_at(0);
        bool failed = hm_alloc_failures() != before;
        assert_true(rc == 0 || (rc == STOQ_ENOMEM && session == NULL && error.text[0] != '\0'));
        if (rc == 0)
            stoq_tls_session_free(session);
        if (!failed) {
            assert_true(nth > 2);
            break;
        }
    }
    /* And during a handshake: it may fail, and nothing leaks or is let in unasked. */
    for (unsigned long nth = 1; nth < 12; nth++) {
        tls_pair_release(&world.pair);
        tls_pair_open(&world.pair, world.client, world.server, (struct stoq_bytes){NULL, 0}, false);
        hm_alloc_fail_at(nth);
        tls_pair_run(&world.pair);
        hm_alloc_fail_at(0);
        assert_true(!world.pair.server.completed ||
                    stoq_tls_peer_leaf(world.pair.server.session).len > 0);
    }
    world_release(&world);
}

static void test_configuration(void **state)
{
    struct world world;
    struct stoq_tls *tls = NULL;
    struct stoq_error error = {.text = ""};
    (void)state;
    world_init(&world);
    struct stoq_config config = world.server_config;
    config.verify = NULL;
    assert_int_equal(stoq_tls_new(&tls, &config, &error), STOQ_EINVAL);
    assert_non_null(strstr(error.text, "verify"));
    config = world.server_config;
    config.identity = NULL;
    assert_int_equal(stoq_tls_new(&tls, &config, &error), STOQ_EINVAL);
    assert_non_null(strstr(error.text, "identity"));
    config = world.server_config;
    config.alpn = "";
    assert_int_equal(stoq_tls_new(&tls, &config, &error), STOQ_EINVAL);
    assert_non_null(strstr(error.text, "alpn"));
    config = world.server_config;
    hm_alloc_fail_at(1);
    assert_int_equal(stoq_tls_new(&tls, &config, &error), STOQ_ENOMEM);
    hm_alloc_fail_at(0);
    assert_null(tls);
    stoq_tls_free(NULL);
    stoq_tls_session_free(NULL);
    struct stoq_tls_session *session = NULL;
    ngtcp2_crypto_conn_ref ref = {0};
    assert_int_equal(stoq_tls_session_new(&session, world.client, true, NULL,
                                          (struct stoq_bytes){NULL, 0}, &ref, NULL, &error),
                     STOQ_EINVAL);
    assert_int_equal(stoq_tls_session_new(&session, world.client, false, "",
                                          (struct stoq_bytes){NULL, 0}, &ref, NULL, &error),
                     STOQ_EINVAL);
    world_release(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_handshake),
        cmocka_unit_test(test_hybrid_only),
        cmocka_unit_test(test_other_protocol),
        cmocka_unit_test(test_client_without_certificate),
        cmocka_unit_test(test_optional_certificate_asks),
        cmocka_unit_test(test_optional_certificate_refused),
        cmocka_unit_test(test_ticket_without_certificate),
        cmocka_unit_test(test_expired_server),
        cmocka_unit_test(test_alert_of_the_callback),
        cmocka_unit_test(test_resumption),
        cmocka_unit_test(test_resumption_elsewhere),
        cmocka_unit_test(test_ticket_too_old),
        cmocka_unit_test(test_revoked_after_ticket),
        cmocka_unit_test(test_revoked_server_after_ticket),
        cmocka_unit_test(test_early_data_once),
        cmocka_unit_test(test_early_data_replayed),
        cmocka_unit_test(test_early_data_needs_same_limits),
        cmocka_unit_test(test_early_data_off),
        cmocka_unit_test(test_damaged_session),
        cmocka_unit_test(test_memory_runs_out),
        cmocka_unit_test(test_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
