#include <stdio.h>

#include "light_fixture.h"

int light_fixture_setup(void **state)
{
    (void)state;
    return crypto_setup(NULL);
}

void light_fixture_read(const char *name, struct hm_buf *out)
{
    const char *source = getenv("HM_SOURCE");
    HM_AUTOFREE char *path = hm_asprintf("%s/tests/unit/light/blocks/%s",
                                         source != NULL ? source : ".", name);
    uint8_t bytes[4096];
    size_t len;
    FILE *file;

    assert_non_null(path);
    file = fopen(path, "rb");
    if (file == NULL)
        fail_msg("%s is not there", path);
    while ((len = fread(bytes, 1, sizeof(bytes), file)) > 0)
        assert_int_equal(hm_buf_append(out, bytes, len), 0);
    (void)fclose(file);
}

Hypermesh__Abci__LightBlock *light_fixture_block(const char *name, struct hm_arena *arena)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    Hypermesh__Abci__LightBlock *block = NULL;
    struct hm_error error = {0};

    light_fixture_read(name, &bytes);
    if (light_block_parse(hm_buf_slice(&bytes), arena, &block, &error) != 0)
        fail_msg("%s: %s", name, error.text);
    return block;
}

void light_fixture_trust(const Hypermesh__Abci__LightBlock *message, struct light_trust *out)
{
    struct light_anchor anchor = {.height = message->signed_header->header->height};
    struct hm_error error = {0};

    assert_int_equal(light_header_hash(message->signed_header->header, anchor.hash, NULL), 0);
    if (light_trust_begin(out, &anchor, NULL, message, &error) != 0)
        fail_msg("%s", error.text);
}

/* --- validators ---------------------------------------------------------------------------------------------------- */

void made_add(struct made_set *set, uint64_t seed, int64_t power)
{
    struct made_validator *made = &set->list[set->count++];
    uint8_t bytes[CRYPTO_SEED_BYTES] = "validator of a test";

    assert_true(set->count <= MADE_VALIDATORS_MAX);
    hm_put_be64(bytes + 24, seed);
    crypto_ed25519_from_seed(&made->key, bytes);
    assert_int_equal(light_validator_address(made->key.public_key, made->address, NULL), 0);
    made->power = power;
}

static int made_compare(const void *a, const void *b)
{
    const struct made_validator *left = a, *right = b;

    if (left->power != right->power)
        return left->power > right->power ? -1 : 1;
    return memcmp(left->address, right->address, LIGHT_ADDRESS_BYTES);
}

void made_sort(struct made_set *set)
{
    qsort(set->list, set->count, sizeof(set->list[0]), made_compare);
}

static void *made(struct hm_arena *arena, size_t size)
{
    void *memory = hm_arena_alloc(arena, size);

    assert_non_null(memory);
    return memory;
}

static ProtobufCBinaryData made_bytes(struct hm_arena *arena, const void *data, size_t len)
{
    void *copy = hm_arena_dup(arena, data, len);

    assert_non_null(copy);
    return wire_bytes(copy, len);
}

Hypermesh__Abci__SimpleValidator **made_validators(const struct made_set *set,
                                                   struct hm_arena *arena)
{
    Hypermesh__Abci__SimpleValidator **list = made(arena, set->count * sizeof(*list) + 1);

    for (size_t i = 0; i < set->count; i++) {
        list[i] = made(arena, sizeof(*list[i]));
        hypermesh__abci__simple_validator__init(list[i]);
        list[i]->pub_key = made(arena, sizeof(*list[i]->pub_key));
        hypermesh__abci__public_key__init(list[i]->pub_key);
        list[i]->pub_key->sum_case = HYPERMESH__ABCI__PUBLIC_KEY__SUM_ED25519;
        list[i]->pub_key->ed25519 = made_bytes(arena, set->list[i].key.public_key,
                                               CRYPTO_ED25519_PUBLIC_BYTES);
        list[i]->voting_power = set->list[i].power;
    }
    return list;
}

/* --- headers and commits --------------------------------------------------------------------------------------------- */

static Hypermesh__Abci__Timestamp *made_time(int64_t seconds, int32_t nanos, struct hm_arena *arena)
{
    Hypermesh__Abci__Timestamp *time = made(arena, sizeof(*time));

    hypermesh__abci__timestamp__init(time);
    time->seconds = seconds;
    time->nanos = nanos;
    return time;
}

/* Some hash that depends on what and the height. */
static ProtobufCBinaryData made_hash(struct hm_arena *arena, int64_t height, char what)
{
    uint8_t bytes[9], hash[LIGHT_HASH_BYTES];

    hm_put_be64(bytes, (uint64_t)height);
    bytes[8] = (uint8_t)what;
    crypto_hash(bytes, sizeof(bytes), hash);
    return made_bytes(arena, hash, sizeof(hash));
}

static Hypermesh__Abci__BlockId *made_block_id(ProtobufCBinaryData hash, int64_t height,
                                               struct hm_arena *arena)
{
    Hypermesh__Abci__BlockId *id = made(arena, sizeof(*id));

    hypermesh__abci__block_id__init(id);
    id->hash = hash;
    id->part_set_header = made(arena, sizeof(*id->part_set_header));
    hypermesh__abci__part_set_header__init(id->part_set_header);
    id->part_set_header->total = 1;
    id->part_set_header->hash = made_hash(arena, height, 'p');
    return id;
}

static ProtobufCBinaryData made_set_hash(const struct made_set *set, struct hm_arena *arena)
{
    uint8_t hash[LIGHT_HASH_BYTES];
    struct hm_error error = {0};

    if (light_validators_hash(made_validators(set, arena), set->count, hash, &error) != 0)
        fail_msg("%s", error.text);
    return made_bytes(arena, hash, sizeof(hash));
}

Hypermesh__Abci__Header *made_header(int64_t height, const struct made_set *set,
                                     const struct made_set *next, struct hm_arena *arena)
{
    Hypermesh__Abci__Header *header = made(arena, sizeof(*header));

    hypermesh__abci__header__init(header);
    header->version = made(arena, sizeof(*header->version));
    hypermesh__abci__version_consensus__init(header->version);
    header->version->block = LIGHT_BLOCK_PROTOCOL;
    header->version->app = 1;
    header->chain_id = hm_arena_strdup(arena, MADE_CHAIN);
    header->height = height;
    header->time = made_time(MADE_TIME_S + height, 250000000, arena);
    if (height > 1)
        header->last_block_id = made_block_id(made_hash(arena, height, 'b'), height - 1, arena);
    header->last_commit_hash = made_hash(arena, height, 'c');
    header->data_hash = made_hash(arena, height, 'd');
    header->validators_hash = made_set_hash(set, arena);
    header->next_validators_hash = made_set_hash(next, arena);
    header->consensus_hash = made_hash(arena, 0, 'o');
    header->app_hash = made_hash(arena, height, 'a');
    header->last_results_hash = made_hash(arena, height, 'r');
    header->evidence_hash = made_hash(arena, height, 'e');
    header->proposer_address = made_bytes(arena, set->list[0].address, LIGHT_ADDRESS_BYTES);
    return header;
}

void made_sign(Hypermesh__Abci__LightBlock *block, const struct made_set *set, size_t i,
               struct hm_arena *arena)
{
    Hypermesh__Abci__Commit *commit = block->signed_header->commit;
    Hypermesh__Abci__CommitSig *entry = commit->signatures[i];
    uint8_t bytes[LIGHT_VOTE_MAX_BYTES], signature[CRYPTO_ED25519_SIGNATURE_BYTES];
    size_t len = light_vote_bytes(commit, entry, block->signed_header->header->chain_id, bytes);

    assert_true(len > 0);
    crypto_ed25519_sign(&set->list[i].key, bytes, len, signature);
    entry->signature = made_bytes(arena, signature, sizeof(signature));
}

Hypermesh__Abci__LightBlock *made_block(Hypermesh__Abci__Header *header, const struct made_set *set,
                                        const Hypermesh__Abci__BlockIdFlag *flags,
                                        struct hm_arena *arena)
{
    Hypermesh__Abci__LightBlock *block = made(arena, sizeof(*block));
    Hypermesh__Abci__SignedHeader *signed_header = made(arena, sizeof(*signed_header));
    Hypermesh__Abci__Commit *commit = made(arena, sizeof(*commit));
    uint8_t hash[LIGHT_HASH_BYTES];
    struct hm_error error = {0};

    hypermesh__abci__light_block__init(block);
    hypermesh__abci__signed_header__init(signed_header);
    hypermesh__abci__commit__init(commit);
    if (light_header_hash(header, hash, &error) != 0)
        fail_msg("%s", error.text);
    commit->height = header->height;
    commit->round = (int32_t)(header->height % 3);
    commit->block_id = made_block_id(made_bytes(arena, hash, sizeof(hash)), header->height, arena);
    commit->n_signatures = set->count;
    commit->signatures = made(arena, set->count * sizeof(commit->signatures[0]) + 1);
    signed_header->header = header;
    signed_header->commit = commit;
    block->signed_header = signed_header;
    block->n_validators = set->count;
    block->validators = made_validators(set, arena);
    for (size_t i = 0; i < set->count; i++) {
        Hypermesh__Abci__CommitSig *entry = made(arena, sizeof(*entry));

        hypermesh__abci__commit_sig__init(entry);
        commit->signatures[i] = entry;
        entry->flag = flags != NULL ? flags[i] : HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_COMMIT;
        if (entry->flag == HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_ABSENT)
            continue;
        entry->validator_address = made_bytes(arena, set->list[i].address, LIGHT_ADDRESS_BYTES);
        entry->timestamp = made_time(MADE_TIME_S + header->height, (int32_t)i, arena);
        made_sign(block, set, i, arena);
    }
    return block;
}

/* --- chains ---------------------------------------------------------------------------------------------------------- */

static void chain_set(const struct made_chain *chain, int64_t height, struct made_set *out)
{
    const bool forked = chain->fork != 0 && height >= chain->fork;
    uint64_t oldest = chain->stay != 0 ? (uint64_t)(height / chain->stay) : 0;

    out->count = 0;
    for (uint64_t i = oldest; i < oldest + chain->count; i++)
        made_add(out, forked ? i + (UINT64_C(1) << 40) : i, 10 + (int64_t)(i % 3));
    made_sort(out);
}

Hypermesh__Abci__LightBlock *made_chain_block(const struct made_chain *chain, int64_t height,
                                              struct hm_arena *arena)
{
    Hypermesh__Abci__BlockIdFlag flags[MADE_VALIDATORS_MAX];
    struct made_set *sets = made(arena, 2 * sizeof(*sets));
    Hypermesh__Abci__Header *header;

    chain_set(chain, height, &sets[0]);
    chain_set(chain, height + 1, &sets[1]);
    header = made_header(height, &sets[0], &sets[1], arena);
    for (size_t i = 0; i < chain->count; i++)
        flags[i] = i + chain->absent < chain->count ? HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_COMMIT
                                                    : HYPERMESH__ABCI__BLOCK_ID_FLAG__FLAG_ABSENT;
    return made_block(header, &sets[0], flags, arena);
}

int made_chain_fetch(void *ctx, int64_t height, struct hm_arena *arena,
                     Hypermesh__Abci__LightBlock **out, struct hm_error *error)
{
    struct made_chain *chain = ctx;

    if (chain->top != 0 && height > chain->top)
        return hm_fail(error, HM_ENOTFOUND, "there is no block %lld yet", (long long)height);
    chain->fetched++;
    *out = made_chain_block(chain, height, arena);
    return 0;
}
