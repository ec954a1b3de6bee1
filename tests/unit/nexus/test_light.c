/* A value from a node that may lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <unistd.h>

#include "light_node.h"
#include "nexus.h"
#include "nexus_light.h"

struct world {
    struct light_node node;
    struct nexus_place place;
    struct nexus_light light;
    struct hm_arena arena;
    struct nexus_state shown;
    struct hm_error error;
};

static int setup(void **state)
{
    struct world *world = hm_calloc(1, sizeof(*world));

    *state = world;
    if (!world || crypto_setup(NULL) != 0)
        return -1;
    (void)signal(SIGPIPE, SIG_IGN);
    light_node_open(&world->node);
    hm_arena_init(&world->arena, 0);
    world->place.socket_path = world->node.path;
    world->light.clock = hm_clock_system();
    world->light.rules = (struct light_rules){.trusting_period_ms = 3600000,
                                              .clock_drift_ms = 10000};
    return nexus_client_open(&world->place, &world->light.client, NULL);
}

static int teardown(void **state)
{
    struct world *world = *state;

    nexus_light_release(&world->light);
    nexus_client_close(world->light.client);
    light_node_close(&world->node);
    hm_arena_release(&world->arena);
    hm_free(world);
    return 0;
}

static void begin(struct world *world, int64_t height)
{
    struct light_anchor anchor;

    light_node_anchor(&world->node, height, &anchor);
    if (nexus_light_begin(&world->light, &anchor, LIGHT_NODE_CHAIN, &world->error) != 0)
        fail_msg("%s", world->error.text);
}

static int read_key(struct world *world, const char *key)
{
    world->error = (struct hm_error){0};
    return nexus_light_read(&world->light, hm_slice_str(key), &world->arena, &world->shown,
                            &world->error);
}

static void test_a_value(void **state)
{
    struct world *world = *state;

    begin(world, 2);
    if (read_key(world, "k" LIGHT_NODE_KEY) != 0)
        fail_msg("%s", world->error.text);
    assert_int_equal(world->shown.value.len, world->node.value.len);
    assert_memory_equal(world->shown.value.data, world->node.value.data, world->node.value.len);
    assert_int_equal(world->shown.height, 7);
    assert_int_equal(nexus_light_height(&world->light.trust), 8); /* that signs its root */
    assert_int_equal(nexus_light_time_ms(&world->light.trust), world->node.time_ms + 8000);
    assert_int_equal(atomic_load(&world->node.asked_to_wait), 1); /* for block 8 alone */
    assert_false(world->light.lied);
    /* From where trust stands now. */
    assert_int_equal(read_key(world, "k" LIGHT_NODE_KEY), 0);
}

static void test_absence(void **state)
{
    struct world *world = *state;

    begin(world, 1);
    if (read_key(world, "knothing") != 0)
        fail_msg("%s", world->error.text);
    assert_null(world->shown.value.data);
    /* The proof that one key is absent shows nothing of another. */
    assert_int_equal(read_key(world, "kother"), HM_EAUTH);
}

static void test_lies(void **state)
{
    static const struct {
        enum light_lie lie;
        int code;
        bool lied;
        const char *words;
    } rows[] = {{LIGHT_LIE_ROOT, HM_EAUTH, true, "lies about the state root"},
                {LIGHT_LIE_VALUE, HM_EAUTH, true, "lies about the value"},
                {LIGHT_LIE_ABSENT, HM_EAUTH, true, "lies about the value"},
                {LIGHT_LIE_PROOF, HM_EAUTH, true, ""},
                {LIGHT_LIE_VALIDATORS, HM_EAUTH, true, ""},
                {LIGHT_LIE_HEIGHT, HM_EAUTH, true, "instead"},
                {LIGHT_LIE_NOISE, HM_EAUTH, false, "JSON"},
                {LIGHT_LIE_LONG, HM_EAUTH, false, "longer"},
                {LIGHT_AWAY, NEXUS_EUNREACHABLE, false, "it is starting"},
                {LIGHT_TOO_MANY, NEXUS_EUNREACHABLE, false, "too many"}};

    struct world *world = *state;

    for (size_t i = 0; i < HM_COUNT_OF(rows); i++) {
        nexus_light_release(&world->light);
        world->light.lied = false;
        atomic_store(&world->node.lie, LIGHT_TRUTH);
        begin(world, 2);
        atomic_store(&world->node.lie, (int)rows[i].lie);
        world->shown.height = 99;
        if (read_key(world, "k" LIGHT_NODE_KEY) != rows[i].code ||
            world->light.lied != rows[i].lied || !strstr(world->error.text, rows[i].words))
            fail_msg("lie %d: %s", (int)rows[i].lie, world->error.text);
        assert_int_equal(world->shown.height, 99); /* untouched */
    }
}

static void test_a_node_that_is_behind(void **state)
{
    struct world *world = *state;

    begin(world, 9);
    assert_int_equal(read_key(world, "k" LIGHT_NODE_KEY), NEXUS_EUNREACHABLE);
    assert_non_null(strstr(world->error.text, "behind"));
    assert_false(world->light.lied);
}

/* Shorter than what is trusted, so that it has no block to compare. */
static void test_a_node_of_another_chain(void **state)
{
    struct light_anchor anchor = {.height = LIGHT_NODE_TOP + 5};
    struct world *world = *state;

    assert_int_equal(nexus_light_begin(&world->light, &anchor, "other", &world->error), HM_EAUTH);
    assert_non_null(strstr(world->error.text, "of chain light-node-1, and what you trust is of "
                                              "other"));
    assert_true(world->light.lied);
    world->light.lied = false;
    assert_int_equal(nexus_light_begin(&world->light, &anchor, LIGHT_NODE_CHAIN, &world->error),
                     NEXUS_EUNREACHABLE);
    assert_int_equal(nexus_light_begin(&world->light, &anchor, NULL, &world->error),
                     NEXUS_EUNREACHABLE);
    begin(world, 9);
    world->light.trust.block.message->signed_header->header->chain_id = (char *)(uintptr_t) "other";
    assert_int_equal(read_key(world, "k" LIGHT_NODE_KEY), HM_EAUTH);
    assert_non_null(strstr(world->error.text, "of chain light-node-1"));
    assert_true(world->light.lied);
}

static void test_old_trust(void **state)
{
    struct world *world = *state;

    begin(world, 2);
    world->light.rules.trusting_period_ms = 1000;
    assert_int_equal(read_key(world, "k" LIGHT_NODE_KEY), HM_ETIMEOUT);
    /* Also where it stands at the very block: no step is made then. */
    world->light.rules.trusting_period_ms = 3600000;
    assert_int_equal(read_key(world, "k" LIGHT_NODE_KEY), 0);
    world->light.rules.trusting_period_ms = 10;
    assert_int_equal(read_key(world, "k" LIGHT_NODE_KEY), HM_ETIMEOUT);
}

/* A node that answers each question in time, but has too many. */
static void test_a_deadline_for_all_of_it(void **state)
{
    struct world *world = *state;
    uint64_t begun_ns;

    begin(world, 2);
    atomic_store(&world->node.lie, LIGHT_SLOW);
    begun_ns = hm_mono_ns(world->light.clock);
    world->light.deadline_ns = begun_ns + LIGHT_NODE_SLOW_MS * UINT64_C(1500000);
    assert_int_equal(read_key(world, "k" LIGHT_NODE_KEY), NEXUS_EUNREACHABLE);
    assert_false(world->light.lied);
    assert_true(hm_mono_ns(world->light.clock) - begun_ns <
                LIGHT_NODE_SLOW_MS * UINT64_C(20000000));
    /* Past it nothing is asked for. */
    atomic_store(&world->node.lie, LIGHT_TRUTH);
    (void)usleep(LIGHT_NODE_SLOW_MS * 1000);
    assert_int_equal(read_key(world, "k" LIGHT_NODE_KEY), NEXUS_EUNREACHABLE);
    assert_non_null(strstr(world->error.text, "--timeout"));
    world->light.deadline_ns = 0;
    assert_int_equal(read_key(world, "k" LIGHT_NODE_KEY), 0);
}

static void test_a_period_that_the_chain_does_not_allow(void **state)
{
    struct world *world = *state;

    begin(world, 2);
    world->light.rules.trusting_period_ms = LIGHT_NODE_UNBOND_MS / 6 * 5 - 1;
    assert_int_equal(nexus_light_check_period(&world->light, &world->error), 0);
    world->light.rules.trusting_period_ms = LIGHT_NODE_UNBOND_MS / 6 * 5;
    assert_int_equal(nexus_light_check_period(&world->light, &world->error), HM_EINVAL);
    assert_non_null(strstr(world->error.text, "forgets faults after 20h"));
    assert_non_null(strstr(world->error.text, "--trust-for 16h"));
    atomic_store(&world->node.lie, LIGHT_LIE_ROOT);
    assert_int_equal(nexus_light_check_period(&world->light, NULL), HM_EAUTH);
}

/* --- what is said beside what is kept ------------------------------------------------------------------ */

static void trust_block(struct world *world, int64_t height, bool forged, struct light_trust *out)
{
    const struct light_node *node = &world->node;
    Hypermesh__Abci__LightBlock *block = light_node_block(node, height, forged, &world->arena);
    struct light_anchor anchor = {.height = height};

    assert_int_equal(light_header_hash(block->signed_header->header, anchor.hash, NULL), 0);
    assert_int_equal(light_trust_begin(out, &anchor, NULL, block, NULL), 0);
}

static void test_two_that_agree(void **state)
{
    static const struct {
        int64_t said, kept, then;
    } rows[] = {{2, 6, 6}, {6, 2, 6}, {4, 4, 4}};
    struct world *world = *state;

    for (size_t i = 0; i < HM_COUNT_OF(rows); i++) {
        HM_CLEANUP(light_trust) struct light_trust kept = {0};

        begin(world, rows[i].said);
        trust_block(world, rows[i].kept, false, &kept);
        if (nexus_light_agree(&world->light, &kept, &world->error) != 0)
            fail_msg("%s", world->error.text);
        assert_int_equal(nexus_light_height(&world->light.trust), rows[i].then);
        assert_int_equal(read_key(world, "k" LIGHT_NODE_KEY), 0);
    }
}

static void test_two_that_contradict_each_other(void **state)
{
    static const int64_t rows[][2] = {{2, 6}, {6, 2}, {4, 4}};
    struct world *world = *state;

    for (size_t i = 0; i < HM_COUNT_OF(rows); i++) {
        HM_CLEANUP(light_trust) struct light_trust kept = {0};

        begin(world, rows[i][0]);
        trust_block(world, rows[i][1], true, &kept);
        assert_int_equal(nexus_light_agree(&world->light, &kept, &world->error), HM_EAUTH);
    }
    assert_non_null(strstr(world->error.text, "two blocks 4"));
}

/* The older one leads nowhere any more: the newer one is used. */
static void test_one_that_is_too_old_to_compare(void **state)
{
    static const int64_t rows[][2] = {{2, 6}, {6, 2}};
    struct world *world = *state;

    world->light.rules.trusting_period_ms = 4500;
    for (size_t i = 0; i < HM_COUNT_OF(rows); i++) {
        HM_CLEANUP(light_trust) struct light_trust kept = {0};

        begin(world, rows[i][0]);
        trust_block(world, rows[i][1], false, &kept);
        if (nexus_light_agree(&world->light, &kept, &world->error) != 0)
            fail_msg("%s", world->error.text);
        assert_int_equal(nexus_light_height(&world->light.trust), 6);
    }
}

static void test_another_anchor(void **state)
{
    struct world *world = *state;
    struct light_anchor anchor;

    light_node_anchor(&world->node, 2, &anchor);
    assert_int_equal(nexus_light_begin(&world->light, &anchor, "another-1", NULL), HM_EAUTH);
    anchor.hash[0] ^= 1;
    assert_int_equal(nexus_light_begin(&world->light, &anchor, NULL, NULL), HM_EAUTH);
    assert_true(world->light.lied);
    anchor.height = 50;
    assert_int_equal(nexus_light_begin(&world->light, &anchor, NULL, NULL), NEXUS_EUNREACHABLE);
}

static void test_nobody_there(void **state)
{
    struct world *world = *state;
    Hypermesh__Abci__LightBlock *block = NULL;

    world->place.socket_path = "/nonexistent/sock";
    assert_int_equal(nexus_light_block(&world->light, 0, false, &world->arena, &block, NULL),
                     NEXUS_EUNREACHABLE);
}

/* --- pure parts --------------------------------------------------------------------------------------- */

static void expect_key(const char *what, const char *text, const void *wanted, size_t len)
{
    HM_CLEANUP(hm_buf) struct hm_buf key = {0};
    struct hm_error error = {0};

    if (nexus_state_key(what, text, &key, &error) != 0)
        fail_msg("%s %s: %s", what, text, error.text);
    assert_int_equal(key.len, len);
    assert_memory_equal(key.data, wanted, len);
}

static void test_keys(void **state)
{
    static const struct {
        const char *what, *text;
    } wrong[] = {{"account", "hm1x"}, {"account", "user"}, {"asset", ""}, {"lease", "asset1"},
                 {"kv", ""},          {"key", ""},         {"key", "0"},  {"key", "0g"}};
    char text[WIRE_ID_TEXT_MAX];
    uint8_t key[1 + WIRE_ID_BYTES];
    char longest[2 * STORE_KEY_MAX_BYTES + 3];

    (void)state;
    memset(key, 7, sizeof(key));
    wire_account_text(key + 1, text);
    key[0] = 'a';
    expect_key("account", text, key, sizeof(key));
    wire_asset_text(key + 1, text);
    key[0] = 's';
    expect_key("asset", text, key, sizeof(key));
    wire_lease_text(key + 1, text);
    key[0] = 'l';
    expect_key("lease", text, key, sizeof(key));
    expect_key("kv", "a/b", "ka/b", 4);
    expect_key("key", "50fF", "P\xff", 2);
    for (size_t i = 0; i < HM_COUNT_OF(wrong); i++) {
        HM_CLEANUP(hm_buf) struct hm_buf out = {0};

        if (nexus_state_key(wrong[i].what, wrong[i].text, &out, NULL) == 0)
            fail_msg("%s '%s' was taken", wrong[i].what, wrong[i].text);
    }
    memset(longest, '0', sizeof(longest));
    longest[2 * STORE_KEY_MAX_BYTES + 2] = '\0';
    {
        HM_CLEANUP(hm_buf) struct hm_buf out = {0};

        assert_int_equal(nexus_state_key("key", longest, &out, NULL), HM_ERANGE);
        longest[NEXUS_KV_KEY_MAX_BYTES + 1] = '\0';
        assert_int_equal(nexus_state_key("kv", longest, &out, NULL), HM_ERANGE);
    }
}

static void test_answers_that_are_none(void **state)
{
    static const char root[] = "0000000000000000000000000000000000000000000000000000000000000000";
    static const char *const texts[] = {
        "[]",
        "{}",
        "{\"height\":-1,\"root\":\"%s\",\"value\":null,\"proof\":\"\"}",
        "{\"height\":9223372036854775807,\"root\":\"%s\",\"value\":null,\"proof\":\"\"}",
        "{\"height\":\"1\",\"root\":\"%s\",\"value\":null,\"proof\":\"\"}",
        "{\"height\":1,\"root\":\"0%s\",\"value\":null,\"proof\":\"\"}",
        "{\"height\":1,\"root\":\"%s\",\"proof\":\"\"}",
        "{\"height\":1,\"root\":\"%s\",\"value\":5,\"proof\":\"\"}",
        "{\"height\":1,\"root\":\"%s\",\"value\":\"*\",\"proof\":\"\"}",
        "{\"height\":1,\"root\":\"%s\",\"value\":null}"};
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct nexus_state shown;

    (void)state;
    hm_arena_init(&arena, 0);
    for (size_t i = 0; i < HM_COUNT_OF(texts); i++) {
        const char *at = strstr(texts[i], "%s");
        HM_AUTOFREE char *text = at ? hm_asprintf("%.*s%s%s", (int)(at - texts[i]), texts[i], root,
                                                  at + 2)
                                    : hm_strdup(texts[i]);
        json_t *answer = json_loads(text, 0, NULL);

        assert_non_null(answer);
        if (nexus_state_parse(answer, &arena, &shown, NULL) != HM_EPARSE)
            fail_msg("%s was taken", text);
        json_decref(answer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_value, setup, teardown),
        cmocka_unit_test_setup_teardown(test_absence, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lies, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_node_that_is_behind, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_node_of_another_chain, setup, teardown),
        cmocka_unit_test_setup_teardown(test_old_trust, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_deadline_for_all_of_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_period_that_the_chain_does_not_allow, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_two_that_agree, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_that_contradict_each_other, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_that_is_too_old_to_compare, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_anchor, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nobody_there, setup, teardown),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_answers_that_are_none),
    };

    return cmocka_run_group_tests_name("nexus_light", tests, NULL, NULL);
}
