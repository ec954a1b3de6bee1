/* The fake's networks, challenges, events, bytes of the chain and backups. */
#include "fake_parts.h"

static Hypermesh__Network *make_network(struct hm_arena *arena, unsigned index)
{
    Hypermesh__Network *network = hm_arena_alloc(arena, sizeof(*network));

    hypermesh__network__init(network);
    network->id = fake_bytes(arena, (uint8_t)(0x90 + index));
    network->owner = fake_bytes(arena, 2);
    network->name = fake_text(arena, "friends");
    network->members = 2;
    return network;
}

static int fake_network(void *ctx, const uint8_t id[32], struct hm_arena *arena,
                        Hypermesh__Network **out, struct hm_error *error)
{
    (void)ctx;
    if (id[0] < 0x90 || id[0] >= 0x90 + FAKE_NETWORKS)
        return hm_fail(error, HM_ENOTFOUND, "there is no such network");
    *out = make_network(arena, id[0] - 0x90u);
    return 0;
}

static int fake_networks(void *ctx, const char *member, const struct api_page *page,
                         struct hm_arena *arena, Hypermesh__Network ***out, size_t *count,
                         struct hm_error *error)
{
    (void)ctx;
    (void)error;
    *out = hm_arena_alloc(arena, FAKE_NETWORKS * sizeof(**out));
    *count = 0;
    for (unsigned i = 0; i < FAKE_NETWORKS && *count < page->limit; i++) {
        if (!(page->after && page->after[0] >= 0x90 + i) &&
            !(member && strcmp(member, "node") == 0))
            (*out)[(*count)++] = make_network(arena, i);
    }
    return 0;
}

static int fake_members(void *ctx, const uint8_t network[32], const struct api_page *page,
                        struct hm_arena *arena, Hypermesh__Member ***out, size_t *count,
                        struct hm_error *error)
{
    (void)ctx;
    (void)error;
    *out = hm_arena_alloc(arena, 2 * sizeof(**out));
    *count = 0;
    for (uint8_t i = 1; i <= 2 && *count < page->limit; i++) {
        Hypermesh__Member *member = hm_arena_alloc(arena, sizeof(*member));

        if (page->after && page->after[0] >= i)
            continue;
        hypermesh__member__init(member);
        member->network = fake_bytes(arena, network[0]);
        member->account = fake_bytes(arena, i);
        member->state = i == 1 ? HYPERMESH__MEMBER_STATE__INVITED : HYPERMESH__MEMBER_STATE__JOINED;
        (*out)[(*count)++] = member;
    }
    return 0;
}

static int fake_challenge(void *ctx, const uint8_t id[32], struct hm_arena *arena,
                          Hypermesh__Challenge **out, struct hm_error *error)
{
    Hypermesh__Challenge *challenge = hm_arena_alloc(arena, sizeof(*challenge));

    (void)ctx;
    if (id[0] != 0xa0 && id[0] != 0xa1)
        return hm_fail(error, HM_ENOTFOUND, "there is no such challenge");
    hypermesh__challenge__init(challenge);
    challenge->id = fake_bytes(arena, id[0]);
    challenge->challenger = fake_bytes(arena, 1);
    challenge->node = fake_bytes(arena, 2);
    challenge->state = HYPERMESH__CHALLENGE_STATE__CHALLENGE_OPEN;
    challenge->due_ms = 1700000060000;
    *out = challenge;
    return 0;
}

static int fake_challenges(void *ctx, const char *party, bool open_only,
                           const struct api_page *page, struct hm_arena *arena,
                           Hypermesh__Challenge ***out, size_t *count, struct hm_error *error)
{
    (void)party;
    (void)open_only;
    *out = hm_arena_alloc(arena, 2 * sizeof(**out));
    *count = 0;
    for (uint8_t i = 0; i < 2 && *count < page->limit; i++) {
        uint8_t id[32];

        fake_id((uint8_t)(0xa0 + i), id);
        if (!(page->after && page->after[0] >= id[0]))
            (void)fake_challenge(ctx, id, arena, &(*out)[(*count)++], error);
    }
    return 0;
}

/* Two events a block: a lease by the user on asset 0, a key changed. */
static int fake_events(void *ctx, uint64_t height, uint32_t index, size_t limit,
                       struct hm_arena *arena, struct api_event **out, size_t *count,
                       uint32_t *total, struct hm_error *error)
{
    struct fake *fake = ctx;
    Hypermesh__Operation *op = hm_arena_alloc(arena, sizeof(*op));
    Hypermesh__Release *release = hm_arena_alloc(arena, sizeof(*release));
    Hypermesh__KvEvent *change = hm_arena_alloc(arena, sizeof(*change));
    uint64_t head;

    (void)pthread_mutex_lock(&fake->lock);
    head = FAKE_BLOCKS + fake->more_blocks;
    (void)pthread_mutex_unlock(&fake->lock);
    if (height < 1 || height > head)
        return hm_fail(error, HM_ENOTFOUND, "there is no such block");
    if (fake->event_bytes > 0 && !hm_arena_alloc(arena, fake->event_bytes))
        return hm_fail(error, HM_ENOMEM, "no memory for a block's events");
    hypermesh__operation__init(op);
    hypermesh__release__init(release);
    hypermesh__kv_event__init(change);
    op->op_case = HYPERMESH__OPERATION__OP_RELEASE;
    op->release = release;
    release->lease = fake_bytes(arena, 0xb0);
    change->key = wire_bytes("key\n1", 5);
    change->deleted = true;
    *out = hm_arena_alloc(arena, 2 * sizeof(**out));
    *count = 0;
    *total = 2;
    for (uint32_t i = index; i < 2 && *count < limit; i++) {
        struct api_event event = {.height = height, .index = i, .time_ms = 1000 + height};

        event.type = i == 0 ? "release" : "kv";
        event.tx = fake_bytes(arena, 0xd0).data;
        event.account = fake_bytes(arena, 1).data;
        event.asset = i == 0 ? fake_bytes(arena, 0xa0).data : NULL;
        event.lease = i == 0 ? release->lease.data : NULL;
        event.op = i == 0 ? op : NULL;
        event.kv = i == 0 ? NULL : change;
        (*out)[(*count)++] = event;
    }
    return 0;
}

void fake_add_blocks(struct fake *fake, unsigned count)
{
    (void)pthread_mutex_lock(&fake->lock);
    fake->more_blocks += count;
    fake_wake(fake);
    (void)pthread_mutex_unlock(&fake->lock);
}

static int fake_genesis_bytes(void *ctx, struct hm_arena *arena, struct hm_slice *out,
                              struct hm_error *error)
{
    (void)ctx;
    (void)error;
    *out = hm_slice_of(hm_arena_dup(arena,
                                    "\x0a\x06"
                                    "fake-1",
                                    8),
                       8);
    return 0;
}

/* Blocks without transactions, each linked to the one before. */
static int fake_block_bytes(void *ctx, uint64_t height, struct hm_arena *arena,
                            struct hm_slice *block, Hypermesh__BlockRecord **record,
                            struct hm_error *error)
{
    Hypermesh__BlockHeader header = HYPERMESH__BLOCK_HEADER__INIT;
    Hypermesh__Block message = HYPERMESH__BLOCK__INIT;
    HM_CLEANUP(hm_buf) struct hm_buf packed = {0};
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    Hypermesh__BlockRecord *before = NULL;
    struct hm_slice genesis = {0};
    struct hm_slice unused;
    uint8_t previous[32];
    uint8_t hash[32];

    if (height < 1 || height > FAKE_BLOCKS)
        return hm_fail(error, HM_ENOTFOUND, "there is no such block");
    (void)fake_genesis_bytes(ctx, arena, &genesis, error);
    crypto_hash(genesis.data, genesis.len, previous);
    if (height > 1 && fake_block_bytes(ctx, height - 1, arena, &unused, &before, error) == 0)
        memcpy(previous, before->hash.data, sizeof(previous));
    header.chain_id = fake_text(arena, "fake-1");
    header.height = height;
    header.previous_hash = wire_bytes(previous, sizeof(previous));
    header.previous_state_root = fake_bytes(arena, 0xef);
    header.data_root = fake_bytes(arena, 0);
    (void)wire_pack(&header.base, &packed);
    message.header = wire_bytes(packed.data, packed.len);
    (void)wire_pack(&message.base, &bytes);
    *block = hm_slice_of(hm_arena_dup(arena, bytes.data, bytes.len), bytes.len);
    crypto_hash_parts("hypermesh 1 block", &(struct hm_slice){packed.data, packed.len}, 1, hash);
    *record = hm_arena_alloc(arena, sizeof(**record));
    hypermesh__block_record__init(*record);
    (*record)->hash = wire_bytes(hm_arena_dup(arena, hash, sizeof(hash)), sizeof(hash));
    (*record)->state_root = fake_bytes(arena, 0xef);
    return 0;
}

static int fake_backup(void *ctx, const char *path, struct hm_slice passphrase,
                       struct hm_arena *arena, struct api_backup *out, struct hm_error *error)
{
    (void)ctx;
    if (passphrase.len != 6 || memcmp(passphrase.data, "secret", 6) != 0)
        return hm_fail(error, HM_EINTERNAL, "the passphrase did not come through");
    *out = (struct api_backup){
        .path = fake_text(arena, path), .bytes = 4096, .height = FAKE_BLOCKS};
    return 0;
}

static int fake_validator(void *ctx, const uint8_t operator_id[32], struct hm_arena *arena,
                          Hypermesh__Validator **out, struct hm_error *error)
{
    Hypermesh__Validator *validator = hm_arena_alloc(arena, sizeof(*validator));

    (void)ctx;
    if (operator_id[0] != 1 && operator_id[0] != 2)
        return hm_fail(error, HM_ENOTFOUND, "the account operates no validator");
    hypermesh__validator__init(validator);
    validator->operator_ = fake_bytes(arena, operator_id[0]);
    validator->key = fake_bytes(arena, 7);
    validator->stake = UINT64_C(1500000000);
    validator->jailed = operator_id[0] == 2;
    *out = validator;
    return 0;
}

static int fake_validators(void *ctx, const struct api_page *page, struct hm_arena *arena,
                           Hypermesh__Validator ***out, size_t *count, struct hm_error *error)
{
    *out = hm_arena_alloc(arena, 2 * sizeof(**out));
    *count = 0;
    for (uint8_t i = 1; i <= 2 && *count < page->limit; i++) {
        uint8_t id[32];

        fake_id(i, id);
        if (!(page->after && page->after[0] >= id[0]))
            (void)fake_validator(ctx, id, arena, &(*out)[(*count)++], error);
    }
    return 0;
}

static int fake_delegations(void *ctx, const uint8_t validator[32], const struct api_page *page,
                            struct hm_arena *arena, Hypermesh__Delegation ***out, size_t *count,
                            struct hm_error *error)
{
    (void)ctx;
    (void)error;
    *out = hm_arena_alloc(arena, 2 * sizeof(**out));
    *count = 0;
    for (uint8_t i = 1; i <= 2 && *count < page->limit; i++) {
        Hypermesh__Delegation *one = hm_arena_alloc(arena, sizeof(*one));

        if (page->after && page->after[0] >= i)
            continue;
        hypermesh__delegation__init(one);
        one->validator = fake_bytes(arena, validator[0]);
        one->delegator = fake_bytes(arena, i);
        one->shares = 5;
        (*out)[(*count)++] = one;
    }
    return 0;
}

static int fake_stakes(void *ctx, const uint8_t delegator[32], const struct api_page *page,
                       struct hm_arena *arena, struct api_stake **out, size_t *count,
                       struct hm_error *error)
{
    (void)ctx;
    (void)delegator;
    (void)error;
    *out = hm_arena_alloc(arena, 2 * sizeof(**out));
    *count = 0;
    for (uint8_t i = 1; i <= 2 && *count < page->limit; i++) {
        if (page->after && page->after[0] >= i)
            continue;
        (*out)[*count] = (struct api_stake){
            .stake = UINT64_C(2000000000), .leaving = 1, .free_ms = 5};
        fake_id(i, (*out)[(*count)++].validator);
    }
    return 0;
}

void fake_mesh_fill(struct api_backend *backend)
{
    backend->network = fake_network;
    backend->networks = fake_networks;
    backend->members = fake_members;
    backend->validator = fake_validator;
    backend->validators = fake_validators;
    backend->delegations = fake_delegations;
    backend->stakes = fake_stakes;
    backend->challenge = fake_challenge;
    backend->challenges = fake_challenges;
    backend->events = fake_events;
    backend->genesis_bytes = fake_genesis_bytes;
    backend->block_bytes = fake_block_bytes;
    backend->backup_create = fake_backup;
}
