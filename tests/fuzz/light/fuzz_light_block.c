/* Any bytes as a LightBlock. What is refused must say why; what is taken must mean the same when it is packed and read
 * again, must not follow on itself, and must have been signed by more than two thirds. Then the same message with its hashes and
 * addresses put right, so that what is checked after them is reached too. */
#include <stdlib.h>

#include "light_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void taken(const Hypermesh__Abci__LightBlock *message, const struct light_block *block)
{
    static const struct light_rules rules = {UINT64_MAX, LIGHT_CLOCK_DRIFT_MS};
    HM_CLEANUP(light_trust) struct light_trust trust = {0};
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    const Hypermesh__Abci__Header *header = light_header(block);
    struct light_anchor anchor = {.height = header->height};
    char text[LIGHT_ANCHOR_TEXT_MAX];
    enum light_outcome outcome;
    int64_t power = 0;

    memcpy(anchor.hash, block->hash, sizeof(anchor.hash));
    require(light_trust_begin(&trust, &anchor, header->chain_id, message, NULL) == 0);
    require(memcmp(trust.block.hash, block->hash, LIGHT_HASH_BYTES) == 0);
    require(light_step(&trust, block, light_time_ms(header->time), &rules, &outcome, NULL) ==
            HM_EAUTH);
    require(light_commit_verify(&block->set, header->chain_id, header->height, block->hash,
                                message->signed_header->commit, NULL, &power, NULL) == 0);
    require((__int128)power * 3 > (__int128)block->set.power * 2);
    require(light_trust_pack(&trust, &bytes, NULL) == 0);
    require(light_trust_unpack(&trust, hm_buf_slice(&bytes), NULL) == 0);
    light_anchor_format(&anchor, text);
    require(light_anchor_parse(text, &anchor, NULL) == 0);
}

static void put(ProtobufCBinaryData *field, const uint8_t *bytes, size_t len)
{
    if (field->len == len)
        memcpy(field->data, bytes, len);
}

/* As far as the message has the fields. */
static void mend(Hypermesh__Abci__LightBlock *message)
{
    Hypermesh__Abci__SignedHeader *both = message->signed_header;
    uint8_t hash[LIGHT_HASH_BYTES], address[LIGHT_ADDRESS_BYTES];

    if (both == NULL || both->header == NULL || both->commit == NULL)
        return;
    if (light_validators_hash(message->validators, message->n_validators, hash, NULL) != 0)
        return;
    put(&both->header->validators_hash, hash, sizeof(hash));
    if (light_header_hash(both->header, hash, NULL) == 0 && both->commit->block_id != NULL)
        put(&both->commit->block_id->hash, hash, sizeof(hash));
    for (size_t i = 0; i < both->commit->n_signatures && i < message->n_validators; i++)
        if (light_validator_address(message->validators[i]->pub_key->ed25519.data, address, NULL) ==
            0)
            put(&both->commit->signatures[i]->validator_address, address, sizeof(address));
}

static void check(const Hypermesh__Abci__LightBlock *message, struct hm_arena *arena)
{
    struct light_block block = {0};
    struct hm_error error = {0};
    int rc = light_block_check(message, arena, &block, &error);

    if (rc == 0)
        taken(message, &block);
    else
        require(error.code == rc && error.text[0] != '\0' && block.message == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    Hypermesh__Abci__LightBlock *message = NULL;
    struct hm_error error = {0};
    int rc;

    hm_arena_init(&arena, LIGHT_BLOCK_MAX_MEMORY);
    require(crypto_setup(NULL) == 0);
    rc = light_block_parse(hm_slice_of(data, size), &arena, &message, &error);
    if (rc != 0) {
        require(error.code == rc && error.text[0] != '\0' && message == NULL);
        return 0;
    }
    check(message, &arena);
    mend(message);
    check(message, &arena);
    return 0;
}
