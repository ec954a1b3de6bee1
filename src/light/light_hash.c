/* The engine's hashes: a Merkle tree with SHA-256 over a header's fields or a set's validators. */
#include "light_private.h"

int light_sha256(const struct hm_slice *parts, size_t count, uint8_t out[LIGHT_HASH_BYTES],
                 struct hm_error *error)
{
    struct crypto_sha256 *state = NULL;

    if (crypto_sha256_new(&state) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory to hash a header");
    for (size_t i = 0; i < count; i++)
        crypto_sha256_update(state, parts[i].data, parts[i].len);
    crypto_sha256_final(state, out);
    crypto_sha256_free(state);
    return 0;
}

int light_merkle_leaf(struct hm_slice bytes, uint8_t out[LIGHT_HASH_BYTES], struct hm_error *error)
{
    static const uint8_t prefix = 0;
    const struct hm_slice parts[] = {hm_slice_of(&prefix, 1), bytes};

    return light_sha256(parts, HM_COUNT_OF(parts), out, error);
}

/* Level by level, an odd last node rising as it is: the same tree as splitting at the largest power of two. */
int light_merkle_root(uint8_t (*hashes)[LIGHT_HASH_BYTES], size_t count,
                      uint8_t out[LIGHT_HASH_BYTES], struct hm_error *error)
{
    static const uint8_t prefix = 1;

    for (; count > 1; count = (count + 1) / 2) {
        for (size_t i = 0; i < count / 2; i++) {
            const struct hm_slice parts[] = {hm_slice_of(&prefix, 1),
                                             hm_slice_of(hashes[2 * i], LIGHT_HASH_BYTES),
                                             hm_slice_of(hashes[2 * i + 1], LIGHT_HASH_BYTES)};
            int rc = light_sha256(parts, HM_COUNT_OF(parts), hashes[i], error);

            if (rc != 0)
                return rc;
        }
        if (count % 2 == 1)
            memmove(hashes[count / 2], hashes[count - 1], LIGHT_HASH_BYTES);
    }
    memcpy(out, hashes[0], LIGHT_HASH_BYTES);
    return 0;
}

int light_validator_address(const uint8_t public_key[CRYPTO_ED25519_PUBLIC_BYTES],
                            uint8_t out[LIGHT_ADDRESS_BYTES], struct hm_error *error)
{
    const struct hm_slice key = hm_slice_of(public_key, CRYPTO_ED25519_PUBLIC_BYTES);
    uint8_t hash[LIGHT_HASH_BYTES];
    int rc = light_sha256(&key, 1, hash, error);

    if (rc == 0)
        memcpy(out, hash, LIGHT_ADDRESS_BYTES);
    return rc;
}

void light_short(const uint8_t *hash, char out[LIGHT_SHORT_BYTES])
{
    hm_hex_encode(hash, 6, out);
}

/* --- what a header must look like ---------------------------------------------------------------------------------- */

int light_hash_check(ProtobufCBinaryData hash, const char *name, struct hm_error *error)
{
    if (hash.len != LIGHT_HASH_BYTES)
        return hm_fail(error, HM_EPARSE, "%s has %zu bytes, a hash has %d", name, hash.len,
                       LIGHT_HASH_BYTES);
    return 0;
}

int light_block_id_check(const Hypermesh__Abci__BlockId *id, const char *name,
                         struct hm_error *error)
{
    int rc;

    if (id == NULL || id->part_set_header == NULL || id->part_set_header->total == 0)
        return hm_fail(error, HM_EPARSE, "%s names no block", name);
    rc = light_hash_check(id->hash, name, error);
    return rc != 0 ? rc : light_hash_check(id->part_set_header->hash, name, error);
}

/* Only the first block of a chain has none before it; which one that is, nobody can see from here. */
static int last_block_check(const Hypermesh__Abci__BlockId *id, struct hm_error *error)
{
    const Hypermesh__Abci__PartSetHeader *parts = id != NULL ? id->part_set_header : NULL;

    if (id == NULL ||
        (id->hash.len == 0 && (parts == NULL || (parts->total == 0 && parts->hash.len == 0))))
        return 0;
    return light_block_id_check(id, "the header's last_block_id", error);
}

bool light_time_valid(const Hypermesh__Abci__Timestamp *time)
{
    return time != NULL && time->seconds >= LIGHT_TIME_MIN_SECONDS &&
           time->seconds <= LIGHT_TIME_MAX_SECONDS && time->nanos >= 0 && time->nanos < 1000000000;
}

uint64_t light_time_ms(const Hypermesh__Abci__Timestamp *time)
{
    return (uint64_t)time->seconds * 1000 + (uint64_t)time->nanos / 1000000;
}

static int header_check(const Hypermesh__Abci__Header *header, struct hm_error *error)
{
    const struct {
        ProtobufCBinaryData value;
        const char *name;
    } hashes[] = {
        {header->last_commit_hash, "the header's last_commit_hash"},
        {header->data_hash, "the header's data_hash"},
        {header->validators_hash, "the header's validators_hash"},
        {header->next_validators_hash, "the header's next_validators_hash"},
        {header->consensus_hash, "the header's consensus_hash"},
        {header->last_results_hash, "the header's last_results_hash"},
        {header->evidence_hash, "the header's evidence_hash"},
    };
    size_t chain_len = strlen(header->chain_id);

    if (header->version == NULL || header->version->block != LIGHT_BLOCK_PROTOCOL)
        return hm_fail(error, HM_EPARSE,
                       "the header is of block protocol %llu, CometBFT 0.38 writes %d",
                       header->version ? (unsigned long long)header->version->block : 0ULL,
                       LIGHT_BLOCK_PROTOCOL);
    if (chain_len == 0 || chain_len > LIGHT_CHAIN_ID_MAX_BYTES)
        return hm_fail(error, HM_EPARSE, "the header's chain id has %zu bytes, 1 to %d are taken",
                       chain_len, LIGHT_CHAIN_ID_MAX_BYTES);
    if (header->height < 1)
        return hm_fail(error, HM_EPARSE, "the header's height is %lld, the first is 1",
                       (long long)header->height);
    if (!light_time_valid(header->time) || header->time->seconds < 0)
        return hm_fail(error, HM_EPARSE, "the header's time is none, or not from 1970 to 9999");
    for (size_t i = 0; i < HM_COUNT_OF(hashes); i++) {
        int rc = light_hash_check(hashes[i].value, hashes[i].name, error);

        if (rc != 0)
            return rc;
    }
    if (header->app_hash.len > LIGHT_APP_HASH_MAX_BYTES)
        return hm_fail(error, HM_EPARSE,
                       "the header's app_hash has %zu bytes, at most %d are taken",
                       header->app_hash.len, LIGHT_APP_HASH_MAX_BYTES);
    if (header->proposer_address.len != LIGHT_ADDRESS_BYTES)
        return hm_fail(error, HM_EPARSE, "the header's proposer_address has %zu bytes, not %d",
                       header->proposer_address.len, LIGHT_ADDRESS_BYTES);
    return last_block_check(header->last_block_id, error);
}

/* --- a header's hash ----------------------------------------------------------------------------------------------- */

#define HEADER_FIELDS  14
#define LEAF_MAX_BYTES 128 /* the longest is a BlockId: 78 */

struct leaf {
    uint8_t bytes[LEAF_MAX_BYTES];
    size_t len;
};

/* A text or bytes: as field 1 of a message, and nothing at all when empty. value.len < 126. */
static void leaf_bytes(struct leaf *leaf, const void *value, size_t len)
{
    leaf->len = 0;
    if (len == 0)
        return;
    leaf->bytes[0] = 0x0a;
    leaf->bytes[1] = (uint8_t)len;
    memcpy(leaf->bytes + 2, value, len);
    leaf->len = 2 + len;
}

static void leaf_message(struct leaf *leaf, const ProtobufCMessage *message)
{
    leaf->len = protobuf_c_message_pack(message, leaf->bytes);
}

/* A whole number as field 1 of a message: VersionConsensus has such a field, and writes the second only when it is not 0. */
static void leaf_height(struct leaf *leaf, int64_t height)
{
    Hypermesh__Abci__VersionConsensus number = HYPERMESH__ABCI__VERSION_CONSENSUS__INIT;

    number.block = (uint64_t)height;
    leaf_message(leaf, &number.base);
}

static void leaf_block_id(struct leaf *leaf, const Hypermesh__Abci__BlockId *id)
{
    Hypermesh__Abci__PartSetHeader none = HYPERMESH__ABCI__PART_SET_HEADER__INIT;
    Hypermesh__Abci__BlockId whole = HYPERMESH__ABCI__BLOCK_ID__INIT;

    if (id != NULL)
        whole = *id;
    if (whole.part_set_header == NULL) /* the engine always writes it, empty too */
        whole.part_set_header = &none;
    leaf_message(leaf, &whole.base);
}

int light_header_hash(const Hypermesh__Abci__Header *header, uint8_t out[LIGHT_HASH_BYTES],
                      struct hm_error *error)
{
    const ProtobufCBinaryData rest[] = {
        header->last_commit_hash,     header->data_hash,      header->validators_hash,
        header->next_validators_hash, header->consensus_hash, header->app_hash,
        header->last_results_hash,    header->evidence_hash,  header->proposer_address};
    struct leaf leaves[HEADER_FIELDS];
    uint8_t hashes[HEADER_FIELDS][LIGHT_HASH_BYTES];
    int rc = header_check(header, error);

    if (rc != 0)
        return rc;
    leaf_message(&leaves[0], &header->version->base);
    leaf_bytes(&leaves[1], header->chain_id, strlen(header->chain_id));
    leaf_height(&leaves[2], header->height);
    leaf_message(&leaves[3], &header->time->base);
    leaf_block_id(&leaves[4], header->last_block_id);
    for (size_t i = 0; i < HM_COUNT_OF(rest); i++)
        leaf_bytes(&leaves[5 + i], rest[i].data, rest[i].len);
    for (size_t i = 0; i < HEADER_FIELDS && rc == 0; i++)
        rc = light_merkle_leaf(hm_slice_of(leaves[i].bytes, leaves[i].len), hashes[i], error);
    return rc != 0 ? rc : light_merkle_root(hashes, HEADER_FIELDS, out, error);
}
