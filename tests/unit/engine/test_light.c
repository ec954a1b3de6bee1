/* What CometBFT v0.38.25 said of a block over its RPC, made into a LightBlock here, is what room light believes: hashes, votes
 * and validators all hold together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "engine_remote.h"
#include "json.h"
#include "light.h"

#define BLOCK_HASH "850A63DBA86C3CCF22BE25662F1DDF8E15D8D1019DBDD9320697FCCE4A82DB2C"
#define VALIDATORS 4

static void read_result(const char *name, const char *what, const char *with, json_t **result)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/tests/unit/engine/recorded/%s",
                                         getenv("HM_SOURCE") != NULL ? getenv("HM_SOURCE") : ".",
                                         name);
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    HM_CLEANUP(json) json_t *root = NULL;

    assert_int_equal(hm_file_read(path, 1 << 20, &text, NULL), 0);
    if (what != NULL) {
        char *at = strstr((char *)(uintptr_t)hm_buf_cstr(&text), what);

        assert_non_null(at);
        assert_int_equal(strlen(what), strlen(with));
        memcpy(at, with, strlen(with));
    }
    assert_int_equal(json_read(hm_buf_slice(&text), 16, name, &root, NULL), 0);
    *result = json_incref(json_object_get(root, "result"));
    assert_non_null(*result);
}

/* Block 105 of a chain of four; in one of the two answers `what` may be replaced by `with`. */
static Hypermesh__Abci__LightBlock *block_of(const char *file, const char *what, const char *with,
                                             struct hm_arena *arena)
{
    bool commit_is_it = strcmp(file, "engine_commit.json") == 0;
    Hypermesh__Abci__LightBlock *block = hm_arena_alloc(arena, sizeof(*block));
    HM_CLEANUP(json) json_t *commit = NULL, *validators = NULL;
    size_t count = 0, total = 0;

    read_result("engine_commit.json", commit_is_it ? what : NULL, with, &commit);
    read_result("engine_validators.json", commit_is_it ? NULL : what, with, &validators);
    assert_non_null(block);
    hypermesh__abci__light_block__init(block);
    block->validators = hm_arena_alloc(arena, VALIDATORS * sizeof(*block->validators));
    assert_int_equal(engine_light_header(commit, arena, &block->signed_header, NULL), 0);
    assert_int_equal(engine_light_validators(validators, arena, block->validators, VALIDATORS,
                                             &count, &total, NULL),
                     0);
    assert_int_equal(count, VALIDATORS);
    assert_int_equal(total, VALIDATORS);
    block->n_validators = count;
    return block;
}

static void a_block_of_the_engine_holds(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    HM_CLEANUP(hm_buf) struct hm_buf packed = {0};
    Hypermesh__Abci__LightBlock *message, *again = NULL;
    uint8_t hash[LIGHT_HASH_BYTES];
    struct light_block block;
    struct hm_error error = {0};

    (void)state;
    hm_arena_init(&arena, 0);
    message = block_of("engine_commit.json", NULL, NULL, &arena);
    /* As it goes over the API: packed, and read by somebody else. */
    assert_int_equal(wire_pack(&message->base, &packed), 0);
    if (light_block_parse(hm_buf_slice(&packed), &arena, &again, &error) != 0 ||
        light_block_check(again, &arena, &block, &error) != 0)
        fail_msg("%s", error.text);
    assert_int_equal(hm_hex_decode(BLOCK_HASH, 64, hash, sizeof(hash), NULL), 0);
    assert_memory_equal(block.hash, hash, sizeof(hash));
    assert_int_equal(block.set.count, VALIDATORS);
    assert_int_equal(block.set.power, 40);
}

/* Nothing of it is left out: each of these is in a hash or under a signature. */
static void a_change_is_seen(void **state)
{
    static const char *const changes[][3] = {
        {"engine_commit.json", "\"chain_id\":\"trial\"", "\"chain_id\":\"trail\""},
        {"engine_commit.json", "291851869Z", "291851868Z"},
        {"engine_validators.json", "\"voting_power\":\"10\"", "\"voting_power\":\"11\""}};

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(changes); i++) {
        HM_CLEANUP(hm_arena) struct hm_arena arena;
        Hypermesh__Abci__LightBlock *message;
        struct light_block block;

        hm_arena_init(&arena, 0);
        message = block_of(changes[i][0], changes[i][1], changes[i][2], &arena);
        assert_int_not_equal(light_block_check(message, &arena, &block, NULL), 0);
    }
}

static int setup(void **state)
{
    (void)state;
    return crypto_setup(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_block_of_the_engine_holds),
        cmocka_unit_test(a_change_is_seen),
    };

    return cmocka_run_group_tests_name("engine_light", tests, setup, NULL);
}
