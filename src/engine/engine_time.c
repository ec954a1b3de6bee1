/* Which time is believed. */
#include "engine_private.h"

#define ENGINE_HOUR_MS   UINT64_C(3600000)
#define ENGINE_NS_PER_MS UINT64_C(1000000)

void engine_hand_set(struct engine_hand *hand, const struct hm_clock *clock, uint64_t block_ms)
{
    *hand = (struct engine_hand){.set = true,
                                 .wall_ms = hm_wall_ms(clock),
                                 .mono_ns = hm_mono_ns(clock),
                                 .block_ms = block_ms};
}

int engine_hand_time(const struct engine_hand *hand, const struct hm_clock *clock, uint64_t *now_ms,
                     struct hm_error *error)
{
    uint64_t wall_ms = hm_wall_ms(clock);

    if (hand->set) {
        uint64_t passed_ms = (hm_mono_ns(clock) - hand->mono_ns) / ENGINE_NS_PER_MS;
        uint64_t known_ms = hand->wall_ms + passed_ms;

        if (wall_ms > known_ms + ENGINE_CLOCK_AHEAD_MAX_MS)
            return hm_fail(
                error, HM_EUNAVAILABLE,
                "the machine's clock has gone ahead by %llu hours that have not passed: "
                "set it right, or restart the node if it is right now",
                (unsigned long long)((wall_ms - known_ms + ENGINE_HOUR_MS / 2) / ENGINE_HOUR_MS));
    }
    *now_ms = wall_ms > hand->block_ms ? wall_ms : hand->block_ms;
    return 0;
}

uint64_t engine_hand_pace(const struct engine_hand *hand, const struct hm_clock *clock,
                          uint64_t own_ms)
{
    if (!hand->set)
        return own_ms;
    uint64_t passed_ms = (hm_mono_ns(clock) - hand->mono_ns) / ENGINE_NS_PER_MS;
    uint64_t most_ms = hand->block_ms + passed_ms + ENGINE_PACE_AHEAD_MS;

    return own_ms < most_ms ? own_ms : most_ms;
}
