/* UDP sockets over loopback: trains, both families, marks, steering, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "stoq_udp.h"

#define WAIT_MS 2000

static struct stoq_udp open_on(const char *address, bool ask_local, bool shared)
{
    struct stoq_udp_options options = {.ask_local = ask_local, .shared = shared};
    struct stoq_udp udp;
    struct stoq_error error = {0};

    assert_int_equal(stoq_address_parse(address, 0, &options.bind, NULL), 0);
    if (stoq_udp_open(&udp, &options, &error) != 0)
        fail_msg("%s", error.text);
    return udp;
}

static struct sockaddr_in6 at(const char *address, const struct stoq_udp *udp)
{
    struct sockaddr_in6 out;

    assert_int_equal(stoq_address_parse(address, ntohs(udp->local.sin6_port), &out, NULL), 0);
    return out;
}

static bool readable(const struct stoq_udp *udp, int ms)
{
    struct pollfd poller = {.fd = udp->fd, .events = POLLIN};

    return poll(&poller, 1, ms) == 1;
}

/* Sends one train whole. */
static void send_train(struct stoq_udp *udp, const struct sockaddr_in6 *to, const uint8_t *data,
                       size_t len, size_t segment, uint8_t ecn)
{
    struct stoq_parcel parcel = {
        .train = {.path.remote = *to, .len = len, .segment = segment, .ecn = ecn}, .data = data};
    enum stoq_udp_state state;

    assert_int_equal(stoq_udp_send(udp, &parcel, 1, &state), 1);
    assert_int_equal(state, STOQ_UDP_READY);
    assert_int_equal(parcel.train.len, 0);
}

struct got {
    size_t bytes, datagrams, messages;
    struct stoq_packet last;
};

/* Takes len bytes of the pattern, in datagrams of segment bytes but the last of each train. */
static struct got take(struct stoq_udp *udp, const uint8_t *pattern, size_t len, size_t segment)
{
    struct stoq_packet packets[STOQ_UDP_BATCH];
    struct got got = {0};

    while (got.bytes < len && readable(udp, WAIT_MS)) {
        size_t count = stoq_udp_receive(udp, packets);

        for (size_t i = 0; i < count; i++) {
            assert_true(packets[i].segment > 0 && packets[i].segment <= packets[i].len);
            assert_true(packets[i].segment == segment || packets[i].segment == packets[i].len);
            assert_memory_equal(packets[i].data, pattern + got.bytes, packets[i].len);
            got.bytes += packets[i].len;
            got.datagrams += (packets[i].len + packets[i].segment - 1) / packets[i].segment;
            got.messages++;
            got.last = packets[i];
        }
    }
    assert_int_equal(got.bytes, len);
    return got;
}

static uint8_t pattern[300000];

static int make_pattern(void **state)
{
    struct hm_random_seeded seeded;
    struct hm_random source = hm_random_seeded_source(&seeded, 3);

    (void)state;
    return source.fill(source.ctx, pattern, sizeof(pattern));
}

static void test_trains(void **state)
{
    static const size_t segments[] = {1, 7, 333, 1200, 1452, 9000, 65487};
    struct stoq_udp a = open_on("[::1]:0", false, false), b = open_on("[::1]:0", false, false);
    struct sockaddr_in6 to = at("::1", &b);

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(segments); i++) {
        /* Longer than one message and one system call may be, where the segments are small. */
        size_t len = segments[i] < 100 ? segments[i] * 150 : 65487;

        send_train(&a, &to, pattern, len, segments[i], 0);
        struct got got = take(&b, pattern, len, segments[i]);
        assert_int_equal(got.datagrams, (len + segments[i] - 1) / segments[i]);
        assert_memory_equal(&got.last.path.remote.sin6_addr, &a.local.sin6_addr, 16);
        assert_int_equal(got.last.path.remote.sin6_port, a.local.sin6_port);
        assert_memory_equal(&got.last.path.local, &b.local, sizeof(b.local));
    }
    stoq_udp_close(&a);
    stoq_udp_close(&b);
    stoq_udp_close(&b); /* twice is once */
}

/* The same bytes arrive when the kernel does not cut trains. */
static void test_without_gso(void **state)
{
    struct stoq_udp a = open_on("[::1]:0", false, false), b = open_on("[::1]:0", false, false);
    struct sockaddr_in6 to = at("::1", &b);

    (void)state;
    a.gso = false;
    send_train(&a, &to, pattern, 65000, 1452, 0);
    struct got got = take(&b, pattern, 65000, 1452);
    assert_int_equal(got.datagrams, 45);
    stoq_udp_close(&a);
    stoq_udp_close(&b);
}

/* A train that the kernel refuses to cut goes one by one, and a datagram that fits nowhere is lost without a fuss. */
static void test_refused(void **state)
{
    struct stoq_udp a = open_on("[::1]:0", false, false), b = open_on("[::1]:0", false, false);
    struct sockaddr_in6 to = at("::1", &b), nowhere;
    struct stoq_parcel parcels[3];
    enum stoq_udp_state udp_state;

    (void)state;
    assert_int_equal(stoq_address_parse("[2001:db8::1]:9", 0, &nowhere, NULL), 0);
    parcels[0] = (struct stoq_parcel){.train = {.path.remote = to, .len = 66000, .segment = 66000},
                                      .data = pattern};
    parcels[1] = (struct stoq_parcel){
        .train = {.path.remote = nowhere, .len = 3000, .segment = 1500}, .data = pattern};
    parcels[2] = (struct stoq_parcel){.train = {.path.remote = to, .len = 3000, .segment = 1500},
                                      .data = pattern};
    assert_int_equal(stoq_udp_send(&a, parcels, 3, &udp_state), 3);
    assert_int_equal(udp_state, STOQ_UDP_READY);
    (void)take(&b, pattern, 3000, 1500);
    parcels[2] = (struct stoq_parcel){.train = {.path.remote = to, .len = 3000, .segment = 1500},
                                      .data = pattern,
                                      .single = true};
    assert_int_equal(stoq_udp_send(&a, parcels + 2, 1, &udp_state), 1);
    (void)take(&b, pattern, 3000, 1500);
    stoq_udp_close(&a);
    stoq_udp_close(&b);
}

/* Trains from an address that is not ours fail whole and singly: that says nothing of cutting trains. Trains that leave
 * only singly are given up in the end. */
static void test_refusals_counted(void **state)
{
    struct stoq_udp a = open_on("[::]:0", true, false), b = open_on("[::1]:0", false, false);
    struct sockaddr_in6 to = at("::1", &b);
    enum stoq_udp_state udp_state;

    (void)state;
    for (int i = 0; i < 40; i++) {
        struct stoq_parcel parcel = {.train = {.path.remote = to, .len = 3000, .segment = 1000},
                                     .data = pattern};

        parcel.train.path.local.sin6_addr.s6_addr[0] = 0x20;
        assert_int_equal(stoq_udp_send(&a, &parcel, 1, &udp_state), 1);
    }
    assert_true(a.gso);
    for (int i = 0; i < STOQ_UDP_GSO_REFUSALS_MAX; i++) {
        struct stoq_parcel parcel = {.train = {.path.remote = to, .len = 3000, .segment = 1000},
                                     .data = pattern};

        assert_true(a.gso);
        parcel.single = true; /* as after a refusal */
        assert_int_equal(stoq_udp_send(&a, &parcel, 1, &udp_state), 1);
        (void)take(&b, pattern, 3000, 1000);
    }
    assert_false(a.gso);
    stoq_udp_close(&a);
    stoq_udp_close(&b);
}

/* A socket of both families on the wildcard address learns where packets were sent to, and answers from there. */
static void both_families(const char *address, uint8_t ecn)
{
    struct stoq_udp server = open_on("[::]:0", true, false);
    struct stoq_udp client = open_on("[::]:0", false, false);
    struct sockaddr_in6 to = at(address, &server);
    char text[STOQ_ADDRESS_TEXT_BYTES], expected[STOQ_ADDRESS_TEXT_BYTES];
    enum stoq_udp_state state;

    send_train(&client, &to, pattern, 2000, 1000, ecn);
    struct got got = take(&server, pattern, 2000, 1000);
    assert_int_equal(got.last.ecn, ecn);
    stoq_address_text(&to, expected);
    stoq_address_text(&got.last.path.local, text);
    assert_string_equal(text, expected);
    struct stoq_parcel answer = {
        .train = {.path = got.last.path, .len = 500, .segment = 500, .ecn = ecn}, .data = pattern};
    assert_int_equal(stoq_udp_send(&server, &answer, 1, &state), 1);
    got = take(&client, pattern, 500, 500);
    stoq_address_text(&got.last.path.remote, text);
    assert_string_equal(text, expected);
    assert_int_equal(got.last.ecn, ecn);
    stoq_udp_close(&server);
    stoq_udp_close(&client);
}

static void test_both_families(void **state)
{
    (void)state;
    both_families("::1", 0);
    both_families("::1", 2);
    both_families("127.0.0.1", 1);
    both_families("127.0.0.5", 3); /* not the address the kernel would answer from */
}

static void test_full_buffer(void **state)
{
    struct stoq_udp_options options = {.buffer = 5000};
    struct stoq_udp a, b = open_on("[::1]:0", false, false);
    struct sockaddr_in6 to = at("::1", &b);
    struct stoq_parcel parcels[400];
    enum stoq_udp_state udp_state;

    (void)state;
    options.bind.sin6_addr = in6addr_loopback;
    assert_int_equal(stoq_udp_open(&a, &options, NULL), 0);
    /* Nobody reads b: loopback's packets stay charged to the sender until its buffer is full. */
    for (size_t i = 0; i < HM_COUNT_OF(parcels); i++)
        parcels[i] = (struct stoq_parcel){
            .train = {.path.remote = to, .len = 65000, .segment = 65000}, .data = pattern};
    size_t done = stoq_udp_send(&a, parcels, HM_COUNT_OF(parcels), &udp_state);
    if (done < HM_COUNT_OF(parcels)) { /* a kernel may drop at the receiver instead */
        assert_int_equal(udp_state, STOQ_UDP_FULL);
        assert_int_equal(parcels[done].train.len, 65000);
    }
    stoq_udp_close(&a);
    stoq_udp_close(&b);
}

/* Which of the sockets gets a packet is up to its connection id alone. */
static void test_steering(void **state)
{
    enum { SOCKETS = 3 };
    struct stoq_udp group[SOCKETS], client = open_on("[::1]:0", false, false);
    struct stoq_error error;
    char address[32];

    (void)state;
    group[0] = open_on("[::1]:0", false, true);
    assert_int_equal(
        snprintf(address, sizeof(address), "[::1]:%u", ntohs(group[0].local.sin6_port)) > 0, 1);
    for (size_t i = 1; i < SOCKETS; i++)
        group[i] = open_on(address, false, true);
    assert_int_equal(stoq_udp_steer(&group[2], 0, &error), STOQ_EINVAL);
    assert_int_equal(stoq_udp_steer(&group[2], SOCKETS, &error), 0);
    struct sockaddr_in6 to = at("::1", &group[0]);
    for (unsigned i = 0; i < 256; i++) {
        uint8_t packet[1200] = {0};
        struct stoq_packet got[STOQ_UDP_BATCH];
        bool is_long = i % 2 == 0;

        packet[0] = is_long ? 0xc3 : 0x43;
        packet[1] = is_long ? 7 : (uint8_t)i;
        packet[6] = is_long ? (uint8_t)i : 9;
        send_train(&client, &to, packet, sizeof(packet), sizeof(packet), 0);
        assert_true(readable(&group[i % SOCKETS], WAIT_MS));
        assert_int_equal(stoq_udp_receive(&group[i % SOCKETS], got), 1);
        assert_memory_equal(got[0].data, packet, sizeof(packet));
    }
    uint8_t tiny = 0xc0; /* too short for an id: the first socket, not a random one */
    for (int i = 0; i < 8; i++)
        send_train(&client, &to, &tiny, 1, 1, 0);
    assert_true(readable(&group[0], WAIT_MS));
    assert_false(readable(&group[1], 0) || readable(&group[2], 0));
    for (size_t i = 0; i < SOCKETS; i++)
        stoq_udp_close(&group[i]);
    stoq_udp_close(&client);
}

static void test_refused_options(void **state)
{
    struct stoq_udp_options options = {.interface = "no-such-if0"};
    struct stoq_udp udp = {.fd = -7};
    struct stoq_error error;

    (void)state;
    assert_int_equal(stoq_udp_open(&udp, &options, &error), STOQ_EIO);
    assert_non_null(strstr(error.text, "no-such-if0"));
    options.interface = "a-name-that-is-too-long-for-an-interface";
    assert_int_equal(stoq_udp_open(&udp, &options, &error), STOQ_EINVAL);
    options.interface = NULL;
    assert_int_equal(stoq_address_parse("[2001:db8::1]:4433", 0, &options.bind, NULL), 0);
    assert_int_equal(stoq_udp_open(&udp, &options, &error), STOQ_EIO);
    assert_non_null(strstr(error.text, "[2001:db8::1]:4433"));
    hm_alloc_fail_at(1);
    assert_int_equal(stoq_udp_open(&udp, &options, &error), STOQ_ENOMEM);
    hm_alloc_fail_at(0);
    assert_int_equal(udp.fd, -7);
}

static void test_no_descriptors(void **state)
{
    struct stoq_udp_options options = {0};
    struct rlimit before, none;
    struct stoq_udp udp;
    struct stoq_error error;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int code = stoq_udp_open(&udp, &options, &error);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(code, STOQ_EIO);
    assert_non_null(strstr(error.text, "Too many open files"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trains),         cmocka_unit_test(test_without_gso),
        cmocka_unit_test(test_refused),        cmocka_unit_test(test_refusals_counted),
        cmocka_unit_test(test_both_families),  cmocka_unit_test(test_full_buffer),
        cmocka_unit_test(test_steering),       cmocka_unit_test(test_refused_options),
        cmocka_unit_test(test_no_descriptors),
    };
    return cmocka_run_group_tests_name("udp", tests, make_pattern, NULL);
}
