/* A host's parts by themselves: acts that are posted, sleep, and what happens when the system gives nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host_world.h"
#include "stoq_host.h"

struct line {
    pthread_mutex_t lock; /* held: the worker stands still */
    unsigned ran, wrong;
};

static void stand_still(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns)
{
    struct line *line = arg;

    (void)endpoint;
    (void)now_ns;
    (void)pthread_mutex_lock(&line->lock);
    (void)pthread_mutex_unlock(&line->lock);
}

struct numbered {
    struct line *line;
    unsigned number;
};

static void count_act(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns)
{
    struct numbered *numbered = arg;

    (void)endpoint;
    (void)now_ns;
    numbered->line->wrong += numbered->line->ran != numbered->number;
    numbered->line->ran++;
}

static void test_posts(void **state)
{
    struct stoq_host_config config = host_world_config(identity, true, 2);
    struct stoq_host *host = NULL;
    struct line line = {0};
    struct numbered *all = calloc(STOQ_POSTS_MAX + 1, sizeof(*all));
    unsigned posted = 0;
    int code = 0;

    (void)state;
    (void)pthread_mutex_init(&line.lock, NULL);
    assert_int_equal(stoq_host_open(&host, &config, NULL), 0);
    assert_int_equal(stoq_host_post(host, 2, count_act, all), STOQ_EINVAL);
    assert_int_equal(stoq_host_post(host, 0, NULL, all), STOQ_EINVAL);
    (void)pthread_mutex_lock(&line.lock);
    assert_int_equal(stoq_host_post(host, 1, stand_still, &line), 0);
    host_world_pause(100); /* until it stands; were it later, one post fewer would fit */
    while (posted <= STOQ_POSTS_MAX && code == 0) {
        all[posted] = (struct numbered){&line, posted};
        code = stoq_host_post(host, 1, count_act, &all[posted]);
        posted += code == 0;
    }
    assert_int_equal(code, STOQ_ELIMIT);
    assert_in_range(posted, STOQ_POSTS_MAX - 1, STOQ_POSTS_MAX);
    (void)pthread_mutex_unlock(&line.lock);
    stoq_host_close(host, 0); /* what was taken is done before */
    assert_int_equal(line.ran, posted);
    assert_int_equal(line.wrong, 0);
    (void)pthread_mutex_destroy(&line.lock);
    free(all);
}

static void test_posts_closed(void **state)
{
    struct stoq_posts posts;
    struct stoq_post post = {.act = stand_still}, *list;
    size_t count;
    bool closed;
    uint64_t drain;

    (void)state;
    assert_int_equal(stoq_posts_init(&posts, NULL), 0);
    hm_alloc_fail_at(1);
    assert_int_equal(stoq_posts_add(&posts, &post), STOQ_ENOMEM);
    assert_int_equal(stoq_posts_add(&posts, &post), 0);
    assert_false(stoq_posts_rest(&posts));
    stoq_posts_close(&posts, 77);
    assert_int_equal(stoq_posts_add(&posts, &post), STOQ_ECLOSED);
    assert_true(stoq_posts_take(&posts, &list, &count, &closed, &drain));
    assert_int_equal(count, 1);
    assert_true(closed);
    assert_int_equal(drain, 77);
    hm_free(list);
    assert_true(stoq_posts_rest(&posts));
    assert_false(stoq_posts_take(&posts, &list, &count, &closed, &drain));
    stoq_posts_release(&posts);
}

static void test_waiting(void **state)
{
    int wake[2];
    struct stoq_waiter waiter;

    (void)state;
    assert_int_equal(pipe(wake), 0);
    int udp = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_true(udp >= 0);
    assert_int_equal(stoq_waiter_init(&waiter, udp, wake[0], NULL), 0);
    for (int mode = 0; mode < 2; mode++) {
        if (mode == 1) {
            stoq_waiter_use_timer(&waiter);
            assert_true(waiter.timer_fd >= 0);
        }
        uint64_t start = host_world_now();
        stoq_waiter_wait(&waiter, udp, false, start + 20 * STOQ_NS_PER_MS, start);
        uint64_t took = host_world_now() - start;
        assert_in_range(took, 20 * STOQ_NS_PER_MS, 2 * STOQ_NS_PER_S);
        start = host_world_now(); /* a deadline that has passed */
        stoq_waiter_wait(&waiter, udp, false, start - 5, start);
        stoq_waiter_wait(&waiter, udp, true, STOQ_NEVER, start); /* it can be written to */
        assert_int_equal(write(wake[1], "x", 1), 1);
        stoq_waiter_wait(&waiter, udp, false, STOQ_NEVER, start);
        char byte;
        assert_int_equal(read(wake[0], &byte, 1), 1);
        assert_true(host_world_now() - start < 2 * STOQ_NS_PER_S);
    }
    stoq_waiter_release(&waiter);
    (void)close(udp);
    (void)close(wake[0]);
    (void)close(wake[1]);
}

/* A worker that closes its host would wait for itself. */
static void close_act(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns)
{
    struct stoq_host **host = arg;

    (void)endpoint;
    (void)now_ns;
    stoq_host_close(*host, 0);
}

static void test_close_from_worker(void **state)
{
    struct stoq_host_config config = host_world_config(identity, true, 2);
    struct stoq_host *host = NULL;
    struct line line = {0};
    struct numbered one = {&line, 0};

    (void)state;
    assert_int_equal(stoq_host_open(&host, &config, NULL), 0);
    assert_int_equal(stoq_host_post(host, 1, close_act, &host), 0);
    host_world_pause(100);
    assert_int_equal(stoq_host_post(host, 1, count_act, &one), 0); /* it lives */
    stoq_host_close(host, 0);
    assert_int_equal(line.ran, 1);
}

/* A port that a host has is refused to another, whose workers would take half of its packets. */
static void test_port_taken(void **state)
{
    struct stoq_host_config config = host_world_config(identity, true, 2);
    struct stoq_host *host = NULL, *other = NULL;
    struct stoq_error error = {0};

    (void)state;
    assert_int_equal(stoq_host_open(&host, &config, NULL), 0);
    config.bind.sin6_port = htons(stoq_host_port(host));
    for (unsigned workers = 1; workers <= 3; workers++) {
        config.workers = workers;
        assert_int_equal(stoq_host_open(&other, &config, &error), STOQ_EIO);
        assert_non_null(strstr(error.text, "in use"));
        assert_null(other);
    }
    stoq_host_close(host, 0);
    assert_int_equal(stoq_host_open(&host, &config, NULL), 0); /* free again */
    stoq_host_close(host, 0);
}

/* --- what goes wrong --------------------------------------------------------------------------------------------------- */

static void test_out_of_descriptors(void **state)
{
    struct stoq_host_config config = host_world_config(identity, true, 3);
    size_t before = host_world_descriptors();
    struct rlimit whole, few;
    unsigned failed = 0;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &whole), 0);
    for (rlim_t most = 0; most < 40; most++) {
        struct stoq_host *host = NULL;
        struct stoq_error error = {0};

        few = (struct rlimit){.rlim_cur = most, .rlim_max = whole.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
        int code = stoq_host_open(&host, &config, &error);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &whole), 0);
        if (code == 0) {
            stoq_host_close(host, 0);
        } else {
            failed++;
            assert_int_equal(code, STOQ_EIO);
            assert_null(host);
            assert_non_null(strstr(error.text, "Too many open files"));
        }
        assert_int_equal(host_world_descriptors(), before);
    }
    assert_in_range(failed, 9, 39); /* three workers have nine descriptors */
}

static void test_out_of_memory(void **state)
{
    struct stoq_host_config config = host_world_config(identity, true, 2);
    size_t before = host_world_descriptors();
    int code = -1;

    (void)state;
    config.interface = "lo";
    for (unsigned long nth = 1; code != 0; nth++) {
        struct stoq_host *host = NULL;
        struct stoq_error error = {0};

        assert_true(nth < 2000);
        hm_alloc_fail_at(nth);
        code = stoq_host_open(&host, &config, &error);
        hm_alloc_fail_at(0);
        if (code == 0) {
            stoq_host_close(host, 0);
        } else {
            assert_int_equal(code, STOQ_ENOMEM);
            assert_true(error.text[0] != '\0');
        }
        assert_int_equal(host_world_descriptors(), before);
    }
}

static void test_refused_configuration(void **state)
{
    struct stoq_host_config config = host_world_config(identity, true, 0);
    struct stoq_host *host = NULL;
    struct stoq_error error;

    (void)state;
    assert_int_equal(stoq_host_open(&host, &config, &error), STOQ_EINVAL);
    assert_non_null(strstr(error.text, "workers"));
    config.workers = 1;
    config.endpoint.alpn = NULL;
    assert_int_equal(stoq_host_open(&host, &config, &error), STOQ_EINVAL);
    config.endpoint.alpn = "test";
    config.endpoint.qlog_folder = "/proc/no/such/folder";
    assert_int_equal(stoq_host_open(&host, &config, &error), STOQ_EIO);
    assert_non_null(strstr(error.text, "/proc/no/such/folder"));
    config.endpoint.qlog_folder = NULL;
    config.bind.sin6_addr.s6_addr[0] = 0x20;
    assert_int_equal(stoq_host_open(&host, &config, &error), STOQ_EIO);
    assert_null(host);
    stoq_host_close(NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_posts),
        cmocka_unit_test(test_posts_closed),
        cmocka_unit_test(test_close_from_worker),
        cmocka_unit_test(test_port_taken),
        cmocka_unit_test(test_waiting),
        cmocka_unit_test(test_out_of_descriptors),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_refused_configuration),
    };
    return cmocka_run_group_tests_name("host_parts", tests, host_world_make, host_world_end);
}
