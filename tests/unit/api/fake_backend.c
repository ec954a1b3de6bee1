#include "fake_backend.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#define FAKE_JOBS 3

void fake_id(uint8_t first, uint8_t out[32])
{
    memset(out, first, 32);
}

static ProtobufCBinaryData id_bytes(struct hm_arena *arena, uint8_t first)
{
    uint8_t id[32];

    fake_id(first, id);
    return wire_bytes(hm_arena_dup(arena, id, sizeof(id)), sizeof(id));
}

static char *text_of(struct hm_arena *arena, const char *text)
{
    return hm_arena_strdup(arena, text);
}

/* --- the node itself -------------------------------------------------------------------------- */

static int fake_status(void *ctx, struct hm_arena *arena, struct api_status *out,
                       struct hm_error *error)
{
    static const char *warnings[] = {"memory limits \"do not\" hold here"};
    struct fake *fake = ctx;
    int fail;

    (void)arena;
    (void)pthread_mutex_lock(&fake->lock);
    fail = fake->fail;
    *out = (struct api_status){.version = "0.1.0",
                               .chain_id = "fake-1",
                               .engine = "solo",
                               .node_account = "node",
                               .data_dir = "/var/lib/fake",
                               .listen = "127.0.0.1:7470",
                               .height = FAKE_BLOCKS,
                               .time_ms = 1700000000000,
                               .base_fee = 1500000000,
                               .started_ms = 1690000000000,
                               .ready = fake->ready,
                               .not_ready = fake->ready ? NULL : "the plot is being built",
                               .queued = 2,
                               .plot_bytes = 1 << 26,
                               .sandbox = "runc",
                               .warnings = warnings,
                               .warning_count = 1};
    (void)pthread_mutex_unlock(&fake->lock);
    fake_id(0xee, out->block_hash);
    fake_id(0xef, out->state_root);
    return fail ? hm_fail(error, fail, "the fake was told to fail") : 0;
}

static int fake_stop(void *ctx, struct hm_error *error)
{
    struct fake *fake = ctx;

    (void)error;
    (void)pthread_mutex_lock(&fake->lock);
    fake->stopped = true;
    (void)pthread_mutex_unlock(&fake->lock);
    return 0;
}

static int fake_metrics(void *ctx, struct hm_buf *out, struct hm_error *error)
{
    (void)ctx;
    (void)error;
    return hm_buf_append_str(out, "# TYPE fake_height gauge\nfake_height 7");
}

static int fake_scan(void *ctx, struct hm_arena *arena, struct api_scan_item **out, size_t *count,
                     const char *const **notes, size_t *note_count, struct hm_error *error)
{
    static const char *const attributes[] = {"model", "Tiny \"9\"\nCPU", "odd\"name", "\xff\xfe"};
    static const char *const live[] = {"load", "0.5"};
    static const char *const words[] = {"no GPU was found"};
    struct api_scan_item *items = hm_arena_alloc(arena, 2 * sizeof(*items));
    uint8_t id[32];

    (void)ctx;
    (void)error;
    fake_id(0xa0, id);
    items[0] = (struct api_scan_item){.kind = "cpu",
                                      .hardware_id = "cpu-0",
                                      .title = "Tiny",
                                      .unit = "millicores",
                                      .capacity = 2000,
                                      .attributes = attributes,
                                      .attribute_count = 2,
                                      .live = live,
                                      .live_count = 1,
                                      .asset = hm_arena_dup(arena, id, sizeof(id))};
    items[1] = (struct api_scan_item){.kind = "memory",
                                      .hardware_id = "mem-0",
                                      .title = "RAM",
                                      .unit = "bytes",
                                      .health = "one bank fails"};
    *out = items;
    *count = 2;
    *notes = words;
    *note_count = 1;
    return 0;
}

static int fake_doctor(void *ctx, struct hm_arena *arena, struct api_check **out, size_t *count,
                       struct hm_error *error)
{
    struct api_check *checks = hm_arena_alloc(arena, sizeof(*checks));

    (void)ctx;
    (void)error;
    *checks = (struct api_check){.name = "cgroup", .level = "ok", .text = "cgroup v2"};
    *out = checks;
    *count = 1;
    return 0;
}

/* --- accounts and acts ------------------------------------------------------------------------ */

static int fake_account(void *ctx, const char *name_or_id, struct hm_arena *arena,
                        struct api_account *out, struct hm_error *error)
{
    Hypermesh__Account *state = hm_arena_alloc(arena, sizeof(*state));
    uint8_t id[32];
    uint8_t first;

    (void)ctx;
    if (wire_account_parse(name_or_id, id, NULL) == 0)
        first = id[0];
    else if (strcmp(name_or_id, "user") == 0)
        first = 1;
    else if (strcmp(name_or_id, "node") == 0)
        first = 2;
    else
        return hm_fail(error, HM_ENOTFOUND, "no account is called '%.40s'", name_or_id);
    hypermesh__account__init(state);
    state->hyper = 1500000000;
    state->txs = 3;
    *out = (struct api_account){.state = state,
                                .name = first == 1   ? "user"
                                        : first == 2 ? "node"
                                                     : NULL};
    fake_id(first, out->id);
    return 0;
}

static int fake_accounts(void *ctx, struct hm_arena *arena, struct api_account **out, size_t *count,
                         struct hm_error *error)
{
    struct api_account *list = hm_arena_alloc(arena, 2 * sizeof(*list));
    int rc = fake_account(ctx, "user", arena, &list[0], error);

    if (rc == 0)
        rc = fake_account(ctx, "node", arena, &list[1], error);
    list[1].state = NULL;
    *out = list;
    *count = 2;
    return rc;
}

static int fake_account_create(void *ctx, const char *name, struct hm_arena *arena,
                               struct api_account *out, struct hm_error *error)
{
    (void)ctx;
    if (strcmp(name, "user") == 0)
        return hm_fail(error, HM_EEXIST, "there is an account called user already");
    *out = (struct api_account){.name = text_of(arena, name)};
    fake_id(9, out->id);
    return 0;
}

static int fake_done(struct fake *fake, struct hm_arena *arena, struct api_receipt *out,
                     struct hm_error *error)
{
    fake->submits++;
    fake->waiting++;
    while (fake->held)
        (void)pthread_cond_wait(&fake->changed, &fake->lock);
    fake->waiting--;
    if (fake->fail)
        return hm_fail(error, fake->fail, "the fake was told to fail");
    *out = (struct api_receipt){.height = 8, .fee = 250, .created_count = 1};
    fake_id(0xd0, out->digest);
    fake_id(0xee, out->block_hash);
    fake_id(0xef, out->state_root);
    out->created = hm_arena_alloc(arena, 32);
    fake_id(0xa0, out->created[0]);
    return 0;
}

static int fake_submit(void *ctx, const char *account, Hypermesh__Operation *const *ops,
                       size_t count, struct hm_arena *arena, struct api_receipt *out,
                       struct hm_error *error)
{
    struct fake *fake = ctx;
    int rc;

    (void)pthread_mutex_lock(&fake->lock);
    (void)snprintf(fake->account, sizeof(fake->account), "%s", account);
    hm_buf_clear(&fake->op);
    rc = count == 1 ? wire_pack(&ops[0]->base, &fake->op) : HM_EINTERNAL;
    if (rc == 0)
        rc = fake_done(fake, arena, out, error);
    (void)pthread_mutex_unlock(&fake->lock);
    return rc;
}

static int fake_submit_signed(void *ctx, struct hm_slice tx, struct hm_arena *arena,
                              struct api_receipt *out, struct hm_error *error)
{
    struct fake *fake = ctx;
    int rc;

    (void)pthread_mutex_lock(&fake->lock);
    hm_buf_clear(&fake->op);
    rc = hm_buf_append(&fake->op, tx.data, tx.len);
    if (rc == 0)
        rc = fake_done(fake, arena, out, error);
    (void)pthread_mutex_unlock(&fake->lock);
    return rc;
}

static int fake_signing(void *ctx, const uint8_t account[32], struct hm_arena *arena,
                        Hypermesh__TxBody *out, unsigned *work_bits, uint64_t *base_fee,
                        struct hm_error *error)
{
    (void)ctx;
    (void)error;
    hypermesh__tx_body__init(out);
    out->chain_id = text_of(arena, "fake-1");
    out->account = wire_bytes(hm_arena_dup(arena, account, 32), 32);
    out->presence = id_bytes(arena, 0x77);
    out->anchor_height = 6;
    out->anchor_hash = id_bytes(arena, 0xee);
    out->timestamp_ms = 1700000000000;
    *work_bits = 14;
    *base_fee = 10;
    return 0;
}

/* --- the ledger ------------------------------------------------------------------------------- */

static Hypermesh__Asset *make_asset(struct hm_arena *arena, unsigned index)
{
    Hypermesh__Asset *asset = hm_arena_alloc(arena, sizeof(*asset));

    hypermesh__asset__init(asset);
    asset->id = id_bytes(arena, (uint8_t)(0xa0 + index));
    asset->owner = id_bytes(arena, 2);
    asset->kind = HYPERMESH__ASSET_KIND__CPU;
    asset->hardware_id = text_of(arena, "cpu-0");
    asset->capacity = 2000;
    asset->price_per_hour = 2500000000;
    asset->state = HYPERMESH__ASSET_STATE__ACTIVE;
    asset->n_attributes = 1;
    asset->attributes = hm_arena_alloc(arena, sizeof(*asset->attributes));
    asset->attributes[0] = hm_arena_alloc(arena, sizeof(*asset->attributes[0]));
    hypermesh__attribute__init(asset->attributes[0]);
    asset->attributes[0]->name = text_of(arena, "model");
    asset->attributes[0]->value = text_of(arena, "Tiny");
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
    lease->id = id_bytes(arena, (uint8_t)(0xb0 + index));
    lease->consumer = id_bytes(arena, 1);
    lease->provider = id_bytes(arena, 2);
    lease->n_items = 1;
    lease->items = hm_arena_alloc(arena, sizeof(*lease->items));
    lease->items[0] = hm_arena_alloc(arena, sizeof(*lease->items[0]));
    hypermesh__leased_item__init(lease->items[0]);
    lease->items[0]->asset = id_bytes(arena, (uint8_t)(0xa0 + index));
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
    (*genesis)->chain_id = text_of(arena, "fake-1");
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
    out->header->chain_id = text_of(arena, "fake-1");
    out->record->hash = id_bytes(arena, (uint8_t)(0xe0 + height));
    out->record->state_root = id_bytes(arena, 0xef);
    out->record->n_expired = 1;
    out->record->expired = hm_arena_alloc(arena, sizeof(*out->record->expired));
    out->record->expired[0] = id_bytes(arena, 0xb0);
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
    out->body->account = id_bytes(arena, 1);
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
        out->result->text = text_of(arena, "not enough");
    }
    return 0;
}

static int fake_state_proof(void *ctx, struct hm_slice key, struct hm_arena *arena,
                            struct api_state_proof *out, struct hm_error *error)
{
    (void)ctx;
    (void)error;
    if (key.len > 0 && key.data[0] == 1)
        out->value = hm_slice_of(text_of(arena, "value"), 5);
    out->proof = hm_slice_of(text_of(arena, "proof"), 5);
    out->height = FAKE_BLOCKS;
    return 0;
}

static int fake_reports(struct hm_arena *arena, bool valid, Hypermesh__ProofReport **out)
{
    static const char *const names[4] = {"space", "stake", "work", "time"};
    Hypermesh__ProofReport *reports = hm_arena_alloc(arena, 4 * sizeof(*reports));

    for (size_t i = 0; i < 4; i++) {
        hypermesh__proof_report__init(&reports[i]);
        reports[i].name = text_of(arena, names[i]);
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

/* --- jobs and images -------------------------------------------------------------------------- */

static Hypermesh__JobRecord *make_job(struct fake *fake, unsigned index, struct hm_arena *arena)
{
    Hypermesh__JobRecord *record = hm_arena_alloc(arena, sizeof(*record));

    hypermesh__job_record__init(record);
    record->id = index == 0 ? text_of(arena, FAKE_JOB) : hm_arena_printf(arena, "j%012u", index);
    record->state = index == 0 ? fake->job_state : HYPERMESH__JOB_STATE__JOB_DONE;
    if (index == 0) {
        record->lease = id_bytes(arena, 0xb0);
        record->allocate_tx = id_bytes(arena, 0xd0);
        record->consumer = id_bytes(arena, 1);
    }
    record->exit_code = -1;
    return record;
}

static int fake_job(void *ctx, const char *id, struct hm_arena *arena, Hypermesh__JobRecord **out,
                    struct hm_error *error)
{
    struct fake *fake = ctx;

    if (strcmp(id, FAKE_JOB) != 0 && strcmp(id, "latest") != 0)
        return hm_fail(error, HM_ENOTFOUND, "there is no job '%.40s'", id);
    (void)pthread_mutex_lock(&fake->lock);
    *out = make_job(fake, 0, arena);
    (void)pthread_mutex_unlock(&fake->lock);
    return 0;
}

static int fake_jobs(void *ctx, const char *after, size_t limit, struct hm_arena *arena,
                     Hypermesh__JobRecord ***out, size_t *count, struct hm_error *error)
{
    Hypermesh__JobRecord **list = hm_arena_alloc(arena, FAKE_JOBS * sizeof(*list));
    struct fake *fake = ctx;
    bool begun = after == NULL;

    (void)error;
    *count = 0;
    (void)pthread_mutex_lock(&fake->lock);
    for (unsigned i = 0; i < FAKE_JOBS && *count < limit; i++) {
        Hypermesh__JobRecord *record = make_job(fake, i, arena);

        if (begun)
            list[(*count)++] = record;
        else
            begun = strcmp(record->id, after) == 0;
    }
    (void)pthread_mutex_unlock(&fake->lock);
    *out = list;
    return 0;
}

static int fake_job_create(void *ctx, const Hypermesh__JobSpec *spec, const char *account,
                           struct hm_arena *arena, Hypermesh__JobRecord **out,
                           struct hm_error *error)
{
    struct fake *fake = ctx;

    (void)error;
    (void)pthread_mutex_lock(&fake->lock);
    (void)snprintf(fake->account, sizeof(fake->account), "%s", account);
    fake->duration_seen = spec->timeout_ms;
    *out = make_job(fake, 0, arena);
    (void)pthread_mutex_unlock(&fake->lock);
    return 0;
}

static int fake_job_cancel(void *ctx, const char *id, struct hm_error *error)
{
    struct fake *fake = ctx;

    if (strcmp(id, FAKE_JOB) != 0)
        return hm_fail(error, HM_ENOTFOUND, "there is no job '%.40s'", id);
    (void)pthread_mutex_lock(&fake->lock);
    fake->cancelled = true;
    (void)pthread_mutex_unlock(&fake->lock);
    return 0;
}

static int fake_job_wait(void *ctx, const char *id, Hypermesh__JobState seen_state,
                         uint64_t seen_log_bytes, unsigned timeout_ms, struct hm_error *error)
{
    struct fake *fake = ctx;
    struct timespec until;
    int timed_out = 0;

    (void)id;
    (void)error;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(timeout_ms / 1000);
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    (void)pthread_mutex_lock(&fake->lock);
    while (timed_out != ETIMEDOUT && fake->job_state == seen_state &&
           fake->log_bytes <= seen_log_bytes)
        timed_out = pthread_cond_timedwait(&fake->changed, &fake->lock, &until);
    (void)pthread_mutex_unlock(&fake->lock);
    return 0;
}

static int fake_job_log(void *ctx, const char *id, struct hm_arena *arena, struct api_log *out,
                        struct hm_error *error)
{
    struct fake *fake = ctx;

    (void)id;
    (void)error;
    (void)pthread_mutex_lock(&fake->lock);
    out->path = fake->log_path[0] != '\0' ? text_of(arena, fake->log_path) : NULL;
    out->ended = fake->job_state == HYPERMESH__JOB_STATE__JOB_DONE;
    (void)pthread_mutex_unlock(&fake->lock);
    return 0;
}

static int fake_image(struct hm_arena *arena, const char *name, struct api_image *out)
{
    *out = (struct api_image){
        .name = text_of(arena, name), .digest = "sha256:00", .bytes = 10, .layers = 1};
    return 0;
}

static int fake_images(void *ctx, struct hm_arena *arena, struct api_image **out, size_t *count,
                       struct hm_error *error)
{
    (void)ctx;
    (void)error;
    *out = hm_arena_alloc(arena, sizeof(**out));
    *count = 1;
    return fake_image(arena, "busybox", *out);
}

static int fake_image_import(void *ctx, const char *path, const char *name, struct hm_arena *arena,
                             struct api_image *out, struct hm_error *error)
{
    (void)ctx;
    (void)path;
    (void)error;
    return fake_image(arena, name ? name : "its-own", out);
}

static int fake_image_base(void *ctx, struct hm_arena *arena, struct api_image *out,
                           struct hm_error *error)
{
    (void)ctx;
    (void)error;
    return fake_image(arena, "busybox", out);
}

static int fake_image_remove(void *ctx, const char *name, struct hm_error *error)
{
    (void)ctx;
    return strcmp(name, "busybox") == 0
               ? 0
               : hm_fail(error, HM_ENOTFOUND, "there is no image '%.40s'", name);
}

/* --- for the tests ---------------------------------------------------------------------------- */

void fake_init(struct fake *fake)
{
    pthread_condattr_t attributes;

    memset(fake, 0, sizeof(*fake));
    (void)pthread_mutex_init(&fake->lock, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&fake->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    fake->ready = true;
    fake->job_state = HYPERMESH__JOB_STATE__JOB_RUNNING;
    fake->verify_steps = 3;
    fake->backend = (struct api_backend){
        .ctx = fake,
        .status = fake_status,
        .stop = fake_stop,
        .metrics = fake_metrics,
        .accounts = fake_accounts,
        .account = fake_account,
        .account_create = fake_account_create,
        .submit = fake_submit,
        .submit_signed = fake_submit_signed,
        .signing = fake_signing,
        .assets = fake_assets,
        .asset = fake_asset,
        .asset_history = fake_asset_history,
        .leases = fake_leases,
        .lease = fake_lease,
        .chain = fake_chain,
        .blocks = fake_blocks,
        .block = fake_block,
        .tx = fake_tx,
        .state_proof = fake_state_proof,
        .validate_tx = fake_validate_tx,
        .validate_batch = fake_validate_batch,
        .verify_chain = fake_verify,
        .scan = fake_scan,
        .doctor = fake_doctor,
        .job_create = fake_job_create,
        .jobs = fake_jobs,
        .job = fake_job,
        .job_cancel = fake_job_cancel,
        .job_wait = fake_job_wait,
        .job_log = fake_job_log,
        .images = fake_images,
        .image_import = fake_image_import,
        .image_build_base = fake_image_base,
        .image_remove = fake_image_remove,
    };
}

void fake_release(struct fake *fake)
{
    if (fake->log_path[0] != '\0')
        (void)unlink(fake->log_path);
    hm_buf_release(&fake->op);
    (void)pthread_cond_destroy(&fake->changed);
    (void)pthread_mutex_destroy(&fake->lock);
}

void fake_set_ready(struct fake *fake, bool ready)
{
    (void)pthread_mutex_lock(&fake->lock);
    fake->ready = ready;
    (void)pthread_mutex_unlock(&fake->lock);
}

void fake_hold(struct fake *fake, bool held)
{
    (void)pthread_mutex_lock(&fake->lock);
    fake->held = held;
    (void)pthread_cond_broadcast(&fake->changed);
    (void)pthread_mutex_unlock(&fake->lock);
}

unsigned fake_waiting(struct fake *fake)
{
    unsigned waiting;

    (void)pthread_mutex_lock(&fake->lock);
    waiting = fake->waiting;
    (void)pthread_mutex_unlock(&fake->lock);
    return waiting;
}

static void log_append(struct fake *fake, const void *data, size_t len)
{
    HM_AUTOCLOSE int fd = open(fake->log_path, O_WRONLY | O_APPEND | O_CLOEXEC);

    if (fd < 0 || hm_write_all(fd, data, len, NULL))
        abort();
    fake->log_bytes += len;
}

void fake_log(struct fake *fake, uint8_t stream, const char *text)
{
    size_t len = strlen(text);
    uint8_t frame[8 + 256] = {stream};

    hm_put_be32(frame + 4, (uint32_t)len);
    memcpy(frame + 8, text, len);
    (void)pthread_mutex_lock(&fake->lock);
    if (fake->log_path[0] == '\0') {
        char path[] = "/tmp/hm-api-log-XXXXXX";
        int fd = mkstemp(path);

        if (fd < 0)
            abort();
        (void)close(fd);
        memcpy(fake->log_path, path, sizeof(path));
    }
    log_append(fake, frame, 8 + len);
    (void)pthread_cond_broadcast(&fake->changed);
    (void)pthread_mutex_unlock(&fake->lock);
}

void fake_job_state(struct fake *fake, Hypermesh__JobState state)
{
    (void)pthread_mutex_lock(&fake->lock);
    fake->job_state = state;
    (void)pthread_cond_broadcast(&fake->changed);
    (void)pthread_mutex_unlock(&fake->lock);
}
