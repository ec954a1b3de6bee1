/* Property test of the key-value store: random operations against the model of etcd. What fails is made smaller,
 * by halves and then by single commands, and printed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "kv_world.h"

#define COMMANDS 250
#define SEEDS    40

static struct fixture fix;

struct sequence {
    uint8_t bytes[COMMANDS * KV_COMMAND_BYTES];
    size_t count;
};

static bool runs(const struct sequence *sequence, struct kv_world_counts *counts, char *why,
                 size_t why_size)
{
    return kv_world_run(&fix, sequence->bytes, sequence->count, true, counts, why, why_size);
}

/* Without `count` commands from `at` on: does it still fail? */
static bool still_fails(struct sequence *sequence, size_t at, size_t count)
{
    static struct sequence shorter;
    struct kv_world_counts counts = {0};
    char why[512];

    shorter = *sequence;
    memmove(shorter.bytes + at * KV_COMMAND_BYTES, shorter.bytes + (at + count) * KV_COMMAND_BYTES,
            (sequence->count - at - count) * KV_COMMAND_BYTES);
    shorter.count -= count;
    if (runs(&shorter, &counts, why, sizeof why))
        return false;
    *sequence = shorter;
    return true;
}

static void shrink(struct sequence *sequence)
{
    for (size_t part = sequence->count / 2; part > 0; part /= 2) {
        for (size_t at = 0; at + part <= sequence->count;) {
            if (!still_fails(sequence, at, part))
                at += part;
        }
    }
}

static void run_seed(uint64_t seed, struct kv_world_counts *counts)
{
    static struct sequence sequence;
    struct hm_random_seeded seeded;
    struct hm_random random = hm_random_seeded_source(&seeded, seed);
    char why[512];

    /* The store does not know who orders the blocks: every other run is a cluster's. */
    fix.cluster = seed % 2 == 0;
    sequence.count = COMMANDS;
    for (size_t i = 0; i < sizeof sequence.bytes; i++)
        sequence.bytes[i] = (uint8_t)hm_random_u64(&random);
    if (runs(&sequence, counts, why, sizeof why))
        return;
    shrink(&sequence);
    (void)runs(&sequence, counts, why, sizeof why);
    kv_world_print(sequence.bytes, sequence.count);
    fail_msg("seed %llu%s, %zu commands: %s", (unsigned long long)seed,
             fix.cluster ? " (a cluster)" : "", sequence.count, why);
}

/* Fixed seeds, or one of one's own: HM_SEED=77. */
static void test_seeds(void **state)
{
    static const struct fixture_options options = {.params = kv_world_params};
    struct kv_world_counts counts = {0};
    const char *text = getenv("HM_SEED");
    uint64_t given;

    (void)state;
    assert_int_equal(fixture_init(&fix, &options), 0);
    if (text) {
        assert_int_equal(hm_u64_parse(text, &given, NULL), 0);
        run_seed(given, &counts);
        fixture_release(&fix);
        return;
    }
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run_seed(seed, &counts);
    print_message("%zu blocks, %zu transactions good, %zu refused, %zu leases ended by time, %zu "
                  "compactions, %zu changes watched\n",
                  counts.blocks, counts.good, counts.refused, counts.expired, counts.compactions,
                  counts.changes);
    /* A run in which something never happens shows nothing about it. */
    assert_true(counts.good > 500 && counts.refused > 200);
    assert_true(counts.expired > 20 && counts.compactions > 20 && counts.changes > 5000);
    for (unsigned kind = HYPERMESH__OPERATION__OP_KV_PUT;
         kind <= HYPERMESH__OPERATION__OP_KV_COMPACT; kind++)
        if (counts.of_kind[kind] < 20)
            fail_msg("operation %u was good %zu times only", kind, counts.of_kind[kind]);
    fixture_release(&fix);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seeds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
