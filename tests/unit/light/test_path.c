/* Paths over a chain whose validators change, and sources that lie. */
#include "light_fixture.h"

#define NOW_MS (MADE_TIME_MS + 3600 * 1000)

static const struct light_rules rules = {LIGHT_TRUSTING_PERIOD_MS, LIGHT_CLOCK_DRIFT_MS};

static void begin(const struct made_chain *chain, int64_t height, struct light_trust *trust)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};

    light_fixture_trust(made_chain_block(chain, height, &arena), trust);
}

/* Trust goes to the chain's own block of that height; returns how many were fetched. */
static unsigned walk(struct made_chain *chain, int64_t from, int64_t to)
{
    const struct light_source source = {made_chain_fetch, chain};
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    HM_CLEANUP(light_trust) struct light_trust trust = {0};
    struct hm_error error = {0};
    uint8_t hash[LIGHT_HASH_BYTES];

    chain->fetched = 0;
    begin(chain, from, &trust);
    if (light_verify_path(&trust, to, NOW_MS, &rules, &source, &error) != 0)
        fail_msg("%s", error.text);
    assert_int_equal(
        light_header_hash(made_chain_block(chain, to, &arena)->signed_header->header, hash, NULL),
        0);
    assert_memory_equal(trust.block.hash, hash, sizeof(hash));
    assert_int_equal(light_header(&trust.block)->height, to);
    return chain->fetched;
}

static void nothing_changes_one_fetch_is_enough(void **state)
{
    struct made_chain chain = {.count = 4};

    (void)state;
    assert_int_equal(walk(&chain, 1, 3000), 1);
    assert_int_equal(walk(&chain, 5, 6), 1);
    assert_int_equal(walk(&chain, 5, 5), 0);
}

static void changes_are_crossed_by_halves(void **state)
{
    (void)state;
    for (size_t count = 1; count <= 7; count += 3)
        for (int64_t stay = 1; stay <= 16; stay *= 4)
            for (size_t absent = 0; absent <= count / 4; absent++) {
                struct made_chain chain = {.count = count, .stay = stay, .absent = absent};
                const int64_t from = 3, to = 90;
                unsigned fetched = walk(&chain, from, to);

                assert_true(fetched >= 1 && fetched < (unsigned)(to - from) + 1);
            }
}

/* Each validator is there for one height only: nothing can be skipped. */
static void a_chain_of_strangers_is_walked_block_by_block(void **state)
{
    struct made_chain chain = {.count = 1, .stay = 1};

    (void)state;
    assert_int_equal(walk(&chain, 1, 33), 32);
}

static void a_path_has_a_limit(void **state)
{
    struct made_chain chain = {.count = 1, .stay = 1};
    const struct light_source source = {made_chain_fetch, &chain};
    HM_CLEANUP(light_trust) struct light_trust trust = {0};
    struct hm_error error = {0};

    (void)state;
    begin(&chain, 1, &trust);
    assert_int_equal(
        light_verify_path(&trust, LIGHT_PATH_FETCHES_MAX + 2, NOW_MS, &rules, &source, &error),
        HM_ELIMIT);
    assert_int_equal(chain.fetched, LIGHT_PATH_FETCHES_MAX);
    assert_int_equal(light_header(&trust.block)->height, 1);
}

/* --- sources that lie ------------------------------------------------------------------------------------------------ */

struct liar {
    struct made_chain chain;
    int64_t lie_at; /* the height it lies about; 0: each */
    int (*lie)(struct liar *liar, int64_t height, struct hm_arena *arena,
               Hypermesh__Abci__LightBlock **out, struct hm_error *error);
};

static int liar_fetch(void *ctx, int64_t height, struct hm_arena *arena,
                      Hypermesh__Abci__LightBlock **out, struct hm_error *error)
{
    struct liar *liar = ctx;

    liar->chain.fetched++;
    if (liar->lie_at == 0 || liar->lie_at == height)
        return liar->lie(liar, height, arena, out, error);
    *out = made_chain_block(&liar->chain, height, arena);
    return 0;
}

/* From 1 to 40 by this source ends with this code, and trust is where it was. */
static void caught(struct liar *liar, int code, const char *what)
{
    const struct light_source source = {liar_fetch, liar};
    struct made_chain honest = {.count = liar->chain.count, .stay = liar->chain.stay};
    HM_CLEANUP(light_trust) struct light_trust trust = {0};
    uint8_t before[LIGHT_HASH_BYTES];
    struct hm_error error = {0};

    begin(&honest, 1, &trust);
    memcpy(before, trust.block.hash, sizeof(before));
    assert_int_equal(light_verify_path(&trust, 40, NOW_MS, &rules, &source, &error), code);
    assert_int_equal(error.code, code);
    if (strstr(error.text, what) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.text, what);
    assert_memory_equal(trust.block.hash, before, sizeof(before));
    assert_int_equal(light_header(&trust.block)->height, 1);
    assert_true(liar->chain.fetched <= 40);
}

static int lie_height(struct liar *liar, int64_t height, struct hm_arena *arena,
                      Hypermesh__Abci__LightBlock **out, struct hm_error *error)
{
    (void)error;
    *out = made_chain_block(&liar->chain, height - 1, arena);
    return 0;
}

static int lie_bit(struct liar *liar, int64_t height, struct hm_arena *arena,
                   Hypermesh__Abci__LightBlock **out, struct hm_error *error)
{
    (void)error;
    *out = made_chain_block(&liar->chain, height, arena);
    (*out)->signed_header->header->app_hash.data[3] ^= 4;
    return 0;
}

/* The right validators by name, but the liar signs for them. */
static int lie_signature(struct liar *liar, int64_t height, struct hm_arena *arena,
                         Hypermesh__Abci__LightBlock **out, struct hm_error *error)
{
    (void)error;
    *out = made_chain_block(&liar->chain, height, arena);
    for (size_t i = 0; i < 2; i++) /* of four: the others have not two thirds */
        (*out)->signed_header->commit->signatures[i]->signature.data[0] ^= 1;
    return 0;
}

/* Says that nothing changed since the trusted block, with enough of its voters missing. */
static int lie_absent(struct liar *liar, int64_t height, struct hm_arena *arena,
                      Hypermesh__Abci__LightBlock **out, struct hm_error *error)
{
    struct made_chain few = liar->chain;

    (void)error;
    few.absent = few.count - 1;
    *out = made_chain_block(&few, height, arena);
    return 0;
}

static int lie_nothing(struct liar *liar, int64_t height, struct hm_arena *arena,
                       Hypermesh__Abci__LightBlock **out, struct hm_error *error)
{
    (void)liar, (void)height, (void)arena, (void)out, (void)error;
    return 0;
}

static int lie_away(struct liar *liar, int64_t height, struct hm_arena *arena,
                    Hypermesh__Abci__LightBlock **out, struct hm_error *error)
{
    (void)liar, (void)arena, (void)out;
    return hm_fail(error, HM_EUNAVAILABLE, "no answer about %lld", (long long)height);
}

static void lies_are_caught(void **state)
{
    static const struct {
        int (*lie)(struct liar *liar, int64_t height, struct hm_arena *arena,
                   Hypermesh__Abci__LightBlock **out, struct hm_error *error);
        int code;
        const char *what;
    } lies[] = {
        {lie_height, HM_EAUTH, "instead"},
        {lie_bit, HM_EAUTH, "the commit is for block"},
        {lie_signature, HM_EAUTH, "wrong signature"},
        {lie_absent, HM_EAUTH, "two thirds"},
        {lie_nothing, HM_EINTERNAL, "gave nothing"},
        {lie_away, HM_EUNAVAILABLE, "no answer about"},
    };
    /* at the goal, at the first half, and at one that is reached after some steps */
    static const int64_t heights[] = {0, 40, 20, 30};

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(lies); i++)
        for (size_t at = 0; at < HM_COUNT_OF(heights); at++) {
            struct liar liar = {
                .chain = {.count = 4, .stay = 4}, .lie_at = heights[at], .lie = lies[i].lie};

            caught(&liar, lies[i].code, lies[i].what);
        }
}

/* From chain.fork on a chain of strangers, each block well signed by those whom the one before names; below it the true one. */
static int lie_fork(struct liar *liar, int64_t height, struct hm_arena *arena,
                    Hypermesh__Abci__LightBlock **out, struct hm_error *error)
{
    struct made_chain part = liar->chain;

    (void)error;
    part.fork = height >= liar->chain.fork ? 1 : 0;
    *out = made_chain_block(&part, height, arena);
    return 0;
}

static void a_fork_by_strangers_is_caught(void **state)
{
    static const int64_t forks[] = {2, 3, 17, 39, 40};

    (void)state;
    for (size_t i = 0; i < HM_COUNT_OF(forks); i++)
        for (int64_t stay = 0; stay <= 8; stay += 4) {
            struct liar liar = {.chain = {.count = 4, .stay = stay, .fork = forks[i]},
                                .lie = lie_fork};

            caught(&liar, HM_EAUTH, "by the validators");
        }
}

static void no_way_back(void **state)
{
    struct made_chain chain = {.count = 4};
    const struct light_source source = {made_chain_fetch, &chain};
    HM_CLEANUP(light_trust) struct light_trust trust = {0};
    struct light_trust none = {0};

    (void)state;
    begin(&chain, 9, &trust);
    assert_int_equal(light_verify_path(&trust, 8, NOW_MS, &rules, &source, NULL), HM_ERANGE);
    assert_int_equal(light_verify_path(&trust, 0, NOW_MS, &rules, &source, NULL), HM_ERANGE);
    assert_int_equal(light_verify_path(&trust, -1, NOW_MS, &rules, &source, NULL), HM_ERANGE);
    assert_int_equal(light_verify_path(&none, 9, NOW_MS, &rules, &source, NULL), HM_EINVAL);
    assert_int_equal(chain.fetched, 0);
}

static void the_goal_may_not_be_there_yet(void **state)
{
    struct made_chain chain = {.count = 4, .top = 20};
    const struct light_source source = {made_chain_fetch, &chain};
    HM_CLEANUP(light_trust) struct light_trust trust = {0};
    struct hm_error error = {0};

    (void)state;
    begin(&chain, 9, &trust);
    assert_int_equal(light_verify_path(&trust, 21, NOW_MS, &rules, &source, &error), HM_ENOTFOUND);
    assert_non_null(strstr(error.text, "no block 21"));
    assert_int_equal(light_verify_path(&trust, 20, NOW_MS, &rules, &source, &error), 0);
}

/* Old trust and a clock that is wrong are found before anything is believed. */
static void the_clock_counts_on_a_path_too(void **state)
{
    struct made_chain chain = {.count = 4, .stay = 2};
    const struct light_source source = {made_chain_fetch, &chain};
    HM_CLEANUP(light_trust) struct light_trust trust = {0};

    (void)state;
    begin(&chain, 9, &trust);
    assert_int_equal(light_verify_path(&trust, 60, MADE_TIME_MS + LIGHT_TRUSTING_PERIOD_MS + 20000,
                                       &rules, &source, NULL),
                     HM_ETIMEOUT);
    assert_int_equal(light_verify_path(&trust, 60, MADE_TIME_MS + 30000, &rules, &source, NULL),
                     HM_EAUTH);
    assert_int_equal(light_header(&trust.block)->height, 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_changes_one_fetch_is_enough),
        cmocka_unit_test(changes_are_crossed_by_halves),
        cmocka_unit_test(a_chain_of_strangers_is_walked_block_by_block),
        cmocka_unit_test(a_path_has_a_limit),
        cmocka_unit_test(lies_are_caught),
        cmocka_unit_test(a_fork_by_strangers_is_caught),
        cmocka_unit_test(no_way_back),
        cmocka_unit_test(the_goal_may_not_be_there_yet),
        cmocka_unit_test(the_clock_counts_on_a_path_too),
    };

    return cmocka_run_group_tests_name("light: paths", tests, light_fixture_setup, NULL);
}
