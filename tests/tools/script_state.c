/* script_app's state: its bytes, its root, and what a block does to it. */
#include "script_app_parts.h"

#define POWER_MAX INT64_C(1000000000000)

static const struct {
    const char *name, *does;
} mutants[] = {
#define SCRIPT_X(name, what) {#name, what},
    SCRIPT_MUTANTS(SCRIPT_X)
#undef SCRIPT_X
};

const char *script_mutant_name(enum script_mutant mutant)
{
    return mutants[mutant].name;
}

const char *script_mutant_does(enum script_mutant mutant)
{
    return mutants[mutant].does;
}

int script_fail_memory(struct hm_error *error)
{
    return hm_fail(error, HM_ENOMEM, "no memory for the application's state");
}

bool script_mutates(const struct script_app *app, enum script_mutant mutant)
{
    return app->options.mutant == mutant;
}

/* --- bytes ------------------------------------------------------------------------------------------- */

void script_state_release(struct script_state *state)
{
    hm_buf_release(&state->digests);
    *state = (struct script_state){0};
}

void script_disk_release(struct script_disk *disk)
{
    script_state_release(&disk->state);
    for (unsigned i = 0; i < SCRIPT_SNAPSHOTS_MAX; i++)
        hm_buf_release(&disk->snapshot[i].bytes);
    *disk = (struct script_disk){0};
}

int script_state_copy(const struct script_state *from, struct script_state *to)
{
    struct hm_buf digests = to->digests;

    hm_buf_clear(&digests);
    if (hm_buf_append(&digests, from->digests.data, from->digests.len) != 0)
        return HM_ENOMEM;
    *to = *from;
    to->digests = digests;
    return 0;
}

int script_head_pack(const struct script_state *state, struct hm_buf *out)
{
    uint8_t number[8];
    int status = 0;

    hm_put_be64(number, state->height);
    status |= hm_buf_append(out, number, 8);
    hm_put_be64(number, state->count);
    status |= hm_buf_append(out, number, 8);
    status |= hm_buf_append(out, state->chain, 32);
    hm_put_be32(number, state->validators);
    status |= hm_buf_append(out, number, 4);
    for (unsigned i = 0; i < state->validators; i++) {
        hm_put_be64(number, (uint64_t)state->validator[i].power);
        status |= hm_buf_append(out, state->validator[i].key, 32);
        status |= hm_buf_append(out, number, 8);
    }
    return status == 0 ? 0 : HM_ENOMEM;
}

int script_state_pack(const struct script_state *state, struct hm_buf *out)
{
    if (script_head_pack(state, out) != 0)
        return HM_ENOMEM;
    return hm_buf_append(out, state->digests.data, state->digests.len);
}

int script_head_unpack(struct hm_slice bytes, struct script_state *out, size_t *used)
{
    struct script_state got = {0};

    if (bytes.len < SCRIPT_HEAD_BYTES(0))
        return HM_EPARSE;
    got.height = hm_get_be64(bytes.data);
    got.count = hm_get_be64(bytes.data + 8);
    memcpy(got.chain, bytes.data + 16, 32);
    got.validators = hm_get_be32(bytes.data + 48);
    if (got.validators > SCRIPT_VALIDATORS_MAX || bytes.len < SCRIPT_HEAD_BYTES(got.validators))
        return HM_EPARSE;
    for (unsigned i = 0; i < got.validators; i++) {
        const uint8_t *at = bytes.data + SCRIPT_HEAD_BYTES(i);
        memcpy(got.validator[i].key, at, 32);
        got.validator[i].power = (int64_t)hm_get_be64(at + 32);
    }
    *used = SCRIPT_HEAD_BYTES(got.validators);
    *out = got;
    return 0;
}

int script_state_unpack(struct hm_slice bytes, struct script_state *out)
{
    struct script_state got;
    size_t used;

    if (script_head_unpack(bytes, &got, &used) != 0 || got.count > bytes.len ||
        bytes.len - used != got.count * 32)
        return HM_EPARSE;
    if (hm_buf_append(&got.digests, bytes.data + used, bytes.len - used) != 0)
        return HM_ENOMEM;
    *out = got;
    return 0;
}

void script_state_root(const struct script_state *state, uint8_t out[32])
{
    struct crypto_hasher hasher;
    uint8_t number[8];

    /* Not the height: a block in which nothing happens must not change it. */
    crypto_hasher_init_context(&hasher, "hypermesh 1 test script state");
    hm_put_be64(number, state->count);
    crypto_hasher_update(&hasher, number, sizeof number);
    crypto_hasher_update(&hasher, state->chain, sizeof state->chain);
    for (unsigned i = 0; i < state->validators; i++) {
        hm_put_be64(number, (uint64_t)state->validator[i].power);
        crypto_hasher_update(&hasher, state->validator[i].key, 32);
        crypto_hasher_update(&hasher, number, sizeof number);
    }
    crypto_hasher_final(&hasher, out);
}

/* The root as this application tells it. */
void script_root_of(const struct script_app *app, const struct script_state *state, uint8_t out[32])
{
    script_state_root(state, out);
    if (script_mutates(app, SCRIPT_NODE_IN_ROOT) && state->count > 3)
        out[0] ^= (uint8_t)app->options.node;
    if (script_mutates(app, SCRIPT_NEVER_IDLE))
        out[0] ^= (uint8_t)state->height;
}

/* --- transactions ------------------------------------------------------------------------------------ */

void script_tx_digest(struct hm_slice tx, uint8_t out[32])
{
    crypto_hash(tx.data, tx.len, out);
}

bool script_state_has(const struct script_state *state, struct hm_slice tx)
{
    uint8_t digest[32];

    script_tx_digest(tx, digest);
    for (size_t i = 0; i < state->digests.len; i += 32)
        if (memcmp(state->digests.data + i, digest, 32) == 0)
            return true;
    return false;
}

static bool begins(struct hm_slice tx, const char *word)
{
    return tx.len > 4 && memcmp(tx.data, word, 4) == 0;
}

/* "val:" 64 digits ":" number */
static bool update_reads(struct hm_slice tx, struct abci_validator *out)
{
    char number[24];
    uint64_t power;
    size_t len;

    if (!begins(tx, "val:") || tx.len < 4 + 64 + 2 || tx.len > 4 + 64 + 1 + 20 ||
        tx.data[68] != ':' || hm_hex_decode((const char *)tx.data + 4, 64, out->key, 32, NULL) != 0)
        return false;
    len = tx.len - 69;
    memcpy(number, tx.data + 69, len);
    number[len] = '\0';
    if (hm_u64_parse(number, &power, NULL) != 0 || power > (uint64_t)POWER_MAX)
        return false;
    out->power = (int64_t)power;
    return true;
}

bool script_tx_reads(struct hm_slice tx)
{
    struct abci_validator update;

    return tx.len <= SCRIPT_TX_MAX_BYTES && (begins(tx, "add:") || update_reads(tx, &update));
}

int script_state_apply(struct script_state *state, const uint8_t digest[32])
{
    uint8_t both[64];

    if (hm_buf_append(&state->digests, digest, 32) != 0)
        return HM_ENOMEM;
    memcpy(both, state->chain, 32);
    memcpy(both + 32, digest, 32);
    crypto_hash(both, sizeof both, state->chain);
    state->count++;
    return 0;
}

static enum script_code update_apply(struct script_block *block,
                                     const struct abci_validator *update)
{
    struct script_state *state = &block->state;
    unsigned at = 0;
    int64_t total = 0, moved;

    for (unsigned i = 0; i < state->validators; i++)
        total += state->validator[i].power;
    while (at < state->validators && memcmp(state->validator[at].key, update->key, 32) != 0)
        at++;
    for (size_t i = 0; i < block->updates; i++)
        if (memcmp(block->update[i].key, update->key, 32) == 0)
            return SCRIPT_ILLEGAL;
    moved = update->power - (at < state->validators ? state->validator[at].power : 0);
    moved = moved < 0 ? -moved : moved;
    if (block->updates == SCRIPT_VALIDATORS_MAX || block->power_moved + moved > total / 3 ||
        (at == state->validators &&
         (update->power == 0 || state->validators == SCRIPT_VALIDATORS_MAX)) ||
        (update->power == 0 && state->validators == 1))
        return SCRIPT_ILLEGAL;
    block->power_moved += moved;
    block->update[block->updates++] = *update;
    if (update->power == 0) {
        state->validator[at] = state->validator[--state->validators];
    } else {
        state->validator[at] = *update;
        state->validators += at == state->validators;
    }
    return SCRIPT_OK;
}

static int tx_run(struct script_app *app, struct hm_slice tx, uint8_t *code)
{
    struct script_block *block = &app->next;
    struct abci_validator update;
    uint8_t digest[32];

    *code = SCRIPT_OK;
    if (!script_tx_reads(tx)) {
        *code = SCRIPT_UNREADABLE;
        return 0;
    }
    if (script_state_has(&block->state, tx)) {
        *code = SCRIPT_AGAIN;
        return 0;
    }
    script_tx_digest(tx, digest);
    if (script_mutates(app, SCRIPT_LOST_TX) && digest[0] < 32)
        return 0;
    if (update_reads(tx, &update)) {
        *code = (uint8_t)update_apply(block, &update);
        if (*code != SCRIPT_OK)
            return 0;
    }
    return script_state_apply(&block->state, digest);
}

/* --- a block ----------------------------------------------------------------------------------------- */

void script_block_drop(struct script_app *app)
{
    script_state_release(&app->next.state);
    hm_free(app->next.codes);
    app->next = (struct script_block){0};
}

int script_block_run(struct script_app *app, const ProtobufCBinaryData *txs, size_t count,
                     uint64_t height, ProtobufCBinaryData hash, struct hm_error *error)
{
    struct script_block *block = &app->next;
    bool skips = script_mutates(app, SCRIPT_REPLAY_SKIPS) && app->fresh && app->now.height > 2;

    script_block_drop(app);
    block->codes = hm_calloc(count + 1, 1);
    if (block->codes == NULL || script_state_copy(&app->now, &block->state) != 0)
        return script_fail_memory(error);
    block->count = count;
    block->open = true;
    memcpy(block->hash, hash.data, hash.len < 32 ? hash.len : 32);
    block->state.height = height;
    for (size_t i = 0; i < count && !skips; i++)
        if (tx_run(app, hm_slice_of(txs[i].data, txs[i].len), &block->codes[i]) != 0)
            return script_fail_memory(error);
    if (script_mutates(app, SCRIPT_CLOCK_IN_ROOT) && count > 0)
        block->state.chain[0] ^= (uint8_t)(hm_wall_ms(app->options.clock) >> 10);
    if (script_mutates(app, SCRIPT_PROPOSER_IN_ROOT) && app->prepared_height == height)
        block->state.chain[0] ^= 1;
    return 0;
}
