/* The file that says how a cluster's nodes are started: what was saved is loaded, and what another put there is not
 * believed: names become paths that are removed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "nexus_cluster.h"

struct place {
    char folder[64];
    struct hm_arena arena;
    struct nexus_line line;
    struct nexus_call call;
    struct nexus_cluster cluster;
};

static int setup(void **state)
{
    struct place *place = hm_calloc(1, sizeof(*place));

    memcpy(place->folder, "/tmp/hm-nexus-XXXXXX", sizeof("/tmp/hm-nexus-XXXXXX"));
    assert_non_null(mkdtemp(place->folder));
    hm_arena_init(&place->arena, 0);
    place->call = (struct nexus_call){
        .grammar = nexus_grammar(), .line = &place->line, .arena = &place->arena};
    place->call.place.data_dir = place->folder;
    place->cluster = (struct nexus_cluster){.folder = place->folder,
                                            .id = "0a0b0c0d",
                                            .chain_id = "local-1",
                                            .bridge = "",
                                            .engine_path = "/x/cometbft",
                                            .plot = "1M",
                                            .runtime = "",
                                            .log_level = "",
                                            .count = 2};
    place->cluster.nodes[0] = (struct nexus_cluster_node){.name = "node0",
                                                          .node_id = "aa",
                                                          .validator = "bb",
                                                          .account = "cc",
                                                          .user = "c0",
                                                          .p2p = "127.0.0.1:1",
                                                          .metrics = "127.0.0.1:2",
                                                          .netns = ""};
    place->cluster.nodes[1] = (struct nexus_cluster_node){.name = "node1",
                                                          .node_id = "dd",
                                                          .validator = "ee",
                                                          .account = "ff",
                                                          .user = "f0",
                                                          .p2p = "127.0.0.1:3",
                                                          .metrics = "127.0.0.1:4",
                                                          .netns = ""};
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    struct place *place = *state;

    assert_int_equal(hm_remove_tree(place->folder, NULL), 0);
    hm_arena_release(&place->arena);
    hm_free(place);
    return 0;
}

static void test_saved_is_loaded(void **state)
{
    struct place *place = *state;
    struct nexus_cluster back;

    assert_int_equal(nexus_cluster_load(&place->call, &back), HM_ENOTFOUND);
    assert_int_equal(nexus_cluster_save(&place->call, &place->cluster), 0);
    assert_int_equal(nexus_cluster_load(&place->call, &back), 0);
    assert_int_equal(back.count, 2);
    assert_string_equal(back.chain_id, "local-1");
    assert_string_equal(back.engine_path, "/x/cometbft");
    assert_string_equal(back.nodes[1].node_id, "dd");
    assert_string_equal(back.nodes[1].p2p, "127.0.0.1:3");
    assert_non_null(strstr(back.nodes[1].data, "/node1"));
}

/* Saves, changes the text, loads. */
static void expect_refused(struct place *place, const char *from, const char *to, const char *words)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/cluster.json", place->folder);
    HM_CLEANUP(hm_buf) struct hm_buf text = {0}, changed = {0};
    struct nexus_cluster back;
    char *at;

    assert_int_equal(nexus_cluster_save(&place->call, &place->cluster), 0);
    assert_int_equal(hm_file_read(path, 65536, &text, NULL), 0);
    at = strstr(hm_buf_cstr(&text), from);
    assert_non_null(at);
    hm_buf_printf(&changed, "%.*s%s%s", (int)(at - (char *)text.data), (char *)text.data, to,
                  at + strlen(from));
    assert_int_equal(hm_file_replace(path, changed.data, changed.len, 0600, NULL), 0);
    assert_int_equal(nexus_cluster_load(&place->call, &back), HM_EPARSE);
    if (strstr(place->call.error.text, words) == NULL)
        fail_msg("'%s' is not in: %s", words, place->call.error.text);
}

static void test_others_are_not_believed(void **state)
{
    struct place *place = *state;

    expect_refused(place, "\"node1\"", "\"../../etc\"", "entry 1 has no name of its own");
    expect_refused(place, "\"node1\"", "\"node0\"", "entry 1 has no name of its own");
    expect_refused(place, "\"node1\"", "\"node01\"", "entry 1 has no name of its own");
    expect_refused(place, "\"node1\"", "\"node10000\"", "entry 1 has no name of its own");
    expect_refused(place, "\"dd\"", "7", "does not say node_id");
    expect_refused(place, "\"version\": 1", "\"version\": 2", "not one of this version's");
    expect_refused(place, "\"nodes\": [", "\"nodes\": [], \"others\": [", "0 nodes");
    expect_refused(place, "{", "", "not one of this version's");
}

/* One that was a single node lies in the cluster's own folder, and is started with the words it had. */
static void test_one_may_lie_in_the_folder_itself(void **state)
{
    static const char *const words[] = {"--listen", "127.0.0.1:7470", "--plot", "64K"};
    struct place *place = *state;
    struct nexus_cluster back;
    const char *argv[32];
    size_t count = 0;

    assert_int_equal(nexus_cluster_look(&place->call, &back), 0);
    assert_int_equal(back.count, 0);
    place->cluster.nodes[0].place = NEXUS_CLUSTER_HERE;
    place->cluster.nodes[0].words = words;
    place->cluster.nodes[0].word_count = HM_COUNT_OF(words);
    place->cluster.begins = NEXUS_CLUSTER_BEGINS_SNAPSHOT;
    assert_int_equal(nexus_cluster_save(&place->call, &place->cluster), 0);
    assert_int_equal(nexus_cluster_look(&place->call, &back), 0);
    assert_int_equal(nexus_cluster_here(&back), 0);
    assert_string_equal(back.nodes[0].data, place->folder);
    assert_non_null(strstr(back.nodes[1].data, "/node1"));
    assert_string_equal(back.begins, NEXUS_CLUSTER_BEGINS_SNAPSHOT);
    assert_int_equal(back.nodes[0].word_count, HM_COUNT_OF(words));
    for (size_t i = 0; i < HM_COUNT_OF(words); i++)
        assert_string_equal(back.nodes[0].words[i], words[i]);
    assert_int_equal(back.nodes[1].word_count, 0);
    /* What makes a daemon its node. */
    assert_int_equal(nexus_cluster_words(&place->call, &back, 0, argv, HM_COUNT_OF(argv), &count),
                     0);
    assert_null(argv[count]);
    assert_string_equal(argv[0], "--engine");
    assert_string_equal(argv[count - 2], "--p2p-peer");
    assert_string_equal(argv[count - 1], "dd@127.0.0.1:3");
    count = 30;
    assert_int_equal(nexus_cluster_words(&place->call, &back, 0, argv, HM_COUNT_OF(argv), &count),
                     HM_ELIMIT);
    /* It holds the others: it is not removed alone. */
    assert_int_equal(nexus_cluster_shrink(&place->call, &back, 0), HM_ECONFLICT);
    assert_int_equal(access(place->folder, F_OK), 0);
    expect_refused(place, "\"place\": \".\"", "\"place\": \"..\"", "has a place that no node has");
    place->cluster.nodes[1].place = NEXUS_CLUSTER_HERE;
    expect_refused(place, "\"dd\"", "\"dd\"", "node1 has a place that no node has");
}

static void test_places_are_apart(void **state)
{
    struct place *place = *state;

    assert_int_equal(nexus_cluster_net_plan(&place->call, false, &place->cluster), 0);
    assert_string_not_equal(place->cluster.nodes[0].p2p, place->cluster.nodes[0].metrics);
    assert_string_not_equal(place->cluster.nodes[0].p2p, place->cluster.nodes[1].p2p);
    assert_string_equal(place->cluster.nodes[0].netns, "");
    assert_int_equal(nexus_cluster_net_plan(&place->call, true, &place->cluster), 0);
    assert_string_equal(place->cluster.bridge, "hm-0a0b0c0d");
    assert_string_equal(place->cluster.nodes[1].netns, "hm-0a0b0c0d-1");
    assert_string_equal(place->cluster.nodes[1].p2p, "10.10.11.2:26656");
}

/* node1 has left, so the third is the second in the list: its place is its own all the same. */
static void test_the_last_gets_a_place_beside_the_others(void **state)
{
    struct place *place = *state;

    place->cluster.nodes[1].name = "node7";
    place->cluster.bridge = "hm-0a0b0c0d";
    assert_int_equal(nexus_cluster_net_plan_last(&place->call, &place->cluster), 0);
    assert_string_equal(place->cluster.nodes[0].p2p, "127.0.0.1:1");
    assert_string_equal(place->cluster.nodes[1].p2p, "10.10.11.8:26656");
    assert_string_equal(place->cluster.nodes[1].netns, "hm-0a0b0c0d-7");
    place->cluster.nodes[1].name = "node250";
    assert_int_equal(nexus_cluster_net_plan_last(&place->call, &place->cluster), HM_ELIMIT);
}

static void test_one_leaves(void **state)
{
    struct place *place = *state;
    struct nexus_cluster back;

    place->cluster.nodes[0].data = hm_arena_printf(&place->arena, "%s/node0", place->folder);
    place->cluster.nodes[1].data = hm_arena_printf(&place->arena, "%s/node1", place->folder);
    assert_int_equal(hm_mkdir_all(place->cluster.nodes[0].data, 0700, NULL), 0);
    assert_int_equal(hm_mkdir_all(place->cluster.nodes[1].data, 0700, NULL), 0);
    assert_int_equal(nexus_cluster_shrink(&place->call, &place->cluster, 0), 0);
    assert_int_equal(nexus_cluster_load(&place->call, &back), 0);
    assert_int_equal(back.count, 1);
    assert_string_equal(back.nodes[0].name, "node1");
    assert_int_equal(access(hm_arena_printf(&place->arena, "%s/node0", place->folder), F_OK), -1);
    assert_int_equal(access(back.nodes[0].data, F_OK), 0);
}

static void test_nodes_are_chosen_by_name(void **state)
{
    struct place *place = *state;
    const char *operands[] = {"node1"};
    size_t chosen[NEXUS_CLUSTER_MAX], count;

    assert_int_equal(nexus_cluster_choose(&place->call, &place->cluster, chosen, &count), 0);
    assert_int_equal(count, 2);
    place->line.operands = operands;
    place->line.operand_count = 1;
    assert_int_equal(nexus_cluster_choose(&place->call, &place->cluster, chosen, &count), 0);
    assert_int_equal(count, 1);
    assert_int_equal(chosen[0], 1);
    operands[0] = "node2";
    assert_int_equal(nexus_cluster_choose(&place->call, &place->cluster, chosen, &count),
                     HM_ENOTFOUND);
}

static void test_commands_are_heard_out(void **state)
{
    static const char *const good[] = {"/bin/sh", "-c", "echo one; echo two", NULL};
    static const char *const bad[] = {"/bin/sh", "-c", "echo first; echo the reason >&2; exit 3",
                                      NULL};
    static const char *const missing[] = {"/nowhere/x", NULL};
    static const char *const endless[] = {"/bin/sh", "-c", "yes", NULL};
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct hm_error error = {0};

    (void)state;
    assert_int_equal(nexus_cluster_command(good, &out, &error), 0);
    assert_string_equal(hm_buf_cstr(&out), "one\ntwo\n");
    hm_buf_clear(&out);
    assert_int_equal(nexus_cluster_command(bad, &out, &error), HM_EIO);
    assert_string_equal(error.text, "/bin/sh: the reason");
    assert_int_equal(nexus_cluster_command(missing, &out, &error), HM_EIO);
    hm_buf_clear(&out);
    assert_int_equal(nexus_cluster_command(endless, &out, &error), HM_ELIMIT);
}

static void test_a_nodes_folder_is_below_its_clusters(void **state)
{
    struct place *place = *state;
    HM_AUTOFREE char *node = hm_asprintf("%s/node1", place->folder);
    HM_AUTOFREE char *slashed = hm_asprintf("%s/node1//", place->folder);
    HM_AUTOFREE char *other = hm_asprintf("%s/other", place->folder);
    HM_AUTOFREE char *wanted = hm_asprintf("nexus cluster start node1 --data %s", place->folder);
    const char *name = NULL;

    place->call.place.data_dir = node;
    assert_null(nexus_cluster_above(&place->call, &name));
    assert_int_equal(nexus_cluster_save(&place->call, &place->cluster), 0);
    assert_string_equal(nexus_cluster_above(&place->call, &name), place->folder);
    assert_string_equal(name, "node1");
    assert_int_equal(nexus_cluster_load(&place->call, &place->cluster), HM_ENOTFOUND);
    assert_non_null(strstr(place->call.error.text, "is only node1 of the cluster in"));
    place->call.place.data_dir = slashed;
    assert_string_equal(nexus_cluster_above_start(&place->call), wanted);
    place->call.place.data_dir = other;
    assert_null(nexus_cluster_above_start(&place->call));
    place->call.place.data_dir = NULL;
    assert_null(nexus_cluster_above_start(&place->call));
    place->call.place.data_dir = place->folder;
    assert_null(nexus_cluster_above_start(&place->call));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_saved_is_loaded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_others_are_not_believed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_may_lie_in_the_folder_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(test_places_are_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_last_gets_a_place_beside_the_others, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_one_leaves, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nodes_are_chosen_by_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_nodes_folder_is_below_its_clusters, setup, teardown),
        cmocka_unit_test(test_commands_are_heard_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
