/* The recent rate of an account, which sets the difficulty of its Work. Two fixed windows: the present
 * one counts fully, the one before by the part of it that a sliding window would still cover. */
#include "proof.h"

/* Brings the windows to now. Block time does not run backwards; a now before the window counts as its
 * start. */
static struct proof_rate rate_at(const struct proof_rate *rate, uint64_t now_ms, uint64_t window_ms)
{
    struct proof_rate at = *rate;

    if (now_ms < at.start_ms || now_ms - at.start_ms < window_ms)
        return at;
    if (now_ms - at.start_ms < window_ms * 2) {
        at.start_ms += window_ms;
        at.previous = at.count;
        at.count = 0;
        return at;
    }
    return (struct proof_rate){.start_ms = now_ms};
}

/* Transactions in the last window, present one included; at least 1. */
static uint64_t rate_recent(const struct proof_rate *at, uint64_t now_ms, uint64_t window_ms)
{
    uint64_t elapsed = now_ms > at->start_ms ? now_ms - at->start_ms : 0;
    uint64_t carried = 0;
    uint64_t recent;

    /* elapsed < window_ms after rate_at, so the result is at most previous and always fits. */
    if (!hm_muldiv_u64(at->previous, window_ms - elapsed, window_ms, &carried))
        carried = at->previous;
    if (!hm_add_u64(at->count, carried, &recent) || !hm_add_u64(recent, 1, &recent))
        return UINT64_MAX;
    return recent;
}

static uint64_t usable_window(uint64_t window_ms)
{
    if (window_ms == 0)
        return 1;
    return window_ms > PROOF_RATE_WINDOW_MAX_MS ? PROOF_RATE_WINDOW_MAX_MS : window_ms;
}

unsigned proof_rate_bits(const struct proof_rate *rate, uint64_t now_ms, uint64_t window_ms,
                         uint64_t free_txs, unsigned base_bits)
{
    uint64_t window = usable_window(window_ms);
    struct proof_rate at = rate_at(rate, now_ms, window);
    uint64_t recent = rate_recent(&at, now_ms, window);
    uint64_t allowed = free_txs > 0 ? free_txs : 1;
    unsigned bits = base_bits > PROOF_WORK_BITS_MAX ? PROOF_WORK_BITS_MAX : base_bits;

    /* Bits above base: the least k with recent <= allowed * 2^k. */
    while (recent > allowed && bits < PROOF_WORK_BITS_MAX) {
        bits++;
        if (allowed > UINT64_MAX / 2)
            break;
        allowed *= 2;
    }
    return bits;
}

void proof_rate_count(struct proof_rate *rate, uint64_t now_ms, uint64_t window_ms)
{
    *rate = rate_at(rate, now_ms, usable_window(window_ms));
    if (rate->count < UINT64_MAX)
        rate->count++;
}
