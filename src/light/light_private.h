/* What the files of light share. */
#ifndef HM_LIGHT_PRIVATE_H
#define HM_LIGHT_PRIVATE_H

#include "light.h"

#define LIGHT_TIME_MIN_SECONDS   INT64_C(-62135596800) /* 0001-01-01: what a Timestamp may hold */
#define LIGHT_TIME_MAX_SECONDS   INT64_C(253402300799) /* 9999-12-31 */
#define LIGHT_VOTE_MAX_BYTES     256 /* of what a vote signs */
#define LIGHT_APP_HASH_MAX_BYTES 64 /* 32 when the application is our ledger */

/* SHA-256 over the parts one after the other. HM_ENOMEM. */
int light_sha256(const struct hm_slice *parts, size_t count, uint8_t out[LIGHT_HASH_BYTES],
                 struct hm_error *error);
/* H(0x00 || bytes) of a Merkle tree's leaf, and the root over count >= 1 of them (RFC 6962, section 2.1, with SHA-256). The root
 * overwrites the hashes. HM_ENOMEM. */
int light_merkle_leaf(struct hm_slice bytes, uint8_t out[LIGHT_HASH_BYTES], struct hm_error *error);
int light_merkle_root(uint8_t (*hashes)[LIGHT_HASH_BYTES], size_t count,
                      uint8_t out[LIGHT_HASH_BYTES], struct hm_error *error);

/* The field is a hash of 32 bytes; name opens the sentence. HM_EPARSE. */
int light_hash_check(ProtobufCBinaryData hash, const char *name, struct hm_error *error);
/* A block that is named: hash and parts there. HM_EPARSE. */
int light_block_id_check(const Hypermesh__Abci__BlockId *id, const char *name,
                         struct hm_error *error);
/* A time that the engine can have written. */
bool light_time_valid(const Hypermesh__Abci__Timestamp *time);
/* Milliseconds since 1970, rounded down. The time is one of a checked header, so not before 1970. */
uint64_t light_time_ms(const Hypermesh__Abci__Timestamp *time);

/* What the validator of entry signs, behind its length: CanonicalVote for the commit's block, or for nil. Returns its bytes in
 * out, 0 when they are more than LIGHT_VOTE_MAX_BYTES. */
size_t light_vote_bytes(const Hypermesh__Abci__Commit *commit,
                        const Hypermesh__Abci__CommitSig *entry, const char *chain_id,
                        uint8_t out[LIGHT_VOTE_MAX_BYTES]);

/* The first 12 digits, for sentences. */
#define LIGHT_SHORT_BYTES 16
void light_short(const uint8_t *hash, char out[LIGHT_SHORT_BYTES]);

/* Unpacks a block into the empty trust's own arena and checks it. */
int light_trust_take(struct light_trust *trust, struct hm_slice bytes, struct hm_error *error);

static inline const Hypermesh__Abci__Header *light_header(const struct light_block *block)
{
    return block->message->signed_header->header;
}

#endif
