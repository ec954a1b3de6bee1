/* The room's insides: what its files share. One stream of STOQ, one request (proto/cluster.proto). Both ends show a certificate of
 * their engine node's key; the newcomer knows the member's from the ticket, and the member remembers the newcomer's. */
#ifndef HM_JOIN_PRIVATE_H
#define HM_JOIN_PRIVATE_H

#include "cluster.pb-c.h"
#include "engine.h"
#include "join.h"
#include "stoq.h"

#define JOIN_DOOR_ALPN              "hm-cluster/1"
#define JOIN_DOOR_REQUEST_MAX_BYTES ((size_t)4 << 10)
#define JOIN_DOOR_ANSWER_MAX_BYTES \
    ((size_t)17 << 20) /* a genesis, or an answer of the engine's RPC */
#define JOIN_DOOR_LINKS_MAX         16 /* newcomers at once */
#define JOIN_DOOR_LINKS_A_PLACE     4 /* of those, from one IPv4 address or one /64 */
#define JOIN_DOOR_LINKS_A_KEY       4 /* of those that are served, of one newcomer, from wherever */
#define JOIN_DOOR_REFUSALS_MAX      3 /* one after the other: then it is hung up */
#define JOIN_DOOR_REQUEST_MS        10000 /* for the whole of a request */
#define JOIN_DOOR_STRANGER_MS       15000 /* for all of a connection that has redeemed nothing */
#define JOIN_DOOR_REQUESTS_A_SECOND 100 /* of one newcomer; more are held back */

/* In a data folder. */
#define JOIN_GENESIS  "engine/config/genesis.json"
#define JOIN_KEYS_DIR "validator"

/* --- join_certificate.c ----------------------------------------------------------------------------------- */
/* What shows an Ed25519 key to a peer, self-signed. The caller unrefs it. */
int join_certificate_identity(const struct crypto_ed25519_key *key, struct stoq_identity **out,
                              struct hm_error *error);
/* The Ed25519 key of a certificate from outside (DER); false: it is of another kind, or none. Pure. */
bool join_certificate_key(struct hm_slice der, uint8_t key[CRYPTO_ED25519_PUBLIC_BYTES]);
/* A code of stoq as ours; what begins the sentence. */
int join_stoq_failed(int code, const struct stoq_error *why, const char *what,
                     struct hm_error *error);

/* --- join_door.c: the member's side ----------------------------------------------------------------------- */
/* What an open door knows by heart, so that strangers cause no reading of files. */
struct join_door_self {
    uint8_t genesis_hash[CRYPTO_HASH_BYTES];
    char node_id[ENGINE_NODE_ID_DIGITS + 1];
};
const struct join_door_self *join_door_self(const struct join_door *door);
const struct join_door_options *join_door_options(const struct join_door *door);
/* Logs a refusal: one a second, and how many were left out. */
void join_door_log_refusal(struct join_door *door, const uint8_t key[CRYPTO_ED25519_PUBLIC_BYTES],
                           const char *why);
/* Do both count as one place: the same IPv4 address, or the same /64? Pure. */
bool join_door_same_place(const struct sockaddr_in6 *one, const struct sockaddr_in6 *other);

/* --- join_door_answer.c: what is answered ----------------------------------------------------------------- */
struct join_door_peer {
    uint8_t key[CRYPTO_ED25519_PUBLIC_BYTES]; /* proven by the handshake */
    struct sockaddr_in6 local, remote; /* of the connection */
};
/* The packed answer to a packed request; one that is refused has an answer too, and *served is false. HM_ENOMEM: none. */
int join_door_answer(struct join_door *door, const struct join_door_peer *peer,
                     struct hm_slice request, struct hm_buf *out, bool *served);
/* Pure: HM_EPARSE, HM_ELIMIT. */
int join_door_request_read(struct hm_slice bytes, struct hm_arena *arena,
                           Hypermesh__Cluster__JoinRequest **out, struct hm_error *error);
/* Appends the JSON-RPC call that a read is, checked. HM_EPERM: no such read. Pure. */
int join_door_read_json(const Hypermesh__Cluster__EngineRead *read, struct hm_buf *out,
                        struct hm_error *error);
/* May a newcomer that is at `remote` dial the engine at "ADDRESS:PORT"? One of loopback only from loopback. Pure. */
bool join_door_can_dial(const char *address, const struct sockaddr_in6 *remote);

/* --- join_knock.c: the newcomer's side --------------------------------------------------------------------- */
struct
    join_knock; /* a connection to a member's door, made anew when it broke; for one thread at a time */
int join_knock_open(const struct crypto_ed25519_key *own,
                    const uint8_t member[CRYPTO_ED25519_PUBLIC_BYTES],
                    const struct sockaddr_in6 *addresses, size_t count, struct join_knock **out,
                    struct hm_error *error);
void join_knock_close(struct join_knock *knock); /* NULL is fine */
/* From another thread: the ask under way and later ones fail with HM_ECANCELLED soon. */
void join_knock_stop(struct join_knock *knock);
/* This machine's address towards the member, without a port ("192.0.2.9", "[fd00::9]"); "": not known, or no connection. */
void join_knock_local(struct join_knock *knock, char out[STOQ_ADDRESS_TEXT_BYTES]);
/* Had the last ask an answer, be it a refusal? Else the member may have done what it was asked, or not. */
bool join_knock_answered(const struct join_knock *knock);
/* Asks and waits. The member's refusal is this function's failure, with its sentence. HM_EUNAVAILABLE: nobody answers at
 * any of the addresses, nothing was asked; HM_EAUTH: who answers is not the member; HM_ETIMEOUT, HM_EIO: it was asked, and no answer
 * came. Bytes of the answer lie in the arena. */
int join_knock_ask(struct join_knock *knock, const Hypermesh__Cluster__JoinRequest *request,
                   int timeout_ms, struct hm_arena *arena, Hypermesh__Cluster__JoinAnswer **out,
                   struct hm_error *error);

/* --- join_tunnel.c: reads of a member's engine for ours ------------------------------------------------------ */
#define JOIN_TUNNEL_SOCKET "far.sock"
/* Whom the tunnel leads to, and until when: a packed JoinMember. */
#define JOIN_TUNNEL_FILE           "engine/member"
#define JOIN_TUNNEL_FILE_MAX_BYTES 1024
/* A read out of the JSON-RPC call that an engine's light client sends. HM_EPERM: another method; HM_EPARSE. Pure. */
int join_tunnel_read_parse(struct hm_slice json, Hypermesh__Cluster__EngineRead *out,
                           struct hm_error *error);
/* Where the body of the HTTP request at the start of bytes lies. 1: whole; 0: more is needed; HM_EPARSE, HM_ELIMIT. Pure. */
#define JOIN_TUNNEL_REQUEST_MAX_BYTES ((size_t)16 << 10)
int join_tunnel_request_parse(struct hm_slice bytes, struct hm_slice *body, size_t *whole,
                              bool *keep, struct hm_error *error);

#endif
