/* Pools: one handshake for many who ask, links made again with their session, the longest unused closed first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>

#include "host_world.h"
#include "stoq_link.h"

#define WAIT_MS 20000
#define ASKERS  8

static struct stoq_caller *open_caller(bool server, struct stoq_identity *own)
{
    struct stoq_host_config config = host_world_config(own, server, 1);
    struct stoq_caller *caller = NULL;
    struct stoq_error error = {0};

    if (stoq_caller_open(&caller, &config, &error) != 0)
        fail_msg("%s", error.text);
    return caller;
}

static struct stoq_pool *open_pool(struct stoq_caller *caller, size_t links_max)
{
    struct stoq_pool *pool = NULL;

    assert_int_equal(stoq_pool_new(&pool, caller, links_max, NULL), 0);
    return pool;
}

static uint64_t counter(struct stoq_caller *caller, enum stoq_counter which)
{
    uint64_t counters[STOQ_COUNTERS];

    stoq_host_counters(stoq_caller_host(caller), counters);
    return counters[which];
}

/* A client's handshake is complete a moment before its server's. */
static void accepted_in_all(struct stoq_caller *server, uint64_t wanted)
{
    for (int i = 0; i < 5000 && counter(server, STOQ_COUNT_ACCEPTED) < wanted; i++)
        host_world_pause(1);
    assert_int_equal(counter(server, STOQ_COUNT_ACCEPTED), wanted);
}

static struct stoq_link *get(struct stoq_pool *pool, struct stoq_caller *server)
{
    struct sockaddr_in6 remote = host_world_at(stoq_caller_host(server));
    struct stoq_error error = {0};
    struct stoq_link *link = NULL;

    if (stoq_pool_get(pool, &remote, "localhost", WAIT_MS, &link, &error) != 0)
        fail_msg("%s", error.text);
    return link;
}

struct asker {
    pthread_t thread;
    pthread_barrier_t *start;
    struct stoq_pool *pool;
    struct sockaddr_in6 remote;
    struct stoq_link *link;
    int code;
};

static void *ask(void *arg)
{
    struct asker *asker = arg;

    (void)pthread_barrier_wait(asker->start);
    asker->code = stoq_pool_get(asker->pool, &asker->remote, "localhost", WAIT_MS, &asker->link,
                                NULL);
    return NULL;
}

static void ask_together(struct asker askers[ASKERS], struct stoq_pool *pool,
                         struct stoq_caller *server)
{
    pthread_barrier_t start;

    (void)pthread_barrier_init(&start, NULL, ASKERS);
    for (int i = 0; i < ASKERS; i++) {
        askers[i] = (struct asker){
            .start = &start, .pool = pool, .remote = host_world_at(stoq_caller_host(server))};
        (void)pthread_create(&askers[i].thread, NULL, ask, &askers[i]);
    }
    for (int i = 0; i < ASKERS; i++)
        (void)pthread_join(askers[i].thread, NULL);
    (void)pthread_barrier_destroy(&start);
}

static void test_one_handshake_for_all(void **state)
{
    struct stoq_caller *server = open_caller(true, identity),
                       *client = open_caller(false, identity);
    struct stoq_pool *pool = open_pool(client, 10);
    struct asker askers[ASKERS];

    (void)state;
    ask_together(askers, pool, server);
    for (int i = 0; i < ASKERS; i++) {
        assert_int_equal(askers[i].code, 0);
        assert_ptr_equal(askers[i].link, askers[0].link);
    }
    accepted_in_all(server, 1);
    for (int i = 0; i < ASKERS; i++)
        stoq_link_release(askers[i].link);
    struct stoq_link *link = get(pool, server); /* the pool holds it still */
    assert_true(stoq_link_alive(link));
    stoq_link_release(link);
    accepted_in_all(server, 1);
    stoq_pool_free(pool);
    stoq_caller_close(client);
    stoq_caller_close(server);
}

static bool has_session(struct stoq_link *link)
{
    (void)pthread_mutex_lock(&link->lock);
    bool has = link->session_len > 0;
    (void)pthread_mutex_unlock(&link->lock);
    return has;
}

static void test_made_again_and_resumed(void **state)
{
    struct stoq_caller *server = open_caller(true, identity),
                       *client = open_caller(false, identity);
    struct stoq_pool *pool = open_pool(client, 10);
    struct stoq_conn_info info;
    struct stoq_link *there, *first = get(pool, server);

    (void)state;
    assert_int_equal(stoq_link_info(first, &info), 0);
    assert_false(info.resumed);
    for (int i = 0; i < 5000 && !has_session(first); i++)
        host_world_pause(1);
    assert_true(has_session(first));
    assert_int_equal(stoq_link_accept(server, WAIT_MS, &there, NULL), 0);
    stoq_link_release(there); /* the server hangs up */
    for (int i = 0; i < 5000 && stoq_link_alive(first); i++)
        host_world_pause(1);
    assert_false(stoq_link_alive(first));
    struct stoq_link *second = get(pool, server);
    assert_ptr_not_equal(first, second);
    assert_int_equal(stoq_link_info(second, &info), 0);
    assert_true(info.resumed);
    stoq_link_release(first);
    stoq_link_release(second);
    stoq_pool_free(pool);
    stoq_caller_close(client);
    stoq_caller_close(server);
}

static void test_longest_unused_goes(void **state)
{
    enum { SERVERS = 3 };
    struct stoq_caller *servers[SERVERS], *client = open_caller(false, identity);
    struct stoq_pool *pool = open_pool(client, 2);
    struct stoq_link *links[SERVERS];

    (void)state;
    for (int i = 0; i < SERVERS; i++)
        servers[i] = open_caller(true, identity);
    links[0] = get(pool, servers[0]);
    links[1] = get(pool, servers[1]);
    stoq_link_release(get(pool, servers[0])); /* 1 is the longest unused now */
    stoq_link_release(links[0]);
    stoq_link_release(links[1]);
    links[2] = get(pool, servers[2]);
    for (int i = 0; i < 5000 && counter(servers[1], STOQ_COUNT_CLOSED) == 0; i++)
        host_world_pause(1);
    assert_int_equal(counter(servers[1], STOQ_COUNT_CLOSED), 1);
    assert_int_equal(counter(servers[0], STOQ_COUNT_CLOSED), 0);
    stoq_link_release(get(pool, servers[0]));
    accepted_in_all(servers[0], 1);
    stoq_link_release(get(pool, servers[1])); /* made again */
    accepted_in_all(servers[1], 2);
    /* What somebody holds lives on when the pool lets it go. */
    assert_true(stoq_link_alive(links[2]));
    stoq_link_release(links[2]);
    stoq_pool_free(pool);
    stoq_caller_close(client);
    for (int i = 0; i < SERVERS; i++)
        stoq_caller_close(servers[i]);
}

static void test_failure_is_shared(void **state)
{
    struct stoq_identity *other = host_world_identity();
    struct stoq_caller *server = open_caller(true, identity), *client = open_caller(false, other);
    struct stoq_pool *pool = open_pool(client, 1);
    struct asker askers[ASKERS];
    struct stoq_link *link = NULL;
    struct sockaddr_in6 remote = host_world_at(stoq_caller_host(server));
    struct stoq_error error;

    (void)state;
    ask_together(askers, pool, server);
    for (int i = 0; i < ASKERS; i++)
        assert_int_equal(askers[i].code, STOQ_EAUTH);
    /* Those that came while it was under way did not try again by themselves. */
    assert_true(counter(client, STOQ_COUNT_HANDSHAKES_FAILED) < ASKERS);
    assert_int_equal(stoq_pool_get(pool, &remote, "localhost", WAIT_MS, &link, &error), STOQ_EAUTH);
    assert_true(error.text[0] != '\0');
    remote.sin6_port = htons(stoq_host_port(stoq_caller_host(client)));
    assert_int_equal(stoq_pool_get(pool, &remote, "localhost", 30, &link, &error), STOQ_ETIMEOUT);
    assert_int_equal(stoq_pool_get(pool, &remote, NULL, 30, &link, &error), STOQ_EINVAL);
    assert_null(link);
    assert_int_equal(stoq_pool_new(&pool, client, 0, &error), STOQ_EINVAL);
    stoq_pool_free(pool);
    stoq_pool_free(NULL);
    stoq_caller_close(client);
    stoq_caller_close(server);
    stoq_identity_unref(other);
}

static void *ask_nobody(void *arg)
{
    struct asker *asker = arg;

    asker->code = stoq_pool_get(asker->pool, &asker->remote, "localhost", 400, &asker->link, NULL);
    return NULL;
}

/* The only place is taken by a handshake that is under way: who asks for another peer waits for it. */
static void test_waits_for_a_place(void **state)
{
    struct stoq_caller *server = open_caller(true, identity),
                       *client = open_caller(false, identity);
    struct stoq_pool *pool = open_pool(client, 1);
    struct sockaddr_in6 remote = host_world_at(stoq_caller_host(server));
    struct asker nobody = {.pool = pool, .remote = host_world_at(stoq_caller_host(client))};
    struct stoq_link *link = NULL;

    (void)state;
    (void)pthread_create(&nobody.thread, NULL, ask_nobody, &nobody);
    host_world_pause(100);
    assert_int_equal(stoq_pool_get(pool, &remote, "localhost", 20, &link, NULL), STOQ_ELIMIT);
    stoq_link_release(get(pool, server)); /* when the other has given up */
    (void)pthread_join(nobody.thread, NULL);
    assert_int_equal(nobody.code, STOQ_ETIMEOUT);
    stoq_pool_free(pool);
    stoq_caller_close(client);
    stoq_caller_close(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_handshake_for_all), cmocka_unit_test(test_made_again_and_resumed),
        cmocka_unit_test(test_longest_unused_goes),   cmocka_unit_test(test_failure_is_shared),
        cmocka_unit_test(test_waits_for_a_place),
    };
    return cmocka_run_group_tests_name("pool", tests, host_world_make, host_world_end);
}
