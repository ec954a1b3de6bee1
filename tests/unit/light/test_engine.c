/* Blocks recorded from CometBFT 0.38.25 (blocks/, made with pack_block.py): hashes, votes and steps as the engine made them. */
#include "light_fixture.h"

/* one: a single validator. four: powers 40, 30, 20, 10, the last never started; its votes for nil came from slow starts.
 * seven: equal powers, one never started, one whose application rejects all proposals, one that hardly waits for prevotes, so
 * that it votes nil often. change: a fourth validator (power 7) joins at height 7. trial: four, the first height is 101. */
static const struct {
    const char *name;
    const char *hash; /* the commit's, in the engine's JSON */
    int64_t height;
    int64_t power;
    int64_t signed_power;
    size_t nil;
    size_t absent;
    int32_t round;
} recorded[] = {
    {"one-1", "d1060ca4c269d5cd301ccdc45760e6ad51f3510474d6fef113f65da08187f3cd", 1, 10, 10, 0, 0,
     0},
    {"one-2", "ab22dbe64b899b4d95a126b4eb2b06f458b3e2b3c3a47ab737516bb5dcf722ca", 2, 10, 10, 0, 0,
     0},
    {"four-1", "87aeb1bfaea9c2093acaefd17e54fbea9ff37478b285c399d69a20a89c2a43db", 1, 100, 70, 0, 2,
     0},
    {"four-2", "c521d45377e743a588dbb8544e35c5c7d6f54d4adbcc01829cf9216d34484d0d", 2, 100, 70, 1, 1,
     0},
    {"four-3", "799fad75897f2af4f7ea45a0b65c73611b7f9f4b6b20ade6ffa8b2561836806a", 3, 100, 90, 0, 1,
     0},
    {"seven-1", "7237f38c56779cb6855b2a9e464f49e233a18fa6f68c4d1938ea4ed87a3695df", 1, 70, 50, 0, 2,
     1},
    {"seven-3", "6ad05473afa9c601c53dbd3ec77a0aa82f0522bb96f32026a5c3c651da623315", 3, 70, 50, 1, 1,
     0},
    {"seven-14", "6fd031c807d1df06dd69e93c7f06e47f262c1bbeb8c27b6ba88d7f5558b0bab5", 14, 70, 50, 1,
     1, 1},
    {"seven-15", "f71207f45d3bf56f559f96f2d5a95927101235a68352c8f98f3557e137e84372", 15, 70, 60, 0,
     1, 0},
    {"change-5", "b279ce12394ef3d285ca49f576752f107c4bc7270f3d841121f7bc7aadd37eb7", 5, 90, 90, 0,
     0, 0},
    {"change-6", "e14693ff34ce01aa4a19eaf8c85c5f737dbedd074f493bd418dbac45176e3e0d", 6, 90, 90, 0,
     0, 0},
    {"change-7", "6a90b7ed98f2b860768a1b280604b245e92fd4b6fd26df5670931c387ebc3ddb", 7, 97, 90, 0,
     1, 0},
    {"change-9", "820e06eb0699a8dc220a4128cc89d611b885f6c19badda8371bc4b568c07ee32", 9, 97, 90, 1,
     0, 0},
    {"change-10", "a5b823b3315455f7473a5576e9c32c4ca4f64c91ceeda4341719987ef2e8ed62", 10, 97, 97, 0,
     0, 0},
    {"trial-101", "76113da79fea838e3f4d46724cc9a623a09b72890468060f36ddea8a5bc53762", 101, 40, 30,
     0, 1, 1},
    {"trial-105", "850a63dba86c3ccf22be25662f1ddf8e15d8d1019dbdd9320697fcce4a82db2c", 105, 40, 30,
     0, 1, 0},
};

static size_t count_flag(const Hypermesh__Abci__Commit *commit, Hypermesh__Abci__BlockIdFlag flag)
{
    size_t count = 0;

    for (size_t i = 0; i < commit->n_signatures; i++)
        count += commit->signatures[i]->flag == flag;
    return count;
}

static void recorded_blocks_verify(void **state)
{
    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(recorded); i++) {
        HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
        Hypermesh__Abci__LightBlock *message = light_fixture_block(recorded[i].name, &arena);
        const Hypermesh__Abci__Commit *commit = message->signed_header->commit;
        uint8_t hash[LIGHT_HASH_BYTES];
        struct light_block block;
        struct hm_error error = {0};
        int64_t power = 0;

        if (light_block_check(message, &arena, &block, &error) != 0)
            fail_msg("%s: %s", recorded[i].name, error.text);
        assert_int_equal(hm_hex_decode(recorded[i].hash, 64, hash, sizeof(hash), NULL), 0);
        assert_memory_equal(block.hash, hash, sizeof(hash));
        assert_int_equal(message->signed_header->header->height, recorded[i].height);
        assert_int_equal(block.set.power, recorded[i].power);
        assert_int_equal(light_commit_verify(&block.set, message->signed_header->header->chain_id,
                                             recorded[i].height, hash, commit, NULL, &power, NULL),
                         0);
        assert_int_equal(power, recorded[i].signed_power);
        assert_int_equal(commit->round, recorded[i].round);
        assert_int_equal(count_flag(commit, HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_NIL),
                         recorded[i].nil);
        assert_int_equal(count_flag(commit, HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_ABSENT),
                         recorded[i].absent);
    }
}

/* The engine names a validator by the address we compute. */
static void recorded_addresses_agree(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    Hypermesh__Abci__LightBlock *message = light_fixture_block("change-10", &arena);
    uint8_t address[LIGHT_ADDRESS_BYTES];

    (void)state;
    for (size_t i = 0; i < message->n_validators; i++) {
        const Hypermesh__Abci__CommitSig *entry = message->signed_header->commit->signatures[i];

        assert_int_equal(
            light_validator_address(message->validators[i]->pub_key->ed25519.data, address, NULL),
            0);
        assert_int_equal(entry->validator_address.len, LIGHT_ADDRESS_BYTES);
        assert_memory_equal(entry->validator_address.data, address, LIGHT_ADDRESS_BYTES);
    }
}

static int fetch_recorded(void *ctx, int64_t height, struct hm_arena *arena,
                          Hypermesh__Abci__LightBlock **out, struct hm_error *error)
{
    HM_AUTOFREE char *name = hm_asprintf("%s-%lld", (const char *)ctx, (long long)height);

    (void)error;
    *out = light_fixture_block(name, arena);
    return 0;
}

static void walk(const char *chain, int64_t from, int64_t to)
{
    static const struct light_rules rules = {LIGHT_TRUSTING_PERIOD_MS, LIGHT_CLOCK_DRIFT_MS};
    const struct light_source source = {fetch_recorded, (void *)(uintptr_t)chain};
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    HM_CLEANUP(light_trust) struct light_trust trust = {0};
    Hypermesh__Abci__LightBlock *first = NULL;
    struct hm_error error = {0};
    uint64_t now;

    assert_int_equal(fetch_recorded((void *)(uintptr_t)chain, from, &arena, &first, NULL), 0);
    light_fixture_trust(first, &trust);
    now = light_time_ms(first->signed_header->header->time) + 60000;
    if (light_verify_path(&trust, to, now, &rules, &source, &error) != 0)
        fail_msg("%s-%lld to %lld: %s", chain, (long long)from, (long long)to, error.text);
    assert_int_equal(light_header(&trust.block)->height, to);
}

static void recorded_chains_carry_trust(void **state)
{
    (void)state;
    walk("one", 1, 2);
    walk("four", 1, 2);
    walk("four", 1, 3);
    walk("seven", 1, 14); /* skipping, past votes for nil */
    walk("seven", 14, 15);
    walk("change", 5, 6);
    walk("change", 6, 7); /* to the set that header 6 names as next */
    walk("change", 6, 9); /* past the change: three of the four were there before */
    walk("change", 5, 10);
    walk("trial", 101, 105);
}

static void recorded_chains_do_not_mix(void **state)
{
    static const struct light_rules rules = {LIGHT_TRUSTING_PERIOD_MS, LIGHT_CLOCK_DRIFT_MS};
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    HM_CLEANUP(light_trust) struct light_trust trust = {0};
    Hypermesh__Abci__LightBlock *other = light_fixture_block("seven-14", &arena);
    enum light_outcome outcome;
    struct light_block block;
    struct hm_error error = {0};

    (void)state;
    light_fixture_trust(light_fixture_block("change-6", &arena), &trust);
    assert_int_equal(light_block_check(other, &arena, &block, NULL), 0);
    assert_int_equal(light_step(&trust, &block, light_time_ms(other->signed_header->header->time),
                                &rules, &outcome, &error),
                     HM_EAUTH);
    assert_non_null(strstr(error.text, "chain"));
}

/* The engine's application hash one block later is the root. */
static void state_root_is_of_the_block_before(void **state)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    HM_CLEANUP(light_trust) struct light_trust trust = {0};
    uint8_t root[LIGHT_HASH_BYTES], wanted[LIGHT_HASH_BYTES] = {0x48};

    (void)state;
    wanted[31] = 0x66; /* the trial's application: 0x48, then what it counted */
    light_fixture_trust(light_fixture_block("trial-105", &arena), &trust);
    assert_int_equal(light_state_root(&trust, 104, root, NULL), 0);
    assert_memory_equal(root, wanted, sizeof(root));
    memset(root, 0x5a, sizeof(root));
    memset(wanted, 0x5a, sizeof(wanted));
    assert_int_equal(light_state_root(&trust, 105, root, NULL), HM_ERANGE);
    assert_int_equal(light_state_root(&trust, 103, root, NULL), HM_ERANGE);
    assert_memory_equal(root, wanted, sizeof(root));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_blocks_verify),
        cmocka_unit_test(recorded_addresses_agree),
        cmocka_unit_test(recorded_chains_carry_trust),
        cmocka_unit_test(recorded_chains_do_not_mix),
        cmocka_unit_test(state_root_is_of_the_block_before),
    };

    return cmocka_run_group_tests_name("light: recorded blocks", tests, light_fixture_setup, NULL);
}
