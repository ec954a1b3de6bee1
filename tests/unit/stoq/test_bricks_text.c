/* Configuration, addresses and counters as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdlib.h>

#include "stoq_config.h"

static int trust_nobody(void *ctx, const struct stoq_peer *peer, uint8_t *alert,
                        struct stoq_error *error)
{
    (void)ctx;
    (void)peer;
    (void)alert;
    return stoq_fail(error, STOQ_EAUTH, "nobody is trusted");
}

static struct stoq_config sound(void)
{
    struct stoq_config config;

    stoq_config_default(&config);
    config.verify = trust_nobody;
    config.alpn = "test";
    return config;
}

/* Refused, and the sentence names the field. */
static void refused(const struct stoq_config *config, const char *field)
{
    struct stoq_error error = {0};

    assert_int_equal(stoq_config_check(config, &error), STOQ_EINVAL);
    assert_int_equal(error.code, STOQ_EINVAL);
    assert_non_null(strstr(error.text, field));
    assert_int_equal(stoq_config_check(config, NULL), STOQ_EINVAL);
}

#define REFUSED(field, wrong)              \
    do {                                   \
        struct stoq_config bad_ = sound(); \
        bad_.field = (wrong);              \
        refused(&bad_, #field);            \
    } while (0)

static void test_config_fields(void **state)
{
    struct stoq_config config = sound();
    char long_name[STOQ_ALPN_BYTES_MAX + 2];

    (void)state;
    assert_int_equal(stoq_config_check(&config, NULL), 0);
    assert_true(config.stream_tags);
    assert_int_equal(config.udp_payload, 1452);
    assert_int_equal(config.udp_payload_max, 65487);
    memset(long_name, 'a', sizeof(long_name));
    long_name[sizeof(long_name) - 1] = '\0';
    REFUSED(verify, NULL);
    REFUSED(alpn, NULL);
    REFUSED(alpn, "");
    REFUSED(alpn, long_name);
    REFUSED(groups, (enum stoq_groups)2);
    REFUSED(ciphers, (enum stoq_ciphers)2);
    REFUSED(congestion, (enum stoq_congestion)3);
    REFUSED(rate, (enum stoq_rate)6);
    REFUSED(udp_payload, 1199);
    REFUSED(udp_payload_max, 1451);
    REFUSED(udp_payload_max, 65488);
    REFUSED(idle_timeout_ns, UINT64_MAX);
    REFUSED(handshake_timeout_ns, 0);
    REFUSED(connections_max, 0);
    REFUSED(connections_max, STOQ_CONNECTIONS_MAX + 1);
    REFUSED(stream_window, 0);
    REFUSED(connection_window, UINT64_MAX);
    REFUSED(send_queue, 0);
    REFUSED(datagram_queue, 1);
    REFUSED(datagram_max, 65536);
    REFUSED(worker_count, 65);
    REFUSED(worker_count, 0);
    REFUSED(worker_index, 1);
    REFUSED(qlog_folder, "");
    config.server = true;
    refused(&config, "identity");
    config.server = false;
    config.rate = STOQ_RATE_CUSTOM;
    refused(&config, "rate_bits");
    config.rate_bits = STOQ_RATE_BITS_MIN;
    assert_int_equal(stoq_config_check(&config, NULL), 0);
    config.rate_bits = STOQ_RATE_BITS_MAX + 1;
    refused(&config, "rate_bits");
}

static void test_rate_tiers(void **state)
{
    uint64_t bits = 7;

    (void)state;
    assert_int_equal(stoq_rate_bits((enum stoq_rate)9, 0, &bits), STOQ_EINVAL);
    assert_int_equal(bits, 7);
    assert_int_equal(stoq_rate_bits(STOQ_RATE_100M, 0, &bits), 0);
    assert_int_equal(bits, 100000000);
    assert_int_equal(stoq_rate_bits(STOQ_RATE_1G, 0, &bits), 0);
    assert_int_equal(bits, 1000000000);
    assert_int_equal(stoq_rate_bits(STOQ_RATE_2500M, 0, &bits), 0);
    assert_int_equal(bits, 2500000000ULL);
    assert_int_equal(stoq_rate_bits(STOQ_RATE_CUSTOM, 64001, &bits), 0);
    assert_int_equal(bits, 64001);
    assert_int_equal(stoq_rate_bits(STOQ_RATE_UNLIMITED, 5, &bits), 0);
    assert_int_equal(bits, 0);
}

static void test_address_both_ways(void **state)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"[::1]:4433", "[::1]:4433"},
        {"[::1]", "[::1]:99"},
        {"::1", "[::1]:99"},
        {"::", "[::]:99"},
        {"10.0.0.1:4433", "10.0.0.1:4433"},
        {"10.0.0.1", "10.0.0.1:99"},
        {"[::ffff:10.0.0.1]:1", "10.0.0.1:1"},
        {"2001:db8::1:2", "[2001:db8::1:2]:99"},
        {"[fe80::1%3]:0", "[fe80::1%3]:0"},
        {"127.0.0.1:65535", "127.0.0.1:65535"},
    };

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(rows); i++) {
        struct sockaddr_in6 address;
        char text[STOQ_ADDRESS_TEXT_BYTES];

        assert_int_equal(stoq_address_parse(rows[i].in, 99, &address, NULL), 0);
        assert_int_equal(address.sin6_family, AF_INET6);
        stoq_address_text(&address, text);
        assert_string_equal(text, rows[i].out);
    }
}

static void test_address_refused(void **state)
{
    static const char *const rows[] = {
        "",
        ":",
        "[::1",
        "[::1]x",
        "[::1]:",
        "[::1]:65536",
        "[::1]:-1",
        "[::1]:1x",
        "10.0.0.1:",
        "10.0.0",
        "host.example:1",
        "[10.0.0.1]:1",
        "1.2.3.4.5",
        "::1%",
        "[::1%]:1",
        "[::1%0]:1",
        "[::1%no-such0]",
        "[]:1",
        "10.0.0.1%1",
        "[::1]: 4433",
        " ::1",
        "4433",
        "1111111111111111111111111111111111111111111111111111111111111111111111111111111111111111",
    };
    struct sockaddr_in6 address = {.sin6_port = 5};
    struct stoq_error error;

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(rows); i++) {
        assert_int_equal(stoq_address_parse(rows[i], 99, &address, &error), STOQ_EPARSE);
        assert_int_equal(address.sin6_port, 5);
    }
    assert_int_equal(stoq_address_parse(NULL, 99, &address, &error), STOQ_EPARSE);
    assert_int_equal(stoq_address_parse("a\nb", 99, &address, &error), STOQ_EPARSE);
    assert_null(strchr(error.text, '\n'));
}

static void test_counters_text(void **state)
{
    uint64_t one[STOQ_COUNTERS] = {0}, two[STOQ_COUNTERS] = {0};
    struct stoq_counters_row rows[] = {{one, "worker=\"0\""}, {two, "worker=\"1\""}};

    (void)state;
    one[STOQ_COUNT_PACKETS_SENT] = UINT64_MAX;
    two[STOQ_COUNT_PACKETS_SENT] = 3;
    size_t len = stoq_counters_text(one, "", NULL, 0);
    char *text = malloc(len + 1);
    assert_int_equal(stoq_counters_text(one, "", text, len + 1), len);
    assert_int_equal(strlen(text), len);
    assert_non_null(strstr(text, "\nstoq_packets_sent_total 18446744073709551615\n"));
    for (size_t capacity = 1; capacity <= len; capacity += 97) { /* cut, never over the end */
        char *cut = malloc(capacity);

        assert_int_equal(stoq_counters_text(one, NULL, cut, capacity), len);
        assert_int_equal(strlen(cut), capacity - 1);
        assert_memory_equal(cut, text, capacity - 1);
        free(cut);
    }
    free(text);
    len = stoq_counters_text_rows(rows, 2, NULL, 0);
    text = malloc(len + 1);
    assert_int_equal(stoq_counters_text_rows(rows, 2, text, len + 1), len);
    assert_non_null(strstr(text, "# TYPE stoq_packets_sent_total counter\n"
                                 "stoq_packets_sent_total{worker=\"0\"} 18446744073709551615\n"
                                 "stoq_packets_sent_total{worker=\"1\"} 3\n# HELP"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_fields),     cmocka_unit_test(test_rate_tiers),
        cmocka_unit_test(test_address_both_ways), cmocka_unit_test(test_address_refused),
        cmocka_unit_test(test_counters_text),
    };
    return cmocka_run_group_tests_name("bricks_text", tests, NULL, NULL);
}
