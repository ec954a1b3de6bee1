/* The engine's rules for changes of the validator set (CometBFT v0.38, types/validator_set.go: UpdateWithChangeSet). One that
 * breaks them stops the engine at that block, and again at each start. */
#include "abci_private.h"

#define KEY_BYTES 32

static int key_compare(const void *a, const void *b)
{
    return memcmp(a, b, KEY_BYTES);
}

static bool is_key(const Hypermesh__Abci__PublicKey *key)
{
    return key != NULL && key->sum_case == HYPERMESH__ABCI__PUBLIC_KEY__SUM_ED25519 &&
           key->ed25519.len == KEY_BYTES && key->ed25519.data != NULL;
}

/* The start of a key, for a sentence. */
struct key_text {
    char text[2 * 4 + 1];
};

static struct key_text key_text(const uint8_t *key)
{
    struct key_text out;

    hm_hex_encode(key, (sizeof(out.text) - 1) / 2, out.text);
    return out;
}

/* Sorted copies of the changes, whose form is right. NULL list when there are none. */
static int changes_sort(Hypermesh__Abci__ValidatorUpdate *const *updates, size_t count,
                        struct abci_validator **out, struct hm_error *error)
{
    HM_AUTOFREE struct abci_validator *sorted = NULL;

    if (count > ABCI_VALIDATORS_MAX)
        return hm_fail(error, HM_EINVAL, "%zu changes of validators, at most %d are taken", count,
                       ABCI_VALIDATORS_MAX);
    sorted = hm_calloc(count, sizeof(*sorted));
    if (sorted == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to check changes of validators");
    for (size_t i = 0; i < count; i++) {
        const Hypermesh__Abci__ValidatorUpdate *update = updates[i];

        if (update == NULL || !is_key(update->pub_key))
            return hm_fail(error, HM_EINVAL,
                           "change %zu of the validators: its key is no Ed25519 key of %d bytes", i,
                           KEY_BYTES);
        memcpy(sorted[i].key, update->pub_key->ed25519.data, KEY_BYTES);
        sorted[i].power = update->power;
        if (update->power < 0 || update->power > ABCI_POWER_TOTAL_MAX)
            return hm_fail(error, HM_EINVAL,
                           "change of validator %s...: power %lld, must be 0 to %lld",
                           key_text(sorted[i].key).text, (long long)update->power,
                           (long long)ABCI_POWER_TOTAL_MAX);
    }
    qsort(sorted, count, sizeof(*sorted), key_compare);
    for (size_t i = 1; i < count; i++)
        if (memcmp(sorted[i - 1].key, sorted[i].key, KEY_BYTES) == 0)
            return hm_fail(error, HM_EINVAL, "validator %s... is changed twice",
                           key_text(sorted[i].key).text);
    *out = HM_TAKE(sorted);
    return 0;
}

int abci_updates_form(Hypermesh__Abci__ValidatorUpdate *const *updates, size_t count,
                      struct hm_error *error)
{
    HM_AUTOFREE struct abci_validator *sorted = NULL;

    return count == 0 ? 0 : changes_sort(updates, count, &sorted, error);
}

static int set_sort(const struct abci_validator *set, size_t count, struct abci_validator **out,
                    struct hm_error *error)
{
    struct abci_validator *sorted = hm_calloc(count, sizeof(*sorted));

    if (sorted == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to check changes of validators");
    if (count > 0)
        memcpy(sorted, set, count * sizeof(*sorted));
    qsort(sorted, count, sizeof(*sorted), key_compare);
    *out = sorted;
    return 0;
}

int abci_updates_check(const struct abci_validator *set, size_t count,
                       Hypermesh__Abci__ValidatorUpdate *const *updates, size_t updates_count,
                       struct hm_error *error)
{
    HM_AUTOFREE struct abci_validator *changes = NULL;
    HM_AUTOFREE struct abci_validator *known = NULL;
    __int128 total = 0;
    size_t after = count;
    int rc;

    if (updates_count == 0)
        return 0;
    rc = changes_sort(updates, updates_count, &changes, error);
    if (rc == 0)
        rc = set_sort(set, count, &known, error);
    if (rc)
        return rc;
    for (size_t i = 0; i < count; i++)
        total += known[i].power;
    for (size_t i = 0; i < updates_count; i++) {
        const struct abci_validator *change = &changes[i];
        const struct abci_validator *old = count > 0 ? bsearch(change, known, count, sizeof(*known),
                                                               key_compare)
                                                     : NULL;

        if (old == NULL && change->power == 0)
            return hm_fail(error, HM_EINVAL, "validator %s... leaves and is not in the set",
                           key_text(change->key).text);
        total += change->power - (old != NULL ? old->power : 0);
        if (old == NULL)
            after++;
        else if (change->power == 0)
            after--;
    }
    if (after == 0)
        return hm_fail(error, HM_EINVAL, "the changes leave no validator");
    if (after > ABCI_VALIDATORS_MAX)
        return hm_fail(error, HM_EINVAL, "the changes make %zu validators, at most %d are taken",
                       after, ABCI_VALIDATORS_MAX);
    if (total > ABCI_POWER_TOTAL_MAX)
        return hm_fail(error, HM_EINVAL, "the changes make a power over %lld altogether",
                       (long long)ABCI_POWER_TOTAL_MAX);
    return 0;
}
