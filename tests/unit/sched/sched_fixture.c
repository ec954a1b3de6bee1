#include "sched_fixture.h"

int sched_fixture_share(const Hypermesh__Asset *asset, uint64_t amount, uint32_t *share_ppm,
                        struct hm_error *error)
{
    uint64_t share;

    if (amount == 0 || amount > asset->capacity)
        return hm_fail(error, HM_ERANGE, "not in this asset");
    if (!hm_muldiv_up_u64(amount, 1000000, asset->capacity, &share))
        return HM_ERANGE;
    *share_ppm = (uint32_t)share;
    return 0;
}

/* Stands for the ledger: open assets, and those of the owner who asks. */
static bool admits(void *ctx, const Hypermesh__Asset *asset)
{
    const struct sched_fixture *fixture = ctx;

    if (asset->owner.data[0] == fixture->consumer)
        return true;
    return asset->privacy && asset->privacy->level == HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC;
}

void sched_fixture_init(struct sched_fixture *fixture)
{
    memset(fixture, 0, sizeof(*fixture));
    for (size_t i = 0; i < HM_COUNT_OF(fixture->owners); i++)
        memset(fixture->owners[i], (int)i, WIRE_ID_BYTES);
    fixture->snapshot = (struct sched_snapshot){.assets = fixture->list,
                                                .admits = admits,
                                                .admits_ctx = fixture,
                                                .default_max_leases = 10,
                                                .default_max_duration_ms = 24 * 3600000,
                                                .grace_ms = SCHED_TEST_GRACE_MS,
                                                .pids_per_slot = 256,
                                                .share_for = sched_fixture_share};
    fixture->consumer = SCHED_TEST_CONSUMER;
    hypermesh__job_spec__init(&fixture->spec);
    fixture->spec.cpu_milli = 1000;
    fixture->spec.memory_bytes = 1000;
    fixture->spec.storage_bytes = 1000;
    fixture->spec.pids = 256;
    fixture->spec.timeout_ms = 3600000 - SCHED_TEST_GRACE_MS;
}

Hypermesh__Asset *sched_fixture_add(struct sched_fixture *fixture, uint8_t owner,
                                    Hypermesh__AssetKind kind, uint64_t capacity,
                                    uint64_t price_per_hour)
{
    size_t number = fixture->snapshot.count++;
    Hypermesh__Asset *asset = &fixture->assets[number];

    assert_true(number < SCHED_TEST_ASSETS_MAX);
    hypermesh__asset__init(asset);
    hypermesh__privacy__init(&fixture->privacies[number]);
    memset(fixture->ids[number], 0xff, WIRE_ID_BYTES);
    fixture->ids[number][0] = (uint8_t)number;
    asset->id = wire_bytes(fixture->ids[number], WIRE_ID_BYTES);
    asset->owner = wire_bytes(fixture->owners[owner], WIRE_ID_BYTES);
    asset->kind = kind;
    asset->capacity = capacity;
    asset->price_per_hour = price_per_hour;
    asset->state = HYPERMESH__ASSET_STATE__ACTIVE;
    asset->privacy = &fixture->privacies[number];
    asset->privacy->level = HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC;
    fixture->list[number] = asset;
    return asset;
}

void sched_fixture_provider(struct sched_fixture *fixture, uint8_t owner, uint64_t price_per_hour)
{
    sched_fixture_add(fixture, owner, HYPERMESH__ASSET_KIND__CPU, 2000, price_per_hour);
    sched_fixture_add(fixture, owner, HYPERMESH__ASSET_KIND__MEMORY, 2000, price_per_hour);
    sched_fixture_add(fixture, owner, HYPERMESH__ASSET_KIND__STORAGE, 2000, price_per_hour);
    sched_fixture_add(fixture, owner, HYPERMESH__ASSET_KIND__CONTAINER, 2, price_per_hour);
}

Hypermesh__Asset *sched_fixture_of(struct sched_fixture *fixture, uint8_t owner,
                                   Hypermesh__AssetKind kind)
{
    for (size_t i = 0; i < fixture->snapshot.count; i++)
        if (fixture->list[i]->owner.data == fixture->owners[owner] &&
            fixture->list[i]->kind == kind)
            return fixture->list[i];
    fail_msg("owner %u has no such asset", owner);
    return NULL;
}
