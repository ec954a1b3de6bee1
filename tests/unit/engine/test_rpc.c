/* The engine's RPC as a client: HTTP answers in any pieces, and a server that is late, gone or talks nonsense. */
#include "cluster_script.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "engine_remote.h"
#include "engine_rpc.h"
#include "json.h"

/* --- HTTP -------------------------------------------------------------------------------------------------- */

static const char plain[] = "HTTP/1.1 200 OK\r\ncontent-length:  5 \r\nX: y\r\n\r\nhello";
static const char chunked[] =
    "HTTP/1.1 500 Internal Server Error\r\nTransfer-Encoding: Chunked\r\n\r\n"
    "3\r\nhel\r\n2;x=1\r\nlo\r\n0\r\n\r\n";

static void whole(const char *text, unsigned status, bool keep)
{
    struct engine_http_answer answer;
    HM_CLEANUP(hm_buf) struct hm_buf body = {0};
    struct hm_error error = {0};
    size_t len = strlen(text);

    for (size_t part = 0; part < len; part++) {
        assert_int_equal(engine_http_parse(hm_slice_of(text, part), &answer, &body, &error), 0);
        assert_int_equal(body.len, 0);
    }
    assert_int_equal(engine_http_parse(hm_slice_of(text, len), &answer, &body, &error), 1);
    assert_int_equal(answer.status, status);
    assert_int_equal(answer.keep, keep);
    assert_int_equal(answer.bytes, len);
    assert_string_equal(hm_buf_cstr(&body), "hello");
}

static void answers_in_any_pieces(void **state)
{
    (void)state;
    whole(plain, 200, true);
    whole(chunked, 500, true);
    whole("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", 200, false);
    whole("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, false);
    whole("HTTP/1.0 200 OK\nConnection: Keep-Alive\nContent-Length: 5\n\nhello", 200, true);
}

static void more_than_one(void **state)
{
    struct engine_http_answer answer;
    HM_CLEANUP(hm_buf) struct hm_buf body = {0};
    HM_AUTOFREE char *two = hm_asprintf("%s%s", plain, chunked);

    (void)state;
    assert_int_equal(engine_http_parse(hm_slice_str(two), &answer, &body, NULL), 1);
    assert_int_equal(answer.bytes, sizeof(plain) - 1);
}

static void refused(const char *text, int code)
{
    struct engine_http_answer answer;
    HM_CLEANUP(hm_buf) struct hm_buf body = {0};
    struct hm_error error = {0};
    int rc = engine_http_parse(hm_slice_str(text), &answer, &body, &error);

    if (rc != code)
        fail_msg("%s: %d", text, rc);
    assert_true(error.text[0] != '\0');
}

static void answers_that_are_none(void **state)
{
    HM_AUTOFREE char *head = hm_malloc(ENGINE_RPC_HEAD_MAX_BYTES + 100);

    (void)state;
    refused("FTP 1\r\n\r\n", HM_EPARSE);
    refused("HTTP/1.1 2x0 OK\r\n\r\n", HM_EPARSE);
    refused("HTTP/1.1 200 OK\r\n\r\n", HM_EPARSE); /* until it ends: not read */
    refused("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", HM_EPARSE);
    refused("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", HM_EPARSE);
    refused("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", HM_EPARSE);
    refused("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            HM_EPARSE);
    refused("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", HM_EPARSE);
    refused("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", HM_ELIMIT);
    refused("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n", HM_EPARSE);
    refused("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc", HM_EPARSE);
    refused("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n", HM_ELIMIT);
    memset(head, 'a', ENGINE_RPC_HEAD_MAX_BYTES + 99);
    head[ENGINE_RPC_HEAD_MAX_BYTES + 99] = '\0';
    memcpy(head, "HTTP/1.1 200 OK\r\n", 17);
    refused(head, HM_ELIMIT);
}

/* --- calls -------------------------------------------------------------------------------------------------- */

static struct script script;

static int setup(void **state)
{
    (void)state;
    script_init(&script, NULL, NULL);
    script_start(&script);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    script_release(&script);
    return 0;
}

static uint64_t now_ms(void)
{
    return hm_mono_ns(hm_clock_system()) / 1000000;
}

static int ask(struct engine_rpc *rpc, uint64_t timeout_ms, struct hm_error *error)
{
    HM_CLEANUP(json) json_t *result = NULL;
    int rc = engine_rpc_call(rpc, "status", hm_slice_str("{}"), timeout_ms, &result, error);

    if (rc == 0)
        assert_int_equal(
            engine_rpc_number(json_object_get(result, "sync_info"), "latest_block_height"), 77);
    return rc;
}

static void calls_are_answered(void **state)
{
    struct engine_rpc *rpc;
    struct hm_error error = {0};

    (void)state;
    assert_int_equal(engine_rpc_new(script.rpc.path, &rpc, NULL), 0);
    assert_int_equal(ask(rpc, 1000, &error), HM_EUNAVAILABLE);
    assert_non_null(strstr(error.text, script.rpc.path));
    script_rpc_open(&script);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(ask(rpc, 5000, &error), 0);
    script.rpc.chunked = script.rpc.impatient = true;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(ask(rpc, 5000, &error), 0);
    script_rpc_close(&script);
    assert_int_equal(ask(rpc, 1000, &error), HM_EUNAVAILABLE);
    engine_rpc_free(rpc);
    engine_rpc_free(NULL);
}

static void refusals_have_the_engines_words(void **state)
{
    HM_CLEANUP(json) json_t *result = NULL;
    struct engine_rpc *rpc;
    struct hm_error error = {0};

    (void)state;
    script_rpc_open(&script);
    assert_int_equal(engine_rpc_new(script.rpc.path, &rpc, NULL), 0);
    assert_int_equal(
        engine_rpc_call(rpc, "commit", hm_slice_str("{\"height\":\"5\"}"), 5000, &result, &error),
        HM_ECONFLICT);
    assert_string_equal(error.text, "Internal error: height 5 must be less than or equal to the "
                                    "current height 4");
    engine_rpc_free(rpc);
}

static void a_server_that_is_late(void **state)
{
    enum engine_rpc_fate fate;
    struct hm_error error = {0};
    struct engine_rpc *rpc;
    int code;

    (void)state;
    script_rpc_open(&script);
    assert_int_equal(engine_rpc_new(script.rpc.path, &rpc, NULL), 0);
    script_mood(&script, SCRIPT_MUTE, 1);
    uint64_t began = now_ms();
    assert_int_equal(engine_rpc_broadcast(rpc, hm_slice_str("x"), 100, &fate, &code, &error),
                     HM_ETIMEOUT);
    assert_in_range(now_ms() - began, 100, 2000);
    assert_int_equal(ask(rpc, 5000, &error), 0); /* by a new connection */
    engine_rpc_stop(rpc);
    assert_int_equal(ask(rpc, 5000, &error), HM_ECANCELLED);
    engine_rpc_free(rpc);
}

static void a_path_has_limits(void **state)
{
    struct engine_rpc *rpc;
    struct hm_error error = {0};
    char path[200];

    (void)state;
    memset(path, 'p', sizeof(path));
    path[ENGINE_RPC_PATH_MAX_BYTES + 1] = '\0';
    assert_int_equal(engine_rpc_new(path, &rpc, &error), HM_EINVAL);
    assert_non_null(strstr(error.text, "107"));
    assert_int_equal(engine_rpc_new("", &rpc, &error), HM_EINVAL);
}

/* --- how it does ---------------------------------------------------------------------------------------------- */

#define SOON_MS \
    500 /* a change is known: ENGINE_REMOTE_FRESH_MS, and some time for a busy machine */

static void pass_ms(long ms)
{
    const struct timespec time = {ms / 1000, ms % 1000 * 1000000};

    (void)nanosleep(&time, NULL);
}

static bool votes(void)
{
    struct engine_status status;

    engine_get_status(script.fix.engine, &status);
    assert_true(status.reachable);
    return status.validator;
}

/* Within half a second, so that nobody who looks once a second sees what was before the last second. */
static void a_change_is_known_soon(void **state)
{
    (void)state;
    script_rpc_open(&script);
    assert_true(votes());
    script.rpc.retired = true;
    pass_ms(SOON_MS);
    assert_false(votes());
}

static void *ask_for_any_light(void *arg)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__Abci__LightBlock *block;
    int *rc = arg;

    hm_arena_init(&arena, 0);
    *rc = engine_light_block(script.fix.engine, 5, &arena, &block, NULL);
    return NULL;
}

static void *ask_for_light(void *arg)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__Abci__LightBlock *block;

    (void)arg;
    hm_arena_init(&arena, 0);
    assert_int_equal(engine_light_block(script.fix.engine, 5, &arena, &block, NULL), HM_ETIMEOUT);
    return NULL;
}

/* Others may ask for light blocks all the time, and the engine may take seconds for one. */
static void light_blocks_hold_nothing_up(void **state)
{
    pthread_t asker;

    (void)state;
    script_rpc_open(&script);
    script.rpc.no_commits = true;
    assert_true(votes());
    assert_int_equal(pthread_create(&asker, NULL, ask_for_light, NULL), 0);
    while (script.rpc.unanswered == 0)
        pass_ms(1);
    script.rpc.retired = true;
    pass_ms(SOON_MS);
    assert_false(votes());
    pthread_join(asker, NULL);
}

/* Each has its turn, or is told that it will not: nobody waits for all that are before. */
static void light_blocks_do_not_line_up(void **state)
{
    struct {
        pthread_t thread;
        int rc;
    } askers[6];
    uint64_t began_ns = hm_mono_ns(hm_clock_system());
    unsigned busy = 0;

    (void)state;
    script_rpc_open(&script);
    script.rpc.no_commits = true;
    for (size_t i = 0; i < HM_COUNT_OF(askers); i++)
        assert_int_equal(pthread_create(&askers[i].thread, NULL, ask_for_any_light, &askers[i].rc),
                         0);
    for (size_t i = 0; i < HM_COUNT_OF(askers); i++) {
        pthread_join(askers[i].thread, NULL);
        assert_true(askers[i].rc == HM_ETIMEOUT || askers[i].rc == HM_EBUSY);
        busy += askers[i].rc == HM_EBUSY;
    }
    assert_true(busy > 0 && busy < HM_COUNT_OF(askers));
    assert_true(hm_mono_ns(hm_clock_system()) - began_ns < UINT64_C(12000000000));
}

static void *look(void *arg)
{
    struct engine_status status;

    (void)arg;
    engine_get_status(script.fix.engine, &status);
    assert_true(status.reachable);
    return NULL;
}

static void *look_and_say(void *arg)
{
    struct engine_status status;
    atomic_bool *done = arg;

    engine_get_status(script.fix.engine, &status);
    assert_false(status.reachable);
    atomic_store(done, true);
    return NULL;
}

/* One waits for an engine that hangs; the others are told what was known a moment ago. */
static void one_waits_for_an_engine_that_hangs(void **state)
{
    atomic_bool done = false;
    pthread_t looker;

    (void)state;
    script_rpc_open(&script);
    assert_true(votes());
    script.rpc.no_status = true;
    pass_ms(ENGINE_REMOTE_FRESH_MS + 50);
    assert_int_equal(pthread_create(&looker, NULL, look_and_say, &done), 0);
    while (script.rpc.unanswered == 0)
        pass_ms(1);
    assert_true(votes());
    assert_false(atomic_load(&done));
    pthread_join(looker, NULL);
    /* And for twice as long as it took nobody asks it. */
    struct engine_status status;
    pass_ms(ENGINE_REMOTE_FRESH_MS + 10);
    engine_get_status(script.fix.engine, &status);
    assert_int_equal(script.rpc.unanswered, 1);
    assert_false(status.reachable);
}

/* Nobody is told of long ago because another one is just asking. */
static void who_looks_at_once_sees_the_same(void **state)
{
    pthread_t lookers[8];

    (void)state;
    script_rpc_open(&script);
    for (size_t i = 0; i < HM_COUNT_OF(lookers); i++)
        assert_int_equal(pthread_create(&lookers[i], NULL, look, NULL), 0);
    for (size_t i = 0; i < HM_COUNT_OF(lookers); i++)
        pthread_join(lookers[i], NULL);
}

/* --- light blocks --------------------------------------------------------------------------------------------- */

static void read_result(const char *name, char *out, size_t size)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/tests/unit/engine/recorded/%s",
                                         getenv("HM_SOURCE") != NULL ? getenv("HM_SOURCE") : ".",
                                         name);
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    HM_CLEANUP(json) json_t *root = NULL;

    assert_int_equal(hm_file_read(path, 1 << 20, &text, NULL), 0);
    assert_int_equal(json_read(hm_buf_slice(&text), 16, name, &root, NULL), 0);
    char *result = json_dumps(json_object_get(root, "result"), 0);
    assert_non_null(result);
    assert_true(strlen(result) < size);
    snprintf(out, size, "%s", result);
    free(result);
}

/* What CometBFT v0.38.25 said of height 105 of a chain of four validators. */
static void light_blocks_come_from_the_engine(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__Abci__LightBlock *block;
    struct hm_error error = {0};
    uint8_t hash[32];

    (void)state;
    hm_arena_init(&arena, 0);
    script_rpc_open(&script);
    assert_int_equal(engine_light_block(script.fix.engine, 5, &arena, &block, &error),
                     HM_ENOTFOUND);
    assert_non_null(strstr(error.text, "current height 4"));
    read_result("engine_commit.json", script.rpc.answer_commit, sizeof(script.rpc.answer_commit));
    read_result("engine_validators.json", script.rpc.answer_validators,
                sizeof(script.rpc.answer_validators));
    assert_int_equal(engine_light_block(script.fix.engine, 105, &arena, &block, &error), 0);
    const Hypermesh__Abci__Header *header = block->signed_header->header;
    const Hypermesh__Abci__Commit *commit = block->signed_header->commit;
    assert_int_equal(header->version->block, 11);
    assert_int_equal(header->version->app, 1);
    assert_string_equal(header->chain_id, "trial");
    assert_int_equal(header->height, 105);
    assert_int_equal(header->time->seconds, 1795272595);
    assert_int_equal(header->time->nanos, 291851869);
    assert_int_equal(header->last_block_id->part_set_header->total, 1);
    assert_int_equal(header->app_hash.len, 32);
    assert_int_equal(header->app_hash.data[31], 0x66);
    assert_int_equal(header->proposer_address.len, 20);
    assert_int_equal(commit->height, 105);
    assert_int_equal(commit->n_signatures, 4);
    assert_int_equal(
        hm_hex_decode("850A63DBA86C3CCF22BE25662F1DDF8E15D8D1019DBDD9320697FCCE4A82DB2C", 64, hash,
                      32, NULL),
        0);
    assert_memory_equal(commit->block_id->hash.data, hash, 32);
    assert_int_equal(block->n_validators, 4);
    int64_t power = 0;
    for (size_t i = 0; i < 4; i++) {
        power += block->validators[i]->voting_power;
        assert_int_equal(block->validators[i]->pub_key->ed25519.len, 32);
        if (commit->signatures[i]->flag == HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_COMMIT)
            assert_int_equal(commit->signatures[i]->signature.len, 64);
    }
    assert_int_equal(power, 40);
}

static void damage(char *json, const char *what, const char *with)
{
    char *at = strstr(json, what);

    assert_non_null(at);
    assert_int_equal(strlen(what), strlen(with));
    memcpy(at, with, strlen(with));
}

static void light_blocks_that_are_none(void **state)
{
    static const char *const pairs[][2] = {{"\"105\"", "\"-05\""},
                                           {"850A63DB", "850A63DX"},
                                           {"T14:49", "T25:49"},
                                           {"8626A+89", "8626A+8*"},
                                           {"\"block_id_flag\": 2", "\"block_id_flag\": 9"}};
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__Abci__LightBlock *block;

    (void)state;
    hm_arena_init(&arena, 0);
    script_rpc_open(&script);
    read_result("engine_validators.json", script.rpc.answer_validators,
                sizeof(script.rpc.answer_validators));
    for (size_t i = 0; i < HM_COUNT_OF(pairs); i++) {
        read_result("engine_commit.json", script.rpc.answer_commit,
                    sizeof(script.rpc.answer_commit));
        damage(script.rpc.answer_commit, pairs[i][0], pairs[i][1]);
        assert_int_equal(engine_light_block(script.fix.engine, 105, &arena, &block, NULL),
                         HM_EPARSE);
    }
    read_result("engine_commit.json", script.rpc.answer_commit, sizeof(script.rpc.answer_commit));
    damage(script.rpc.answer_validators, "PubKeyEd25519", "PubKeySecp256");
    assert_int_equal(engine_light_block(script.fix.engine, 105, &arena, &block, NULL), HM_EPARSE);
}

static void times_are_read(void **state)
{
    static const char *const wrong[] = {"",
                                        "2026",
                                        "2026-11-21T14:49:55",
                                        "2026-13-21T14:49:55Z",
                                        "2026-11-21T14:49:55.Z",
                                        "2026-11-21T14:49:55Z ",
                                        "2026-11-21T14:49:55.1234567890Z",
                                        "2026-11-21 14:49:55Z"};
    Hypermesh__Abci__Timestamp time = HYPERMESH__ABCI__TIMESTAMP__INIT;

    (void)state;
    assert_int_equal(engine_light_time("0001-01-01T00:00:00Z", &time, NULL), 0);
    assert_int_equal(time.seconds, INT64_C(-62135596800));
    assert_int_equal(engine_light_time("1970-01-01T00:00:01.5Z", &time, NULL), 0);
    assert_int_equal(time.seconds, 1);
    assert_int_equal(time.nanos, 500000000);
    for (size_t i = 0; i < HM_COUNT_OF(wrong); i++)
        assert_int_equal(engine_light_time(wrong[i], &time, NULL), HM_EPARSE);
}

static void solo_has_none(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__Abci__LightBlock *block;
    struct engine_fixture fix;

    (void)state;
    hm_arena_init(&arena, 0);
    engine_fixture_init(&fix, NULL);
    engine_fixture_start(&fix);
    assert_int_equal(engine_light_block(fix.engine, 1, &arena, &block, NULL), HM_EUNSUPPORTED);
    assert_null(engine_cometbft_handlers(fix.engine));
    engine_expect(fix.engine, 1);
    engine_fixture_release(&fix);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_in_any_pieces),
        cmocka_unit_test(more_than_one),
        cmocka_unit_test(answers_that_are_none),
        cmocka_unit_test_setup_teardown(calls_are_answered, setup, teardown),
        cmocka_unit_test_setup_teardown(refusals_have_the_engines_words, setup, teardown),
        cmocka_unit_test_setup_teardown(a_server_that_is_late, setup, teardown),
        cmocka_unit_test_setup_teardown(a_path_has_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(a_change_is_known_soon, setup, teardown),
        cmocka_unit_test_setup_teardown(light_blocks_hold_nothing_up, setup, teardown),
        cmocka_unit_test_setup_teardown(light_blocks_do_not_line_up, setup, teardown),
        cmocka_unit_test_setup_teardown(who_looks_at_once_sees_the_same, setup, teardown),
        cmocka_unit_test_setup_teardown(one_waits_for_an_engine_that_hangs, setup, teardown),
        cmocka_unit_test_setup_teardown(light_blocks_come_from_the_engine, setup, teardown),
        cmocka_unit_test_setup_teardown(light_blocks_that_are_none, setup, teardown),
        cmocka_unit_test(times_are_read),
        cmocka_unit_test(solo_has_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
