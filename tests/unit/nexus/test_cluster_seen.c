/* What `cluster status` says of time, place and delays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "nexus_cluster.h"

static const char told[] =
    "{\"nodes\":[],\"witness\":{\"height\":53,\"voters\":3,\"power_ppm\":750000,\"nodes\":["
    "{\"node\":\"aa\",\"rtt_us\":601,\"clock_ms\":0,\"doubts\":[]},"
    "{\"node\":\"bb\",\"rtt_us\":12345,\"clock_ms\":-30000,\"doubts\":[\"clock\",\"distance\"]}]},"
    "\"vdf\":{\"index\":2,\"steps\":1048576,\"height\":7,\"linked_height\":35,\"linked_ms\":0}}";

struct place {
    struct hm_arena arena;
    struct nexus_call call;
    json_t *state;
};

static int setup(void **state)
{
    struct place *place = hm_calloc(1, sizeof(*place));

    hm_arena_init(&place->arena, 0);
    place->call.arena = &place->arena;
    place->state = json_loads(told, 0, NULL);
    assert_non_null(place->state);
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    struct place *place = *state;

    json_decref(place->state);
    hm_arena_release(&place->arena);
    hm_free(place);
    return 0;
}

static void test_each_node(void **state)
{
    struct place *place = *state;
    struct nexus_call *call = &place->call;
    const json_t *one = nexus_cluster_seen(place->state, "aa");
    const json_t *two = nexus_cluster_seen(place->state, "bb");

    assert_string_equal(nexus_cluster_rtt(call, one), "0.6 ms");
    assert_string_equal(nexus_cluster_clock(call, one), "+0 ms");
    assert_string_equal(nexus_cluster_doubts(call, one), "");
    assert_string_equal(nexus_cluster_rtt(call, two), "12.3 ms");
    assert_string_equal(nexus_cluster_clock(call, two), "-30000 ms");
    assert_string_equal(nexus_cluster_doubts(call, two),
                        "; its clock is doubted; its distance is doubted");
}

/* Bad ones by the names of this cluster's nodes, where they have one. */
static void test_links(void **state)
{
    struct place *place = *state;
    json_t *nodes = json_object_get(place->state, "nodes");
    json_t *node = json_loads(
        "{\"name\":\"node0\",\"node_id\":\"aa\",\"node\":{\"cluster\":{\"links\":["
        "{\"node\":\"bb\",\"bad\":true},{\"node\":\"cc\",\"bad\":false},"
        "{\"node\":\"dd\",\"bad\":true}]}}}",
        0, NULL);

    assert_non_null(node);
    json_array_append(nodes, node);
    json_array_append_new(nodes, json_pack("{s:s, s:s}", "name", "node1", "node_id", "bb"));
    assert_string_equal(nexus_cluster_links(&place->call, place->state, node),
                        "; bad links to node1, dd");
    assert_string_equal(nexus_cluster_links(&place->call, place->state, json_array_get(nodes, 1)),
                        "");
    json_decref(node);
}

/* One that nobody saw, and a cluster that says nothing yet. */
static void test_nothing_yet(void **state)
{
    struct place *place = *state;
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};

    for (int i = 0; i < 2; i++) {
        assert_null(nexus_cluster_seen(place->state, "cc"));
        json_object_set_new(place->state, "witness", json_null());
        json_object_set_new(place->state, "vdf", json_null());
    }
    assert_string_equal(nexus_cluster_rtt(&place->call, NULL), "-");
    assert_string_equal(nexus_cluster_clock(&place->call, NULL), "-");
    assert_string_equal(nexus_cluster_doubts(&place->call, NULL), "");
    assert_int_equal(nexus_cluster_seen_lines(&place->call, place->state, &out), 0);
    assert_int_equal(out.len, 0);
}

static void test_lines_of_all(void **state)
{
    struct place *place = *state;
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};

    assert_int_equal(nexus_cluster_seen_lines(&place->call, place->state, &out), 0);
    const char *text = hm_buf_cstr(&out);
    assert_non_null(
        strstr(text, "seen by 3 validators with 75 % of the power, told in block 53\n"));
    assert_non_null(
        strstr(text, "chain of delays: link 2 of 1048576 squarings, from block 7, in block 35 ("));
}

/* Where no node runs nobody is asked, and both are null. */
static void test_none_runs(void **state)
{
    struct place *place = *state;
    const struct nexus_cluster cluster = {.count = 1};
    json_t *node = json_pack("{s:s, s:b}", "name", "node0", "running", 0);

    json_array_append_new(json_object_get(place->state, "nodes"), node);
    assert_int_equal(nexus_cluster_put_seen(&place->call, &cluster, place->state), 0);
    assert_true(json_is_null(json_object_get(place->state, "witness")));
    assert_true(json_is_null(json_object_get(place->state, "vdf")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_node, setup, teardown),
        cmocka_unit_test_setup_teardown(test_links, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_yet, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lines_of_all, setup, teardown),
        cmocka_unit_test_setup_teardown(test_none_runs, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
