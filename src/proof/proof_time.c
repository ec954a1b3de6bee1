/* Time: after the anchor block, after the account's previous act, inside the window around block time. */
#include "proof.h"

int proof_time_verify(const struct proof_time_facts *facts, struct hm_error *error)
{
    const bool late = facts->timestamp_ms < facts->block_ms;
    const uint64_t apart = late ? facts->block_ms - facts->timestamp_ms
                                : facts->timestamp_ms - facts->block_ms;

    if (facts->anchor_known == NULL)
        return hm_fail(error, HM_EPROOF_TIME,
                       "time: anchor height %llu is not among the recent blocks; anchor to a newer "
                       "one and sign again",
                       (unsigned long long)facts->anchor_height);
    if (facts->anchor_claimed == NULL ||
        memcmp(facts->anchor_claimed, facts->anchor_known, CRYPTO_HASH_BYTES) != 0)
        return hm_fail(error, HM_EPROOF_TIME,
                       "time: the anchor is not this chain's block %llu; anchor to a block of this "
                       "chain and sign again",
                       (unsigned long long)facts->anchor_height);
    if (apart > facts->window_ms)
        return hm_fail(error, HM_EPROOF_TIME,
                       "time: the timestamp is %llu ms %s block time, %llu ms are allowed; check "
                       "the clock and sign again",
                       (unsigned long long)apart, late ? "before" : "after",
                       (unsigned long long)facts->window_ms);
    if (facts->presence_claimed == NULL)
        return 0;
    if (facts->presence_known == NULL ||
        memcmp(facts->presence_claimed, facts->presence_known, CRYPTO_HASH_BYTES) != 0)
        return hm_fail(error, HM_EPROOF_TIME,
                       "time: the transaction does not follow the account's last act; read its "
                       "presence and sign again");
    return 0;
}
