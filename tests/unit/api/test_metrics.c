/* The Prometheus text: every line well formed, buckets that only grow, sums that are right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <regex.h>

#include "api_test.h"

#define LINE_PATTERN                                                                     \
    "^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\\{[a-z]+=\"[^\"]*\"(,[a-z]+=\"[^\"]*\")*\\})? " \
    "[0-9]+(\\.[0-9]+)?)$"

static void check_lines(const char *text)
{
    regex_t pattern;

    assert_int_equal(regcomp(&pattern, LINE_PATTERN, REG_EXTENDED | REG_NOSUB), 0);
    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        char line[512];

        assert_int_equal(text[len], '\n');
        assert_true(len < sizeof(line));
        memcpy(line, text, len);
        line[len] = '\0';
        if (regexec(&pattern, line, 0, NULL, 0) != 0)
            fail_msg("%s", line);
        text += len + 1;
    }
    regfree(&pattern);
}

/* Value of the line that begins with name and labels. */
static double value_of(const char *text, const char *line)
{
    const char *found = strstr(text, line);

    if (!found)
        fail_msg("no %s", line);
    return strtod(found + strlen(line), NULL);
}

#define BOND(part, rest) \
    "hypermesh_http_request_duration_seconds_" part "{method=\"GET\",route=\"/x\"" rest "} "

static void test_histogram(void **state)
{
    static const struct api_metric_route names[] = {{"GET", "/x"}, {"POST", "/y"}};
    struct api_metrics *metrics = hm_calloc(1, sizeof(*metrics));
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    const char *text;

    (void)state;
    assert_non_null(metrics);
    api_metrics_count(metrics, 0, 200, 50000); /* 50 us */
    api_metrics_count(metrics, 0, 200, 1000000); /* 1 ms: on the bound */
    api_metrics_count(metrics, 0, 404, UINT64_C(60000000000)); /* past the last one */
    api_metrics_count(metrics, 0, 799, 0);
    api_metrics_count(metrics, API_METRIC_NO_ROUTE, 404, 0);
    api_metrics_count(metrics, 12345, 404, 0);
    assert_int_equal(api_metrics_write(metrics, names, 2, &out), 0);
    text = hm_buf_cstr(&out);
    check_lines(text);
    assert_true(value_of(text, BOND("bucket", ",le=\"0.0001\"")) == 2);
    assert_true(value_of(text, BOND("bucket", ",le=\"0.0005\"")) == 2);
    assert_true(value_of(text, BOND("bucket", ",le=\"0.001\"")) == 3);
    assert_true(value_of(text, BOND("bucket", ",le=\"30\"")) == 3);
    assert_true(value_of(text, BOND("bucket", ",le=\"+Inf\"")) == 4);
    assert_true(value_of(text, BOND("count", "")) == 4);
    assert_true(value_of(text, BOND("sum", "")) > 60.00104);
    assert_true(value_of(text, "requests_total{method=\"GET\",route=\"/x\",status=\"200\"} ") == 2);
    assert_true(value_of(text, "requests_total{method=\"GET\",route=\"/x\",status=\"other\"} ") ==
                1);
    assert_true(value_of(text, "requests_total{method=\"any\",route=\"none\",status=\"404\"} ") ==
                2);
    assert_null(strstr(text, "/y")); /* never asked: not shown */
    hm_free(metrics);
}

static void test_endpoint(void **state)
{
    struct api_test *test = *state;

    assert_int_equal(api_test_ask(test, "GET", "/node", NULL, NULL), 200);
    assert_int_equal(api_test_ask(test, "GET", "/nothing", NULL, NULL), 404);
    assert_int_equal(api_test_ask(test, "GET", "/metrics", NULL, NULL), 200);
    assert_string_equal(test->response.content_type, "text/plain; version=0.0.4; charset=utf-8");
    check_lines(api_test_body(test));
    assert_non_null(strstr(api_test_body(test), "fake_height 7\n# HELP hypermesh_cluster"));
    assert_true(value_of(api_test_body(test), "route=\"/node\",status=\"200\"} ") == 1);
}

/* What a fault shows in first. */
static void test_a_cluster(void **state)
{
    struct api_test *test = *state;
    json_t *answer, *cluster, *engine;

    assert_int_equal(api_test_ask(test, "GET", "/metrics", NULL, NULL), 200);
    assert_true(value_of(api_test_body(test), "\nhypermesh_cluster_votes_round ") == 3);
    assert_true(value_of(api_test_body(test), "\nhypermesh_cluster_votes_absent ") == 1);
    assert_true(value_of(api_test_body(test), "\nhypermesh_cluster_votes_nil ") == 1);
    assert_true(value_of(api_test_body(test), "\nhypermesh_cluster_peers ") == 3);
    assert_true(value_of(api_test_body(test), "\nhypermesh_cluster_reachable ") == 1);
    assert_non_null(
        strstr(api_test_body(test), "\nhypermesh_validator_missed_blocks_total{validator=\"hm1"));
    assert_int_equal(api_test_ask(test, "GET", "/node", NULL, NULL), 200);
    answer = api_test_parse(test);
    cluster = json_object_get(answer, "cluster");
    assert_int_equal(json_integer_value(json_object_get(cluster, "round")), 3);
    assert_int_equal(json_integer_value(json_object_get(cluster, "absent")), 1);
    assert_int_equal(json_integer_value(json_object_get(cluster, "nil")), 1);
    json_decref(answer);
    assert_int_equal(api_test_ask(test, "GET", "/blocks/7", NULL, NULL), 200);
    answer = api_test_parse(test);
    engine = json_object_get(answer, "engine");
    assert_string_equal(json_string_value(json_object_get(engine, "absent")), "02");
    assert_string_equal(json_string_value(json_object_get(engine, "nil")), "04");
    json_decref(answer);
    assert_int_equal(api_test_ask(test, "GET", "/blocks/6", NULL, NULL), 200);
    answer = api_test_parse(test);
    assert_true(json_is_null(json_object_get(answer, "engine")));
    json_decref(answer);
}

static void test_one_node_alone(void **state)
{
    struct api_test *test = *state;

    test->fake.ready = false; /* no cluster then */
    assert_int_equal(api_test_ask(test, "GET", "/metrics", NULL, NULL), 200);
    assert_null(strstr(api_test_body(test), "hypermesh_cluster"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_histogram),
        cmocka_unit_test_setup_teardown(test_endpoint, api_test_setup, api_test_teardown),
        cmocka_unit_test_setup_teardown(test_a_cluster, api_test_setup, api_test_teardown),
        cmocka_unit_test_setup_teardown(test_one_node_alone, api_test_setup, api_test_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
