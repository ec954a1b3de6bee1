/* The state roots of a few runs of the key-value store: every compiler must print the same. */
#include <stdio.h>

#include "kv_world.h"

#define COMMANDS 200
#define RUNS     5

static void commands_draw(uint64_t seed, uint8_t *out, size_t size)
{
    struct hm_random_seeded seeded;
    struct hm_random random = hm_random_seeded_source(&seeded, seed);

    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)hm_random_u64(&random);
}

int main(void)
{
    static const struct fixture_options options = {.params = kv_world_params};
    static uint8_t commands[COMMANDS * KV_COMMAND_BYTES];
    struct kv_world_counts counts = {0};
    struct fixture fixture;
    char why[512];

    if (fixture_init(&fixture, &options)) {
        (void)fprintf(stderr, "kv_roots: %s\n", fixture.error.text);
        return 1;
    }
    for (uint64_t run = 1; run <= RUNS; run++) {
        struct ledger_info info;
        char root[2 * 32 + 1];

        commands_draw(1000 + run, commands, sizeof commands);
        if (!kv_world_run(&fixture, commands, COMMANDS, false, &counts, why, sizeof why)) {
            (void)fprintf(stderr, "kv_roots: %s\n", why);
            return 1;
        }
        if (ledger_info(fixture.ledger, &info, NULL))
            return 1;
        hm_hex_encode(info.state_root, 32, root);
        (void)printf("run %llu height %llu %s\n", (unsigned long long)run,
                     (unsigned long long)info.height, root);
    }
    (void)printf("%zu transactions good, %zu refused\n", counts.good, counts.refused);
    fixture_release(&fixture);
    return 0;
}
