/* Whether trust carries over from one header to a later one. */
#include "light_private.h"

static int time_compare(const Hypermesh__Abci__Timestamp *a, const Hypermesh__Abci__Timestamp *b)
{
    if (a->seconds != b->seconds)
        return a->seconds < b->seconds ? -1 : 1;
    return (a->nanos > b->nanos) - (a->nanos < b->nanos);
}

/* False: now lies before then, or at most period after it. Neither sum can wrap. */
static bool older_than(uint64_t then_ms, uint64_t period_ms, uint64_t now_ms)
{
    return now_ms >= then_ms && now_ms - then_ms >= period_ms;
}

static int times_check(const Hypermesh__Abci__Header *old, const Hypermesh__Abci__Header *next,
                       uint64_t now_ms, const struct light_rules *rules, struct hm_error *error)
{
    const uint64_t old_ms = light_time_ms(old->time), next_ms = light_time_ms(next->time);
    char then[32], now[32];

    hm_time_format_ms(now_ms, now);
    if (older_than(old_ms, rules->trusting_period_ms, now_ms)) {
        hm_time_format_ms(old_ms, then);
        return hm_fail(
            error, HM_ETIMEOUT,
            "the trusted block %lld is from %s, too long ago to trust at %s: get a newer "
            "HEIGHT:HASH from somebody who runs a node",
            (long long)old->height, then, now);
    }
    hm_time_format_ms(next_ms, then);
    if (time_compare(next->time, old->time) <= 0)
        return hm_fail(error, HM_EAUTH, "block %lld is from %s, not later than block %lld",
                       (long long)next->height, then, (long long)old->height);
    if (next_ms > now_ms && next_ms - now_ms >= rules->clock_drift_ms)
        return hm_fail(error, HM_EAUTH,
                       "block %lld is from %s, here it is %s: it is from the future, or this "
                       "machine's clock is wrong",
                       (long long)next->height, then, now);
    return 0;
}

static int order_check(const Hypermesh__Abci__Header *old, const Hypermesh__Abci__Header *next,
                       struct hm_error *error)
{
    if (strcmp(next->chain_id, old->chain_id) != 0)
        return hm_fail(error, HM_EAUTH, "block %lld is of chain %s, the trusted one of %s",
                       (long long)next->height, next->chain_id, old->chain_id);
    if (next->height <= old->height)
        return hm_fail(error, HM_EAUTH, "block %lld is not higher than the trusted block %lld",
                       (long long)next->height, (long long)old->height);
    return 0;
}

static int adjacent(const Hypermesh__Abci__Header *old, const Hypermesh__Abci__Header *next,
                    struct hm_error *error)
{
    char wanted[LIGHT_SHORT_BYTES], found[LIGHT_SHORT_BYTES];

    if (memcmp(next->validators_hash.data, old->next_validators_hash.data, LIGHT_HASH_BYTES) == 0)
        return 0;
    light_short(old->next_validators_hash.data, wanted);
    light_short(next->validators_hash.data, found);
    return hm_fail(error, HM_EAUTH,
                   "block %lld is by the validators %s, the trusted block before it says that they "
                   "are %s",
                   (long long)next->height, found, wanted);
}

/* By key, not by address: two keys could be made with one address. */
static const struct light_validator *set_find(const struct light_set *set, const uint8_t *key)
{
    for (size_t i = 0; i < set->count; i++)
        if (memcmp(set->list[i].public_key, key, CRYPTO_ED25519_PUBLIC_BYTES) == 0)
            return &set->list[i];
    return NULL;
}

/* Trusted power behind next. Its signatures were checked already, with its own validators' keys: the same key here. */
static int64_t power_carried(const struct light_set *trusted, const struct light_block *next)
{
    int64_t power = 0;

    for (size_t i = 0; i < next->set.count; i++) {
        const struct light_validator *found;

        if (!next->voted[i])
            continue;
        found = set_find(trusted, next->set.list[i].public_key);
        if (found != NULL)
            power += found->power;
    }
    return power;
}

int light_step(const struct light_trust *trust, const struct light_block *next, uint64_t now_ms,
               const struct light_rules *rules, enum light_outcome *outcome, struct hm_error *error)
{
    const struct light_set *set = &trust->block.set;
    const Hypermesh__Abci__Header *old, *new;
    int64_t power;
    int rc;

    if (trust->block.message == NULL)
        return hm_fail(error, HM_EINVAL, "nothing is trusted yet: begin with HEIGHT:HASH");
    old = light_header(&trust->block);
    new = light_header(next);
    rc = order_check(old, new, error);
    if (rc == 0)
        rc = times_check(old, new, now_ms, rules, error);
    if (rc == 0 && new->height - 1 == old->height)
        rc = adjacent(old, new, error);
    if (rc != 0)
        return rc;
    *outcome = LIGHT_ACCEPTED;
    if (new->height - 1 == old->height)
        return 0;
    power = power_carried(set, next);
    if (power * 3 > set->power)
        return 0;
    *outcome = LIGHT_TOO_FAR;
    (void)hm_fail(
        error, 0,
        "block %lld is signed by power %lld of the %lld trusted at block %lld, more than a "
        "third is needed: verify a block between them first",
        (long long)new->height, (long long)power, (long long)set->power, (long long)old->height);
    return 0;
}
