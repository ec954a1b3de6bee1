/* One block: from bytes, and whether its validators, header and commit agree. */
#include "light_private.h"

int light_block_parse(struct hm_slice bytes, struct hm_arena *arena,
                      Hypermesh__Abci__LightBlock **out, struct hm_error *error)
{
    return WIRE_UNPACK(hypermesh__abci__light_block, bytes, LIGHT_BLOCK_MAX_BYTES, arena, out,
                       error);
}

static int set_agrees(const Hypermesh__Abci__LightBlock *message,
                      const Hypermesh__Abci__Header *header, struct hm_error *error)
{
    uint8_t hash[LIGHT_HASH_BYTES];
    char wanted[LIGHT_SHORT_BYTES], found[LIGHT_SHORT_BYTES];
    int rc = light_validators_hash(message->validators, message->n_validators, hash, error);

    if (rc != 0 || memcmp(header->validators_hash.data, hash, LIGHT_HASH_BYTES) == 0)
        return rc;
    light_short(header->validators_hash.data, wanted);
    light_short(hash, found);
    return hm_fail(error, HM_EAUTH,
                   "the validators given have the hash %s, the header of height %lld says %s",
                   found, (long long)header->height, wanted);
}

int light_block_check(const Hypermesh__Abci__LightBlock *message, struct hm_arena *arena,
                      struct light_block *out, struct hm_error *error)
{
    const Hypermesh__Abci__SignedHeader *signed_header = message->signed_header;
    struct light_block block = {.message = message};
    int rc;

    if (signed_header == NULL || signed_header->header == NULL || signed_header->commit == NULL)
        return hm_fail(error, HM_EPARSE, "the block has no header or no commit");
    rc = light_header_hash(signed_header->header, block.hash, error);
    if (rc == 0)
        rc = light_set_read(message->validators, message->n_validators, arena, &block.set, error);
    if (rc == 0)
        rc = set_agrees(message, signed_header->header, error);
    if (rc != 0)
        return rc;
    bool *voted = hm_arena_alloc(arena, block.set.count * sizeof(*voted));
    if (voted == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a block's votes");
    rc = light_commit_verify(&block.set, signed_header->header->chain_id,
                             signed_header->header->height, block.hash, signed_header->commit,
                             voted, NULL, error);
    block.voted = voted;
    if (rc == 0)
        *out = block;
    return rc;
}
