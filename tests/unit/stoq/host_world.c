#include "host_world.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>
#include <cmocka.h>

struct stoq_identity *identity;

struct stoq_identity *host_world_identity(void)
{
    struct stoq_identity *made = NULL;
    struct stoq_error error = {0};

    if (stoq_identity_self_signed(&made, "localhost", hm_wall_ms(hm_clock_system()) / 1000, 2,
                                  &error) != 0)
        fail_msg("%s", error.text);
    return made;
}

int host_world_make(void **state)
{
    (void)state;
    identity = host_world_identity();
    return 0;
}

int host_world_end(void **state)
{
    (void)state;
    stoq_identity_unref(identity);
    return 0;
}

struct stoq_host_config host_world_config(struct stoq_identity *own, bool server, unsigned workers)
{
    struct stoq_host_config config;

    stoq_host_config_default(&config);
    config.endpoint.identity = own;
    config.endpoint.verify = stoq_verify_same;
    config.endpoint.verify_ctx = own;
    config.endpoint.server = server;
    config.endpoint.alpn = "test";
    config.endpoint.idle_timeout_ns = 10 * STOQ_NS_PER_S;
    config.bind.sin6_addr = in6addr_loopback;
    config.workers = workers;
    return config;
}

struct sockaddr_in6 host_world_at(const struct stoq_host *host)
{
    return (struct sockaddr_in6){.sin6_family = AF_INET6,
                                 .sin6_addr = in6addr_loopback,
                                 .sin6_port = htons(stoq_host_port(host))};
}

size_t host_world_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    size_t count = 0;

    assert_non_null(folder);
    while (readdir(folder) != NULL)
        count++;
    (void)closedir(folder);
    return count;
}

void host_world_fill(uint8_t *out, size_t len, uint64_t seed)
{
    struct hm_random_seeded seeded;
    struct hm_random source = hm_random_seeded_source(&seeded, seed);

    assert_int_equal(source.fill(source.ctx, out, len), 0);
}

uint64_t host_world_now(void)
{
    return hm_mono_ns(hm_clock_system());
}

void host_world_pause(unsigned ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    (void)nanosleep(&pause, NULL);
}
