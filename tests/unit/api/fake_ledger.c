/* The fake's chain: a few assets, leases and blocks that never change. */
#include "fake_parts.h"

static Hypermesh__Asset *make_asset(struct hm_arena *arena, unsigned index)
{
    Hypermesh__Asset *asset = hm_arena_alloc(arena, sizeof(*asset));

    hypermesh__asset__init(asset);
    asset->id = fake_bytes(arena, (uint8_t)(0xa0 + index));
    asset->owner = fake_bytes(arena, 2);
    asset->kind = HYPERMESH__ASSET_KIND__CPU;
    asset->hardware_id = fake_text(arena, "cpu-0");
    asset->capacity = 2000;
    asset->price_per_hour = 2500000000;
    asset->state = HYPERMESH__ASSET_STATE__ACTIVE;
    asset->n_attributes = 1;
    asset->attributes = hm_arena_alloc(arena, sizeof(*asset->attributes));
    asset->attributes[0] = hm_arena_alloc(arena, sizeof(*asset->attributes[0]));
    hypermesh__attribute__init(asset->attributes[0]);
    asset->attributes[0]->name = fake_text(arena, "model");
    asset->attributes[0]->value = fake_text(arena, "Tiny");
    asset->privacy = hm_arena_alloc(arena, sizeof(*asset->privacy));
    hypermesh__privacy__init(asset->privacy);
    asset->privacy->level = HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC;
    asset->privacy->max_share_ppm = 500000;
    return asset;
}

static int fake_asset(void *ctx, const uint8_t id[32], struct hm_arena *arena,
                      Hypermesh__Asset **out, uint8_t address[16], struct hm_error *error)
{
    (void)ctx;
    if (id[0] < 0xa0 || id[0] >= 0xa0 + FAKE_ASSETS)
        return hm_fail(error, HM_ENOTFOUND, "there is no such asset");
    *out = make_asset(arena, id[0] - 0xa0u);
    memset(address, 0, 16);
    address[0] = 0xfd;
    address[15] = id[0];
    return 0;
}

static int fake_assets(void *ctx, const char *owner, Hypermesh__AssetKind kind, bool with_retired,
                       const struct api_page *page, struct hm_arena *arena, Hypermesh__Asset ***out,
                       size_t *count, struct hm_error *error)
{
    Hypermesh__Asset **list = hm_arena_alloc(arena, FAKE_ASSETS * sizeof(*list));

    (void)ctx;
    (void)error;
    (void)with_retired;
    *count = 0;
    for (unsigned i = 0; i < FAKE_ASSETS && *count < page->limit; i++) {
        if (page->after && page->after[0] >= 0xa0 + i)
            continue;
        if ((owner && strcmp(owner, "node") != 0) ||
            (kind != HYPERMESH__ASSET_KIND__ASSET_NONE && kind != HYPERMESH__ASSET_KIND__CPU))
            continue;
        list[(*count)++] = make_asset(arena, i);
    }
    *out = list;
    return 0;
}

static int fake_asset_history(void *ctx, const uint8_t id[32], uint64_t from, size_t limit,
                              struct hm_arena *arena, Hypermesh__AssetEvent ***out, size_t *count,
                              struct hm_error *error)
{
    Hypermesh__AssetEvent **list = hm_arena_alloc(arena, 3 * sizeof(*list));

    (void)ctx;
    (void)error;
    *count = 0;
    for (uint64_t i = from; i < 3 && *count < limit; i++) {
        Hypermesh__AssetEvent *event = hm_arena_alloc(arena, sizeof(*event));

        hypermesh__asset_event__init(event);
        event->height = i + 1;
        event->time_ms = 1000 + i;
        event->op = i == 2 ? 0 : 12; /* expiry, allocate */
        event->account = wire_bytes(hm_arena_dup(arena, id, 32), 32);
        list[(*count)++] = event;
    }
    *out = list;
    return 0;
}

static Hypermesh__Lease *make_lease(struct hm_arena *arena, unsigned index)
{
    Hypermesh__Lease *lease = hm_arena_alloc(arena, sizeof(*lease));

    hypermesh__lease__init(lease);
    lease->id = fake_bytes(arena, (uint8_t)(0xb0 + index));
    lease->consumer = fake_bytes(arena, 1);
    lease->provider = fake_bytes(arena, 2);
    lease->n_items = 1;
    lease->items = hm_arena_alloc(arena, sizeof(*lease->items));
    lease->items[0] = hm_arena_alloc(arena, sizeof(*lease->items[0]));
    hypermesh__leased_item__init(lease->items[0]);
    lease->items[0]->asset = fake_bytes(arena, (uint8_t)(0xa0 + index));
    lease->items[0]->share_ppm = 100000;
    lease->items[0]->kind = HYPERMESH__ASSET_KIND__CPU;
    lease->state = HYPERMESH__LEASE_STATE__LEASE_ACTIVE;
    lease->escrow = 70000000;
    if (index == 2) {
        lease->settlement = hm_arena_alloc(arena, sizeof(*lease->settlement));
        hypermesh__settle__init(lease->settlement);
        lease->settlement->outcome = HYPERMESH__JOB_OUTCOME__TIMED_OUT;
        lease->settlement->exit_code = -1;
    }
    return lease;
}

static int fake_leases(void *ctx, const char *party, const uint8_t *asset, bool active_only,
                       const struct api_page *page, struct hm_arena *arena, Hypermesh__Lease ***out,
                       size_t *count, struct hm_error *error)
{
    Hypermesh__Lease **list = hm_arena_alloc(arena, FAKE_LEASES * sizeof(*list));

    (void)ctx;
    (void)error;
    (void)party;
    (void)active_only;
    *count = 0;
    for (unsigned i = 0; i < FAKE_LEASES && *count < page->limit; i++) {
        if ((page->after && page->after[0] >= 0xb0 + i) || (asset && asset[0] != 0xa0 + i))
            continue;
        list[(*count)++] = make_lease(arena, i);
    }
    *out = list;
    return 0;
}

static int fake_lease(void *ctx, const uint8_t id[32], struct hm_arena *arena,
                      Hypermesh__Lease **out, struct hm_error *error)
{
    (void)ctx;
    if (id[0] < 0xb0 || id[0] >= 0xb0 + FAKE_LEASES)
        return hm_fail(error, HM_ENOTFOUND, "there is no such lease");
    *out = make_lease(arena, id[0] - 0xb0u);
    return 0;
}

static int fake_chain(void *ctx, struct hm_arena *arena, Hypermesh__Params **params,
                      Hypermesh__Supply **supply, Hypermesh__Genesis **genesis,
                      struct hm_error *error)
{
    (void)ctx;
    (void)error;
    *params = hm_arena_alloc(arena, sizeof(**params));
    hypermesh__params__init(*params);
    (*params)->bond_provider = 100000000000;
    *supply = hm_arena_alloc(arena, sizeof(**supply));
    hypermesh__supply__init(*supply);
    *genesis = hm_arena_alloc(arena, sizeof(**genesis));
    hypermesh__genesis__init(*genesis);
    (*genesis)->chain_id = fake_text(arena, "fake-1");
    (*genesis)->params = *params;
    return 0;
}

static void make_block(struct hm_arena *arena, uint64_t height, struct api_block *out)
{
    out->header = hm_arena_alloc(arena, sizeof(*out->header));
    out->record = hm_arena_alloc(arena, sizeof(*out->record));
    hypermesh__block_header__init(out->header);
    hypermesh__block_record__init(out->record);
    out->header->height = height;
    out->header->chain_id = fake_text(arena, "fake-1");
    if (height == FAKE_BLOCKS) { /* of four validators the second said nothing, the third nil */
        out->header->engine = hm_arena_alloc(arena, sizeof(*out->header->engine));
        hypermesh__engine_facts__init(out->header->engine);
        out->header->engine->round = 3;
        out->header->engine->absent = wire_bytes(hm_arena_dup(arena, "\x02", 1), 1);
        out->header->engine->nil = wire_bytes(hm_arena_dup(arena, "\x04", 1), 1);
    }
    out->record->hash = fake_bytes(arena, (uint8_t)(0xe0 + height));
    out->record->state_root = fake_bytes(arena, 0xef);
    out->record->n_expired = 1;
    out->record->expired = hm_arena_alloc(arena, sizeof(*out->record->expired));
    out->record->expired[0] = fake_bytes(arena, 0xb0);
    out->txs = 1;
}

static int fake_blocks(void *ctx, uint64_t from, size_t limit, struct hm_arena *arena,
                       struct api_block **out, size_t *count, struct hm_error *error)
{
    struct api_block *list = hm_arena_alloc(arena, FAKE_BLOCKS * sizeof(*list));

    (void)ctx;
    (void)error;
    *count = 0;
    for (uint64_t height = from < FAKE_BLOCKS ? from : FAKE_BLOCKS; height > 0 && *count < limit;
         height--)
        make_block(arena, height, &list[(*count)++]);
    *out = list;
    return 0;
}

static int fake_block(void *ctx, uint64_t height, struct hm_arena *arena, struct api_block *out,
                      uint8_t (**tx_digests)[32], struct hm_error *error)
{
    (void)ctx;
    if (height < 1 || height > FAKE_BLOCKS)
        return hm_fail(error, HM_ENOTFOUND, "there is no block %llu", (unsigned long long)height);
    make_block(arena, height, out);
    *tx_digests = hm_arena_alloc(arena, 32);
    fake_id(0xd0, (*tx_digests)[0]);
    return 0;
}

static int fake_tx(void *ctx, const uint8_t digest[32], struct hm_arena *arena, struct api_tx *out,
                   struct hm_error *error)
{
    Hypermesh__Allocate *allocate = hm_arena_alloc(arena, sizeof(*allocate));
    Hypermesh__Operation *op = hm_arena_alloc(arena, sizeof(*op));

    (void)ctx;
    if (digest[0] != 0xd0 && digest[0] != 0xd1)
        return hm_fail(error, HM_ENOTFOUND, "there is no such transaction");
    memcpy(out->digest, digest, 32);
    out->height = 5;
    out->body = hm_arena_alloc(arena, sizeof(*out->body));
    hypermesh__tx_body__init(out->body);
    out->body->account = fake_bytes(arena, 1);
    hypermesh__allocate__init(allocate);
    allocate->duration_ms = 30000;
    hypermesh__operation__init(op);
    op->op_case = HYPERMESH__OPERATION__OP_ALLOCATE;
    op->allocate = allocate;
    out->body->n_ops = 1;
    out->body->ops = hm_arena_alloc(arena, sizeof(*out->body->ops));
    out->body->ops[0] = op;
    out->result = hm_arena_alloc(arena, sizeof(*out->result));
    hypermesh__tx_result__init(out->result);
    out->result->fee = 1000000000;
    if (digest[0] == 0xd1) {
        out->result->code = HM_EFUNDS;
        out->result->text = fake_text(arena, "not enough");
    }
    return 0;
}

static int fake_state_proof(void *ctx, struct hm_slice key, struct hm_arena *arena,
                            struct api_state_proof *out, struct hm_error *error)
{
    (void)ctx;
    (void)error;
    if (key.len > 0 && key.data[0] == 1)
        out->value = hm_slice_of(fake_text(arena, "value"), 5);
    out->proof = hm_slice_of(fake_text(arena, "proof"), 5);
    out->height = FAKE_BLOCKS;
    return 0;
}

static int fake_reports(struct hm_arena *arena, bool valid, Hypermesh__ProofReport **out)
{
    static const char *const names[4] = {"space", "stake", "work", "time"};
    Hypermesh__ProofReport *reports = hm_arena_alloc(arena, 4 * sizeof(*reports));

    for (size_t i = 0; i < 4; i++) {
        hypermesh__proof_report__init(&reports[i]);
        reports[i].name = fake_text(arena, names[i]);
        reports[i].valid = valid || i != 2;
    }
    *out = reports;
    return 0;
}

static int fake_validate_tx(void *ctx, const uint8_t digest[32], struct hm_arena *arena,
                            Hypermesh__ProofReport **out, struct hm_error *error)
{
    (void)ctx;
    (void)error;
    return fake_reports(arena, digest[0] == 0xd0, out);
}

static int fake_validate_batch(void *ctx, struct hm_slice batch, size_t tx_index,
                               struct hm_arena *arena, Hypermesh__ProofReport **out,
                               struct hm_error *error)
{
    (void)ctx;
    (void)batch;
    if (tx_index > 0)
        return hm_fail(error, HM_ERANGE, "the batch has one transaction");
    return fake_reports(arena, true, out);
}

static int fake_verify(void *ctx, int (*progress)(void *pctx, uint64_t done, uint64_t total),
                       void *pctx, uint64_t *blocks, uint64_t *txs, struct hm_error *error)
{
    const struct timespec nap = {.tv_nsec = 2000000};
    struct fake *fake = ctx;

    for (unsigned i = 0; i < fake->verify_steps; i++) {
        int rc = progress(pctx, i, fake->verify_steps);

        if (rc)
            return hm_fail(error, rc, "the replay was given up");
        (void)nanosleep(&nap, NULL);
    }
    if (fake->verify_fails)
        return hm_fail(error, HM_ECORRUPT, "block 3 has another state root");
    *blocks = FAKE_BLOCKS;
    *txs = 12;
    return 0;
}

void fake_ledger_fill(struct api_backend *backend)
{
    backend->asset = fake_asset;
    backend->assets = fake_assets;
    backend->asset_history = fake_asset_history;
    backend->leases = fake_leases;
    backend->lease = fake_lease;
    backend->chain = fake_chain;
    backend->blocks = fake_blocks;
    backend->block = fake_block;
    backend->tx = fake_tx;
    backend->state_proof = fake_state_proof;
    backend->validate_tx = fake_validate_tx;
    backend->validate_batch = fake_validate_batch;
    backend->verify_chain = fake_verify;
}
