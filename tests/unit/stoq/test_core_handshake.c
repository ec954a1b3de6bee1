/* Handshakes of the core: who gets in, who does not, and what both ends are told. */
#include "test_core_pki.h"
#include "test_core_world.h"

static struct world world;
static struct pki pki;

/* Both ends with certificates of the test's own authority. */
static void with_trust(const char *revoked)
{
    struct stoq_error error;

    world_init(&world, 1);
    pki_init(&pki);
    assert_int_equal(pki_identity(&pki, &pki.server, "server.test", PKI_GOOD), 0);
    assert_int_equal(pki_identity(&pki, &pki.client, "client.test", PKI_CLIENT), 0);
    assert_int_equal(
        stoq_trust_new(&pki.trust, pki_bytes(pki.authority_pem), pki_bytes(revoked), &error), 0);
    for (unsigned i = 0; i < 2; i++) {
        struct stoq_config *config = &world.apps[i].config;
        config->identity = config->server ? pki.server : pki.client;
        config->verify = stoq_trust_verify;
        config->verify_ctx = pki.trust;
    }
}

static void without(void)
{
    world_release(&world);
    pki_release(&pki);
}

/* Connects; the client must end with this kind, and the server must not have accepted. */
static void refused(enum stoq_close_kind kind)
{
    world_start(&world.apps[SERVER]);
    world_start(&world.apps[CLIENT]);
    (void)world_connect(&world, CLIENT, SERVER, (struct stoq_bytes){NULL, 0});
    assert_true(world_until(&world, 30 * SECOND, until_closed, &world.apps[CLIENT]));
    if (world.apps[CLIENT].why.kind != kind)
        fail_msg("closed with kind %d, code %llu: %s", (int)world.apps[CLIENT].why.kind,
                 (unsigned long long)world.apps[CLIENT].why.code, world.apps[CLIENT].text);
    assert_true(world.apps[CLIENT].text[0] != '\0');
    assert_int_equal(world.apps[SERVER].accepted, 0);
    assert_true(world_until(&world, 30 * SECOND, until_alone, &world.apps[SERVER]));
    assert_true(world_until(&world, 30 * SECOND, until_alone, &world.apps[CLIENT]));
}

static void test_good(void **state)
{
    struct stoq_conn_info info;

    (void)state;
    with_trust("");
    world_join(&world);
    stoq_conn_get_info(world.apps[CLIENT].conn, &info);
    assert_string_equal(info.group, "X25519MLKEM768");
    assert_true(info.handshake_done && !info.server && !info.resumed);
    assert_true(stoq_conn_peer_leaf(world.apps[SERVER].conn).len ==
                stoq_identity_leaf(pki.client).len);
    world_works(&world, CLIENT, SERVER);
    world_works(&world, SERVER, CLIENT);
    without();
}

static void test_hybrid_only(void **state)
{
    struct stoq_conn_info info;

    (void)state;
    world_init(&world, 1);
    world.apps[CLIENT].config.groups = STOQ_GROUPS_HYBRID_ONLY;
    world.apps[SERVER].config.groups = STOQ_GROUPS_HYBRID_ONLY;
    world.apps[CLIENT].config.ciphers = STOQ_CIPHERS_256;
    world_join(&world);
    stoq_conn_get_info(world.apps[CLIENT].conn, &info);
    assert_string_equal(info.group, "X25519MLKEM768");
    assert_true(strstr(info.cipher, "256") != NULL || strstr(info.cipher, "CHACHA") != NULL);
    world_works(&world, CLIENT, SERVER);
    world_release(&world);
}

static void test_wrong_alpn(void **state)
{
    (void)state;
    with_trust("");
    world.apps[CLIENT].config.alpn = "other";
    refused(STOQ_CLOSE_TLS);
    assert_int_equal(world.apps[CLIENT].why.code, 0x100 + 120); /* no_application_protocol */
    without();
}

static void bad_server(enum pki_kind kind, const char *name, const char *revoked)
{
    with_trust(revoked);
    stoq_identity_unref(pki.server);
    pki.server = NULL;
    assert_int_equal(pki_identity(&pki, &pki.server, name, kind), 0);
    world.apps[SERVER].config.identity = pki.server;
    refused(STOQ_CLOSE_TLS);
    without();
}

static void test_expired(void **state)
{
    (void)state;
    bad_server(PKI_EXPIRED, "server.test", "");
}

static void test_not_yet_valid(void **state)
{
    (void)state;
    bad_server(PKI_FUTURE, "server.test", "");
}

static void test_unknown_authority(void **state)
{
    (void)state;
    bad_server(PKI_STRANGER, "server.test", "");
}

static void test_wrong_name(void **state)
{
    (void)state;
    bad_server(PKI_GOOD, "elsewhere.test", "");
}

static void test_wrong_purpose(void **state)
{
    (void)state;
    bad_server(PKI_CLIENT, "server.test", "");
}

/* The list is there and names the server's certificate; without an entry it is accepted. */
static void test_revoked(void **state)
{
    struct stoq_error error;

    (void)state;
    for (unsigned revoked = 0; revoked < 2; revoked++) {
        with_trust("");
        stoq_trust_unref(pki.trust);
        pki.trust = NULL;
        pki_revocations(&pki, revoked ? pki_serial(pki.server) : 0);
        assert_int_equal(stoq_trust_new(&pki.trust, pki_bytes(pki.authority_pem),
                                        pki_bytes(pki.revoked_pem), &error),
                         0);
        for (unsigned i = 0; i < 2; i++)
            world.apps[i].config.verify_ctx = pki.trust;
        if (revoked)
            refused(STOQ_CLOSE_TLS);
        else
            world_join(&world);
        without();
    }
}

/* In TLS 1.3 a client has finished before its certificate is refused: it may have been told `connected`. */
static void client_refused(void)
{
    world_start(&world.apps[SERVER]);
    world_start(&world.apps[CLIENT]);
    (void)world_connect(&world, CLIENT, SERVER, (struct stoq_bytes){NULL, 0});
    assert_true(world_until(&world, 30 * SECOND, until_closed, &world.apps[CLIENT]));
    assert_int_equal(world.apps[SERVER].accepted, 0);
    assert_true(world.apps[CLIENT].why.code >= 0x100 && world.apps[CLIENT].why.code <= 0x1ff);
    assert_true(world_count(&world, SERVER, STOQ_COUNT_HANDSHAKES_FAILED) == 1);
    assert_true(world_until(&world, 30 * SECOND, until_alone, &world.apps[SERVER]));
}

static void test_client_without_certificate(void **state)
{
    (void)state;
    with_trust("");
    world.apps[CLIENT].config.identity = NULL;
    client_refused();
    without();
}

static void test_client_without_certificate_allowed(void **state)
{
    (void)state;
    world_init(&world, 1);
    world.apps[CLIENT].config.identity = NULL;
    world.apps[SERVER].config.client_certificates_optional = true;
    world_join(&world);
    assert_int_equal(stoq_conn_peer_leaf(world.apps[SERVER].conn).len, 0);
    world_works(&world, CLIENT, SERVER);
    world_release(&world);
}

static void test_client_of_a_stranger(void **state)
{
    (void)state;
    with_trust("");
    stoq_identity_unref(pki.client);
    pki.client = NULL;
    assert_int_equal(pki_identity(&pki, &pki.client, "client.test", PKI_STRANGER), 0);
    world.apps[CLIENT].config.identity = pki.client;
    client_refused();
    without();
}

static int refuse_accept(void *ctx, struct stoq_conn *conn)
{
    (void)ctx;
    (void)conn;
    return STOQ_EPERM;
}

static void test_accept_refuses(void **state)
{
    (void)state;
    world_init(&world, 1);
    world.apps[SERVER].handlers.accepted = refuse_accept;
    world_start(&world.apps[SERVER]);
    world_start(&world.apps[CLIENT]);
    (void)world_connect(&world, CLIENT, SERVER, (struct stoq_bytes){NULL, 0});
    assert_true(world_until(&world, 5 * SECOND, until_closed, &world.apps[CLIENT]));
    assert_int_equal(world.apps[CLIENT].why.kind, STOQ_CLOSE_PEER_APPLICATION);
    assert_int_equal(world.apps[CLIENT].why.code, STOQ_APP_REFUSED);
    assert_int_equal(world.apps[SERVER].closed, 0); /* it was never taken */
    world_release(&world);
}

static void test_nobody_answers(void **state)
{
    (void)state;
    world_init(&world, 1);
    world_start(&world.apps[CLIENT]);
    (void)world_connect(&world, CLIENT, SERVER, (struct stoq_bytes){NULL, 0});
    assert_true(world_until(&world, 60 * SECOND, until_closed, &world.apps[CLIENT]));
    assert_int_equal(world.apps[CLIENT].why.kind, STOQ_CLOSE_HANDSHAKE_TIMEOUT);
    assert_true(stoq_net_now(world.net) - STOQ_NET_START_NS <
                world.apps[CLIENT].config.handshake_timeout_ns + SECOND);
    world_release(&world);
}

/* A handshake that stops half-way leaves nothing behind in the server. */
static void test_client_vanishes(void **state)
{
    (void)state;
    world_init(&world, 1);
    world_start(&world.apps[SERVER]);
    world_start(&world.apps[CLIENT]);
    (void)world_connect(&world, CLIENT, SERVER, (struct stoq_bytes){NULL, 0});
    (void)world_until(&world, 7 * MS, NULL, NULL);
    assert_int_equal(
        stoq_endpoint_connections(stoq_net_endpoint(world.net, world.apps[SERVER].node)), 1);
    stoq_net_attach(world.net, world.apps[CLIENT].node, NULL);
    assert_true(world_until(&world, 60 * SECOND, until_alone, &world.apps[SERVER]));
    assert_int_equal(world_count(&world, SERVER, STOQ_COUNT_HANDSHAKES_FAILED), 1);
    assert_int_equal(world.apps[SERVER].accepted + world.apps[SERVER].closed, 0);
    world_release(&world);
}

static void test_plain_streams(void **state)
{
    (void)state;
    world_init(&world, 1);
    world.apps[CLIENT].config.stream_tags = false;
    world.apps[SERVER].config.stream_tags = false;
    world.apps[SERVER].answer = 70000;
    world_join(&world);
    world_works(&world, CLIENT, SERVER);
    assert_true(
        world_until(&world, 10 * SECOND, until_fin, world_send(&world.apps[CLIENT], 0, NULL)));
    world_release(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_hybrid_only),
        cmocka_unit_test(test_plain_streams),
        cmocka_unit_test(test_wrong_alpn),
        cmocka_unit_test(test_expired),
        cmocka_unit_test(test_not_yet_valid),
        cmocka_unit_test(test_unknown_authority),
        cmocka_unit_test(test_wrong_name),
        cmocka_unit_test(test_wrong_purpose),
        cmocka_unit_test(test_revoked),
        cmocka_unit_test(test_client_without_certificate),
        cmocka_unit_test(test_client_without_certificate_allowed),
        cmocka_unit_test(test_client_of_a_stranger),
        cmocka_unit_test(test_accept_refuses),
        cmocka_unit_test(test_nobody_answers),
        cmocka_unit_test(test_client_vanishes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
