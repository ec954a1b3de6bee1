/* What a node's state sync begins with: whom it asks, what it trusts, and the file in which it remembers both. */
#include "cluster_script.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static struct script giver, taker;
static char folder[64];
static struct hm_arena arena;

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/hm-sync-XXXXXX");
    assert_non_null(mkdtemp(folder));
    hm_arena_init(&arena, 0);
    memset(&taker, 0, sizeof(taker));
    script_init(&giver, NULL, NULL);
    script_start(&giver);
    script_rpc_open(&giver);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    script_release(&giver);
    hm_arena_release(&arena);
    assert_int_equal(hm_remove_tree(folder, NULL), 0);
    return 0;
}

static void read_answer(const char *name, char *out, size_t size)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/tests/unit/engine/recorded/%s",
                                         getenv("HM_SOURCE") != NULL ? getenv("HM_SOURCE") : ".",
                                         name);
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    json_t *root = NULL;

    assert_int_equal(hm_file_read(path, 1 << 20, &text, NULL), 0);
    assert_int_equal(hm_json_parse(hm_buf_slice(&text), 0, &root, NULL), 0);
    char *result = json_dumps(json_object_get(root, "result"), 0);
    assert_true(strlen(result) < size);
    snprintf(out, size, "%s", result);
    free(result);
    json_decref(root);
}

static void answers(struct script_rpc *rpc)
{
    read_answer("engine_commit.json", rpc->answer_commit, sizeof(rpc->answer_commit));
    read_answer("engine_validators.json", rpc->answer_validators, sizeof(rpc->answer_validators));
}

/* The block that both have; not when they have different ones. */
static void servers_are_asked_for_a_block(void **state)
{
    HM_AUTOFREE char *one = hm_asprintf("unix://%s", giver.rpc.path);
    HM_AUTOFREE char *two = hm_asprintf("unix://%s/other.sock", folder);
    const char *same[] = {one, one}, *both[] = {one, two}, *web[] = {one, "http://127.0.0.1:1"};
    uint8_t hash[32], want[32];
    struct hm_error error = {0};
    uint64_t height = 0;

    (void)state;
    pthread_mutex_init(&taker.rpc.lock, NULL);
    pthread_cond_init(&taker.rpc.changed, NULL);
    snprintf(taker.rpc.path, sizeof(taker.rpc.path), "%s/other.sock", folder);
    assert_int_equal(engine_sync_ask(both, 2, &height, hash, &error), HM_ENOTFOUND);
    answers(&giver.rpc);
    assert_int_equal(engine_sync_ask(same, 2, &height, hash, &error), 0);
    assert_int_equal(height, 105);
    assert_int_equal(
        hm_hex_decode("850A63DBA86C3CCF22BE25662F1DDF8E15D8D1019DBDD9320697FCCE4A82DB2C", 64, want,
                      32, NULL),
        0);
    assert_memory_equal(hash, want, 32);
    assert_int_equal(engine_sync_ask(web, 2, &height, hash, &error), HM_EUNSUPPORTED);
    assert_int_equal(engine_sync_ask(both, 2, &height, hash, &error), HM_EUNAVAILABLE);
    answers(&taker.rpc);
    script_rpc_open(&taker);
    assert_int_equal(engine_sync_ask(both, 2, &height, hash, &error), 0);
    char *at = strstr(taker.rpc.answer_commit, "850A63DB");
    assert_non_null(at);
    *at = '9';
    assert_int_equal(engine_sync_ask(both, 2, &height, hash, &error), HM_EAUTH);
    assert_non_null(strstr(error.text, "different blocks at height 105"));
    script_rpc_close(&taker);
    pthread_cond_destroy(&taker.rpc.changed);
    pthread_mutex_destroy(&taker.rpc.lock);
}

static void a_node_remembers_its_servers(void **state)
{
    static const char *const servers[] = {"unix:///a b", "http://h:1"};
    static const char *const wrong[] = {
        "",
        "[]",
        "{\"rpc_servers\":[\"a\",\"b\"],\"trust_height\":5,\"trust_hash\":\"00\"}",
        "{\"rpc_servers\":[\"a\"],\"trust_height\":5,\"trust_hash\":"
        "\"0000000000000000000000000000000000000000000000000000000000000000\"}",
        "{\"rpc_servers\":[\"a\",7],\"trust_height\":5,\"trust_hash\":"
        "\"0000000000000000000000000000000000000000000000000000000000000000\"}",
        "{\"rpc_servers\":[\"a\",\"b\"],\"trust_height\":0,\"trust_hash\":"
        "\"0000000000000000000000000000000000000000000000000000000000000000\"}"};
    struct engine_config_sync sync = {
        .rpc_servers = servers, .rpc_server_count = 2, .trust_height = 77};
    struct engine_config_sync read;

    (void)state;
    memset(sync.trust_hash, 0xA5, sizeof(sync.trust_hash));
    assert_int_equal(engine_sync_load(folder, &arena, &read, NULL), HM_ENOTFOUND);
    assert_int_equal(engine_sync_write(folder, &sync, NULL), 0);
    assert_int_equal(engine_sync_load(folder, &arena, &read, NULL), 0);
    assert_int_equal(read.rpc_server_count, 2);
    assert_string_equal(read.rpc_servers[0], servers[0]);
    assert_string_equal(read.rpc_servers[1], servers[1]);
    assert_int_equal(read.trust_height, 77);
    assert_memory_equal(read.trust_hash, sync.trust_hash, 32);
    assert_int_equal(read.trust_period_ms, ENGINE_SYNC_TRUST_MS);
    assert_true(read.discovery_ms >= ENGINE_DISCOVERY_MIN_MS);
    sync.rpc_server_count = 1;
    assert_int_equal(engine_sync_write(folder, &sync, NULL), HM_EINVAL);
    for (size_t i = 0; i < HM_COUNT_OF(wrong); i++)
        if (engine_sync_read(hm_slice_str(wrong[i]), &arena, &read, NULL) == 0)
            fail_msg("taken: %s", wrong[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(servers_are_asked_for_a_block, setup, teardown),
        cmocka_unit_test_setup_teardown(a_node_remembers_its_servers, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
