/* What is trusted: where it begins, how it is kept in a file, and the state root it shows. */
#include <stdio.h>

#include "light_private.h"

/* File: magic || BLAKE3 of the block's bytes || the packed LightBlock. */
static const char trust_magic[8] = {'H', 'M', 'L', 'I', 'G', 'H', 'T', '1'};
#define TRUST_HEAD_BYTES (sizeof(trust_magic) + LIGHT_HASH_BYTES)

void light_trust_release(struct light_trust *trust)
{
    if (trust == NULL)
        return;
    hm_arena_release(&trust->arena);
    memset(trust, 0, sizeof(*trust));
}

int light_trust_take(struct light_trust *trust, struct hm_slice bytes, struct hm_error *error)
{
    Hypermesh__Abci__LightBlock *message = NULL;
    int rc;

    hm_arena_init(&trust->arena, LIGHT_BLOCK_MAX_MEMORY);
    rc = light_block_parse(bytes, &trust->arena, &message, error);
    return rc != 0 ? rc : light_block_check(message, &trust->arena, &trust->block, error);
}

static void trust_replace(struct light_trust *trust, struct light_trust *with)
{
    light_trust_release(trust);
    *trust = *with;
    memset(with, 0, sizeof(*with));
}

/* The chain first: blocks of another one differ in everything else, too. */
static int anchor_matches(const struct light_block *block, const struct light_anchor *anchor,
                          const char *chain_id, struct hm_error *error)
{
    const Hypermesh__Abci__Header *header = light_header(block);
    char wanted[2 * LIGHT_HASH_BYTES + 1], found[2 * LIGHT_HASH_BYTES + 1];

    if (header->height != anchor->height)
        return hm_fail(error, HM_EAUTH, "asked for height %lld, got the block of height %lld",
                       (long long)anchor->height, (long long)header->height);
    if (chain_id != NULL && strcmp(header->chain_id, chain_id) != 0)
        return hm_fail(error, HM_EAUTH, "the block is of chain %s, not of %s", header->chain_id,
                       chain_id);
    if (memcmp(block->hash, anchor->hash, LIGHT_HASH_BYTES) == 0)
        return 0;
    hm_hex_encode(anchor->hash, LIGHT_HASH_BYTES, wanted);
    hm_hex_encode(block->hash, LIGHT_HASH_BYTES, found);
    return hm_fail(error, HM_EAUTH,
                   "the block of height %lld of chain %s has the hash %s, you trust %s: if you "
                   "know this chain, check the hash you were given, else do not use this source",
                   (long long)anchor->height, header->chain_id, found, wanted);
}

int light_trust_begin(struct light_trust *trust, const struct light_anchor *anchor,
                      const char *chain_id, const Hypermesh__Abci__LightBlock *message,
                      struct hm_error *error)
{
    HM_CLEANUP(light_trust) struct light_trust made = {0};
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    int rc = wire_pack(&message->base, &bytes);

    if (rc != 0)
        return hm_fail(error, rc, "no memory to keep a block");
    rc = light_trust_take(&made, hm_buf_slice(&bytes), error);
    if (rc == 0)
        rc = anchor_matches(&made.block, anchor, chain_id, error);
    if (rc == 0)
        trust_replace(trust, &made);
    return rc;
}

/* --- in a file ----------------------------------------------------------------------------------------------------- */

int light_trust_pack(const struct light_trust *trust, struct hm_buf *out, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    uint8_t check[CRYPTO_HASH_BYTES];

    if (trust->block.message == NULL)
        return hm_fail(error, HM_EINVAL, "nothing is trusted yet, so there is nothing to keep");
    if (wire_pack(&trust->block.message->base, &bytes) != 0 ||
        hm_buf_reserve(out, TRUST_HEAD_BYTES + bytes.len) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory to keep a block");
    crypto_hash(bytes.data, bytes.len, check);
    /* the room is reserved: none of these can fail */
    (void)hm_buf_append(out, trust_magic, sizeof(trust_magic));
    (void)hm_buf_append(out, check, sizeof(check));
    (void)hm_buf_append(out, bytes.data, bytes.len);
    return 0;
}

int light_trust_unpack(struct light_trust *trust, struct hm_slice bytes, struct hm_error *error)
{
    HM_CLEANUP(light_trust) struct light_trust made = {0};
    uint8_t check[CRYPTO_HASH_BYTES];
    struct hm_slice block;
    int rc;

    if (bytes.len < TRUST_HEAD_BYTES || memcmp(bytes.data, trust_magic, sizeof(trust_magic)) != 0)
        return hm_fail(error, HM_EPARSE, "these %zu bytes are no trusted block", bytes.len);
    block = hm_slice_of(bytes.data + TRUST_HEAD_BYTES, bytes.len - TRUST_HEAD_BYTES);
    if (block.len > LIGHT_BLOCK_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "the trusted block has %zu bytes, at most %zu are taken",
                       block.len, LIGHT_BLOCK_MAX_BYTES);
    crypto_hash(block.data, block.len, check);
    if (memcmp(check, bytes.data + sizeof(trust_magic), sizeof(check)) != 0)
        return hm_fail(error, HM_ECORRUPT,
                       "the trusted block is damaged: begin again with HEIGHT:HASH");
    rc = light_trust_take(&made, block, error);
    if (rc == 0)
        trust_replace(trust, &made);
    return rc;
}

/* --- the anchor's text --------------------------------------------------------------------------------------------- */

int light_anchor_parse(const char *text, struct light_anchor *out, struct hm_error *error)
{
    const char *colon = strchr(text, ':');
    struct light_anchor anchor = {0};
    char digits[20] = {0}; /* 19 of INT64_MAX */
    uint64_t height = 0;

    if (colon == NULL || colon == text || (size_t)(colon - text) >= sizeof(digits) ||
        strnlen(colon + 1, 2 * LIGHT_HASH_BYTES + 1) != 2 * LIGHT_HASH_BYTES)
        return hm_fail(error, HM_EPARSE,
                       "what to trust is written HEIGHT:HASH, the hash with 64 hexadecimal digits");
    memcpy(digits, text, (size_t)(colon - text));
    if (hm_u64_parse(digits, &height, NULL) != 0 || height == 0 || height > INT64_MAX)
        return hm_fail(error, HM_EPARSE, "\"%s\" is no height of a block: 1, 2, ...", digits);
    if (hm_hex_decode(colon + 1, 2 * LIGHT_HASH_BYTES, anchor.hash, LIGHT_HASH_BYTES, NULL) != 0)
        return hm_fail(error, HM_EPARSE, "the hash after the colon is not hexadecimal");
    anchor.height = (int64_t)height;
    *out = anchor;
    return 0;
}

void light_anchor_format(const struct light_anchor *anchor, char out[LIGHT_ANCHOR_TEXT_MAX])
{
    char hash[2 * LIGHT_HASH_BYTES + 1];

    hm_hex_encode(anchor->hash, LIGHT_HASH_BYTES, hash);
    (void)snprintf(out, LIGHT_ANCHOR_TEXT_MAX, "%lld:%s", (long long)anchor->height, hash);
}

/* --- what it shows of the ledger ----------------------------------------------------------------------------------- */

int light_state_root(const struct light_trust *trust, int64_t height,
                     uint8_t root[LIGHT_HASH_BYTES], struct hm_error *error)
{
    const Hypermesh__Abci__Header *header;

    if (trust->block.message == NULL)
        return hm_fail(error, HM_ERANGE, "nothing is trusted yet");
    header = light_header(&trust->block);
    if (height < 0 || height != header->height - 1)
        return hm_fail(
            error, HM_ERANGE,
            "the state after block %lld stands in the next header, the trusted one is of "
            "height %lld",
            (long long)height, (long long)header->height);
    if (light_hash_check(header->app_hash, "the header's app_hash", error) != 0)
        return HM_EPARSE;
    memcpy(root, header->app_hash.data, LIGHT_HASH_BYTES);
    return 0;
}
