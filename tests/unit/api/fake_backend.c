#include "fake_backend.h"
#include "fake_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

void fake_id(uint8_t first, uint8_t out[32])
{
    memset(out, first, 32);
}

ProtobufCBinaryData fake_bytes(struct hm_arena *arena, uint8_t first)
{
    uint8_t id[32];

    fake_id(first, id);
    return wire_bytes(hm_arena_dup(arena, id, sizeof(id)), sizeof(id));
}

char *fake_text(struct hm_arena *arena, const char *text)
{
    return hm_arena_strdup(arena, text);
}

/* --- the node itself -------------------------------------------------------------------------- */

static int fake_status(void *ctx, struct hm_arena *arena, struct api_status *out,
                       struct hm_error *error)
{
    static const struct api_link links[] = {
        {.node = {0xab}, .packets = 96, .lost = 9, .overtaken = 2, .duplicated = 1, .bad = true}};
    static struct api_cluster cluster = {
        .validators = 4, .peers = 3, .reachable = true, .links = links, .link_count = 1};
    static const char *warnings[] = {"memory limits \"do not\" hold here"};
    struct fake *fake = ctx;
    int fail;

    (void)arena;
    (void)pthread_mutex_lock(&fake->lock);
    fake->waiting++;
    while (fake->status_held)
        (void)pthread_cond_wait(&fake->changed, &fake->lock);
    fake->waiting--;
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
                               .cluster = fake->ready ? &cluster : NULL,
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
    *out = (struct api_account){.name = fake_text(arena, name)};
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
    if (rc == 0)
        rc = fake_kv_apply(fake, ops[0], arena, out, error);
    (void)pthread_mutex_unlock(&fake->lock);
    return rc;
}

/* --- acts that go on without a thread ----------------------------------------------------------- */

struct fake_act {
    Hypermesh__Operation *const *ops;
    size_t count;
    char account[80];
};

static int fake_submit_later(void *ctx, const char *account, Hypermesh__Operation *const *ops,
                             size_t count, struct api_later *later, bool *begun,
                             struct hm_error *error)
{
    struct fake *fake = ctx;
    struct fake_act *act;

    (void)error;
    (void)pthread_mutex_lock(&fake->lock);
    *begun = !fake->no_later && fake->later_count < FAKE_LATER;
    if (*begun)
        fake->later_list[fake->later_count++] = later;
    (void)pthread_mutex_unlock(&fake->lock);
    if (!*begun)
        return 0;
    act = hm_calloc(1, sizeof(*act));
    act->ops = ops;
    act->count = count;
    (void)snprintf(act->account, sizeof(act->account), "%s", account);
    later->act = act;
    later->lead(later);
    return 0;
}

/* All that have begun end together, as in a block; unless they are held. */
static void fake_later_lead(void *ctx, struct api_later *later)
{
    struct fake *fake = ctx;

    (void)later;
    (void)pthread_mutex_lock(&fake->lock);
    while (!fake->later_held && fake->later_count > 0) {
        struct api_later *ended = fake->later_list[--fake->later_count];

        ended->done(ended);
    }
    (void)pthread_mutex_unlock(&fake->lock);
}

static int fake_later_end(void *ctx, struct api_later *later, struct hm_arena *arena,
                          struct api_receipt *out, bool *again, struct hm_error *error)
{
    struct fake_act *act = later->act;
    struct fake *fake = ctx;
    int rc;

    (void)pthread_mutex_lock(&fake->lock);
    *again = fake->later_again;
    (void)pthread_mutex_unlock(&fake->lock);
    rc = *again ? HM_EPROOF_STAKE
                : fake_submit(ctx, act->account, act->ops, act->count, arena, out, error);
    hm_free(act);
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
    out->chain_id = fake_text(arena, "fake-1");
    out->account = wire_bytes(hm_arena_dup(arena, account, 32), 32);
    out->presence = fake_bytes(arena, 0x77);
    out->anchor_height = 6;
    out->anchor_hash = fake_bytes(arena, 0xee);
    out->timestamp_ms = 1700000000000;
    *work_bits = 14;
    *base_fee = 10;
    return 0;
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
        .submit_later = fake_submit_later,
        .later_lead = fake_later_lead,
        .later_end = fake_later_end,
        .signing = fake_signing,
        .scan = fake_scan,
        .doctor = fake_doctor,
    };
    fake_ledger_fill(&fake->backend);
    fake_jobs_fill(&fake->backend);
    fake_light_fill(&fake->backend);
    fake_witness_fill(&fake->backend);
    fake_ticket_fill(&fake->backend);
    fake_mesh_fill(&fake->backend);
    if (fake_kv_fill(fake))
        abort();
}

void fake_release(struct fake *fake)
{
    if (fake->log_path[0] != '\0')
        (void)unlink(fake->log_path);
    hm_buf_release(&fake->op);
    hm_free(fake->kv);
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

void fake_hold_status(struct fake *fake, bool held)
{
    (void)pthread_mutex_lock(&fake->lock);
    fake->status_held = held;
    (void)pthread_cond_broadcast(&fake->changed);
    (void)pthread_mutex_unlock(&fake->lock);
}

void fake_hold_later(struct fake *fake, bool held)
{
    (void)pthread_mutex_lock(&fake->lock);
    fake->later_held = held;
    (void)pthread_mutex_unlock(&fake->lock);
    fake_later_lead(fake, NULL);
}

unsigned fake_later_count(struct fake *fake)
{
    unsigned count;

    (void)pthread_mutex_lock(&fake->lock);
    count = fake->later_count;
    (void)pthread_mutex_unlock(&fake->lock);
    return count;
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
