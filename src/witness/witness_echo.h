/* Packets by which the nodes of a cluster measure how far apart they are, in time and in place: a question and its answer, each in one
 * datagram, signed with the key by which the engine knows the node. Pure: no socket, no clock.
 *
 *   offset  bytes
 *   0       7     "hmecho1"
 *   7       1     '?' question, '!' answer
 *   8       16    chain: start of H("hypermesh 1 echo chain", chain id)
 *   24      16    nonce; an answer has its question's
 *   40      32    public key of who sends it
 *   72      8     its wall clock, milliseconds since 1970, big endian
 *   80      64    signature
 *   144     48    zeros; of a question only: so no answer is longer than what asked for it
 *
 * Signed is "hypermesh 1 echo ask" or "hypermesh 1 echo answer", then bytes 0 to 79, and of an answer the key of who asked. The
 * engine signs with this key what has 32 bytes (the handshake of its connections), and so does the node (ledger_witness_digest): no
 * signature of one kind can stand for one of another. Votes are signed with another key. */
#ifndef HM_WITNESS_ECHO_H
#define HM_WITNESS_ECHO_H

#include "base.h"
#include "crypto.h"

#define WITNESS_ECHO_CHAIN_BYTES  16
#define WITNESS_ECHO_NONCE_BYTES  16
#define WITNESS_ECHO_ID_BYTES     20
#define WITNESS_ECHO_ASK_BYTES    192
#define WITNESS_ECHO_ANSWER_BYTES 144

enum witness_echo_kind { WITNESS_ECHO_ASK = '?', WITNESS_ECHO_ANSWER = '!' };

struct witness_echo {
    uint8_t nonce[WITNESS_ECHO_NONCE_BYTES];
    uint8_t key[CRYPTO_ED25519_PUBLIC_BYTES];
    uint64_t clock_ms;
};

void witness_echo_chain(const char *chain_id, uint8_t out[WITNESS_ECHO_CHAIN_BYTES]);

void witness_echo_write_ask(const struct crypto_ed25519_key *own,
                            const uint8_t chain[WITNESS_ECHO_CHAIN_BYTES],
                            const uint8_t nonce[WITNESS_ECHO_NONCE_BYTES], uint64_t clock_ms,
                            uint8_t out[WITNESS_ECHO_ASK_BYTES]);
/* Of a question that witness_echo_check accepted. */
void witness_echo_write_answer(const struct crypto_ed25519_key *own,
                               const uint8_t chain[WITNESS_ECHO_CHAIN_BYTES],
                               const struct witness_echo *asked, uint64_t clock_ms,
                               uint8_t out[WITNESS_ECHO_ANSWER_BYTES]);

/* What the packet says, without looking at its signature: costs nothing. HM_EPARSE: no packet of this kind; HM_ENOTFOUND: another
 * chain's. */
int witness_echo_read(struct hm_slice packet, const uint8_t chain[WITNESS_ECHO_CHAIN_BYTES],
                      enum witness_echo_kind kind, struct witness_echo *out);
/* Is the packet, which witness_echo_read took, signed by the key it names? asker: of an answer, who asked; else NULL. HM_EAUTH. */
int witness_echo_check(struct hm_slice packet, enum witness_echo_kind kind,
                       const uint8_t asker[CRYPTO_ED25519_PUBLIC_BYTES]);

#endif
