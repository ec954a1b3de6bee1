/* Time: anchor, window, presence; each at its edge. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proof.h"

static const uint8_t anchor[32] = {1};
static const uint8_t presence[32] = {2};
static const uint8_t stranger[32] = {3};

static struct proof_time_facts good(void)
{
    return (struct proof_time_facts){
        .block_ms = 100000,
        .window_ms = 30000,
        .anchor_height = 12,
        .anchor_claimed = anchor,
        .anchor_known = anchor,
        .timestamp_ms = 100000,
        .presence_claimed = presence,
        .presence_known = presence,
    };
}

static void refused(const struct proof_time_facts *facts, const char *word)
{
    struct hm_error error = {0};

    assert_int_equal(proof_time_verify(facts, &error), HM_EPROOF_TIME);
    assert_non_null(strstr(error.text, word));
}

static void window_edges(void **state)
{
    struct proof_time_facts facts = good();

    (void)state;
    assert_int_equal(proof_time_verify(&facts, NULL), 0);
    facts.timestamp_ms = 70000;
    assert_int_equal(proof_time_verify(&facts, NULL), 0);
    facts.timestamp_ms = 69999;
    refused(&facts, "30001 ms before block time");
    facts.timestamp_ms = 130000;
    assert_int_equal(proof_time_verify(&facts, NULL), 0);
    facts.timestamp_ms = 130001;
    refused(&facts, "30001 ms after block time");
    facts.timestamp_ms = UINT64_MAX;
    refused(&facts, "after");
    facts.timestamp_ms = 0;
    refused(&facts, "before");
    facts.block_ms = 0; /* no wrap at the start of time */
    assert_int_equal(proof_time_verify(&facts, NULL), 0);
}

static void stale_and_foreign_anchor(void **state)
{
    struct proof_time_facts facts = good();

    (void)state;
    facts.anchor_known = NULL;
    refused(&facts, "anchor height 12 is not among the recent blocks");
    facts = good();
    facts.anchor_claimed = stranger;
    refused(&facts, "not this chain's block 12");
    facts.anchor_claimed = NULL;
    refused(&facts, "anchor");
}

static void presence_must_follow(void **state)
{
    struct proof_time_facts facts = good();

    (void)state;
    facts.presence_claimed = stranger;
    refused(&facts, "presence");
    facts = good();
    facts.presence_known = NULL;
    refused(&facts, "presence");
    facts.presence_claimed = NULL; /* a batch has none */
    assert_int_equal(proof_time_verify(&facts, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(window_edges),
        cmocka_unit_test(stale_and_foreign_anchor),
        cmocka_unit_test(presence_must_follow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
