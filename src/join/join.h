/* join: how one machine joins a cluster on others with a join ticket (docs/formats-ticket.md, proto/cluster.proto). A member's
 * side: tickets, the book of those it issued, and the door where strangers redeem them, over STOQ. The newcomer's side: its data
 * folder, made with what the member gives, and the tunnel through which its engine reads the member's until it has a chain.
 *
 * Never: opens a ledger, signs a transaction, runs an engine. What the door needs of the node behind it are the few calls of
 * struct join_backend; a stranger reaches nothing else.
 * Start reading with join_cluster (the newcomer, join_newcomer.c), then join_door_answer.c (what the member says to it). */
#ifndef HM_JOIN_H
#define HM_JOIN_H

#include "base.h"
#include "crypto.h"
#include "join_ticket.h"
#include "wire.h"

/* --- the newcomer: its data folder (join_newcomer.c) --------------------------------------------------------- */
#define JOIN_PEERS_MAX 16
struct join_options {
    const char *data_dir; /* absolute */
    const char *ticket; /* its text */
    const char
        *address; /* "ADDRESS:PORT" of the member, instead of those in the ticket; NULL: those */
    const char *operator_name, *user_name; /* of its two accounts, in its keystore */
    bool from_genesis; /* with all blocks, though there is a snapshot */
    const struct hm_random *random;
};
/* Who the newcomer is from now on. */
struct join_identity {
    char node_id[41]; /* by which the others reach it */
    uint8_t address[20]; /* of its validator key */
    uint8_t key[CRYPTO_ED25519_PUBLIC_BYTES]; /* that key, and join_prove_key's proof */
    uint8_t proof[CRYPTO_ED25519_SIGNATURE_BYTES];
    uint8_t account[WIRE_ID_BYTES]; /* its operator's */
    uint8_t user[WIRE_ID_BYTES]; /* whose jobs are its */
};
struct join_result { /* texts lie in the arena */
    struct join_identity member;
    const char *chain_id;
    const char *peers[JOIN_PEERS_MAX]; /* "NODE-ID@ADDRESS:PORT" */
    size_t peer_count;
    const char
        *local; /* this machine's address towards the member, without a port; "": not known */
    bool funded; /* the member has paid its accounts */
    bool validator; /* that is what the ticket is for */
    uint64_t bond; /* base units that the member paid for that */
    bool synced; /* it begins with a snapshot */
};
/* Makes data_dir (missing or empty) the folder of a new node of a cluster on other machines, with a join ticket of one of
 * its members, and nothing else: the member is asked over the network. A call that was cut off goes on where it was, with the same
 * ticket and folder. HM_EEXIST: something else is there; HM_EPARSE, HM_EAUTH: no good ticket; HM_EUNAVAILABLE: the member does not
 * answer; HM_ENOTFOUND, HM_ECONFLICT, HM_ETIMEOUT, HM_EPERM: it does not take the ticket. After a refusal nothing is left. */
int join_cluster(const struct join_options *options, struct hm_arena *arena,
                 struct join_result *out, struct hm_error *error);
/* A node is started in this folder. HM_ECONFLICT: it has not finished joining; one that has loses the mark of it. */
int join_started(const char *data_dir, struct hm_error *error);
/* The word of a validator's key that this operator may declare it on this chain (ValidatorDeclare.proof). Pure. */
void join_prove_key(const char *chain_id, const struct crypto_ed25519_key *validator,
                    const uint8_t account[WIRE_ID_BYTES],
                    uint8_t proof[CRYPTO_ED25519_SIGNATURE_BYTES]);

/* --- the newcomer: reads of the member's engine for its own (join_tunnel.c) ------------------------------------ */
struct join_tunnel;
/* Where the node of this folder has a member to ask (it joined with a ticket, lately): serves DATA/far.sock, as an RPC server for
 * state sync. Elsewhere *out is NULL, and that is no failure. */
int join_tunnel_open(const char *data_dir, const struct hm_clock *clock, struct join_tunnel **out,
                     struct hm_error *error);
void join_tunnel_close(struct join_tunnel *tunnel); /* NULL is fine */

/* --- the member: its door (join_door.c) ------------------------------------------------------------------------ */
#define JOIN_DOOR_PORT      7471 /* where no port is said */
#define JOIN_SNAPSHOT_LATER 2 /* blocks after a snapshot, with whose headers a newcomer checks it */

/* What the door needs of the node behind it. Called from the threads of several newcomers at once. */
struct join_backend {
    void *ctx;
    /* 0, or why nobody is answered yet (HM_EBUSY). */
    int (*ready)(void *ctx, struct hm_error *error);
    /* Does the node end? Then nothing is waited for any more. */
    bool (*quitting)(void *ctx);
    /* Height of the newest snapshot after which there are JOIN_SNAPSHOT_LATER blocks; 0: none. */
    uint64_t (*snapshot)(void *ctx);
    /* Pays from the member's user, durably when it returns 0. HM_EFUNDS, HM_EUNAVAILABLE, HM_EPROOF_SPACE, HM_EPROOF_STAKE,
     * HM_EPROOF_WORK, HM_EPROOF_TIME: it was surely not sent; after every other failure it may come yet. */
    int (*pay)(void *ctx, const uint8_t account[WIRE_ID_BYTES], uint64_t amount,
               struct hm_error *error);
    /* Has anything ever come to this account, or been done by it? */
    int (*is_used)(void *ctx, const uint8_t account[WIRE_ID_BYTES], bool *out,
                   struct hm_error *error);
    /* One JSON-RPC call of the engine; the answer's body is appended. HM_EUNAVAILABLE, HM_ETIMEOUT, HM_EIO, HM_ELIMIT. */
    int (*read)(void *ctx, struct hm_slice json, struct hm_buf *out, struct hm_error *error);
};
struct join_door_options { /* all of it outlives the door */
    const char *data_dir; /* of the member, whose genesis and engine node's key are read there */
    const char *listen; /* "ADDRESS:PORT", UDP */
    const char *p2p_listen; /* "ADDRESS:PORT" of the member's engine */
    const char *const *p2p_peers; /* "NODE-ID@ADDRESS:PORT" of those it is connected to */
    size_t p2p_peer_count;
    struct join_tickets *tickets;
    const struct hm_clock *clock;
    struct join_backend backend;
};
struct join_door;
/* Answers newcomers until it is closed. HM_EBUSY: the port is taken; HM_EINVAL: listen is no address. Where the kernel has not what
 * the transport needs, that is logged and *out is NULL. */
int join_door_open(const struct join_door_options *options, struct join_door **out,
                   struct hm_error *error);
/* Whoever is being answered is waited for; NULL is fine. */
void join_door_close(struct join_door *door);

#endif
