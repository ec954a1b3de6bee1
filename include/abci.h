/* abci: the application's side of ABCI 2.0, as CometBFT v0.38 speaks it, over a unix socket. Any C program can be a
 * replicated state machine with it: give abci_server_open the path of a socket and your functions, and start the engine
 * with `proxy_app = "unix://SOCKET"` and `abci = "socket"`.
 *
 *     #include <abci.h>
 *     static int finalize(void *app, const Hypermesh__Abci__RequestFinalizeBlock *block, struct hm_arena *arena,
 *                         Hypermesh__Abci__ResponseFinalizeBlock *answer, struct hm_error *error) { ... }
 *     const struct abci_handlers handlers = {.info = info, .finalize_block = finalize, .commit = commit, .ctx = app};
 *     abci_server_open("/run/app/abci.sock", &handlers, NULL, &server, &error);
 *
 * To build such a program: `make build && meson install -C build/gcc` puts libhmabci, this header and a pkg-config file under
 * /usr/local (`meson setup --prefix`: elsewhere; PKG_CONFIG_PATH then names its folder pkgconfig). It needs protobuf-c with its
 * headers (Debian: libprotobuf-c-dev) and nothing else. Then, with the shared library or the static one:
 *
 *     cc -o app app.c $(pkg-config --cflags --libs hmabci)
 *     cc -o app app.c -static $(pkg-config --static --cflags --libs hmabci)
 *
 * What it includes lies beside it: abci.pb-c.h, the engine's messages (generated from proto/abci.proto; protobuf-c's functions
 * work on them), and of base the headers of arenas (memory for an answer), bytes, and errors. All parse as C17 and as
 * C++11. Names of the library begin with abci_, hm_ or hypermesh__abci__; the shared one shows just what the headers declare.
 *
 * Never: decides anything by itself, sends an answer that would stop the engine (each is checked first, see
 * abci_answer_check), blocks one connection for another.
 * Start reading with examples/abci-counter.c, a whole application, and struct abci_handlers; inside, with abci_core.c.
 * Formats and field numbers are those of CometBFT's public schema (proto/abci.proto says which). */
#ifndef HM_ABCI_H
#define HM_ABCI_H

#include "abci.pb-c.h"
#include "base_arena.h"
#include "base_bytes.h"
#include "base_error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A message of the engine, and one of ours. The engine itself reads up to 2^31-1 bytes; a block has at most 100 MiB. */
#define ABCI_MESSAGE_MAX_BYTES ((size_t)128 << 20)
/* What the engine takes of us, by its own limits; more would stop it or be dropped. */
#define ABCI_EXTENSION_MAX_BYTES ((size_t)1 << 20)
#define ABCI_CHUNK_MAX_BYTES     ((size_t)15 << 20)
#define ABCI_METADATA_MAX_BYTES  ((size_t)3 << 20)
#define ABCI_APP_HASH_MAX_BYTES  32 /* its headers are counted with that */
#define ABCI_BLOCK_MAX_BYTES     ((int64_t)100 << 20)
#define ABCI_CHAIN_ID_MAX_BYTES  50
#define ABCI_VALIDATORS_MAX      10000
#define ABCI_POWER_TOTAL_MAX     (INT64_MAX / 8)
#define ABCI_CONNECTIONS_MAX     16 /* the engine opens four; a relay or a restart may overlap */

/* What the application does. Each: request is borrowed for the call; the answer arrives zeroed and initialised with its
 * safe default (in brackets), is filled with memory of the arena, and lives until it was packed. NULL members are fine
 * but for info, finalize_block and commit: the safe default is answered.
 *
 * In a request no text and no single message is NULL (what was absent is there, empty: a time of 0, no votes), but in
 * the oneof of a PublicKey; texts are cleaned by hm_text_clean, a NUL in one is "?". Fields that are not in
 * proto/abci.proto are skipped.
 *
 * Returns 0, or negative with a sentence in *error. Negative in info, init_chain, finalize_block or commit ends the server: see
 * `failed`. In the others the engine gets what follows the semicolon in the brackets (where there is none, the safe
 * default), and options.log the sentence. An answer that abci_answer_check refuses counts as a negative return.
 *
 * Order, as the engine has it: init_chain first if info said height 0; then for each height prepare_proposal (when this
 * node proposes), process_proposal for each proposal (its own too), extend_vote, verify_vote_extension of others' votes,
 * finalize_block, commit. After a restart, finalize_block and commit again for every height after info's.
 *
 * Threads: the functions of one group never overlap, and all calls of one group come from one thread at a time, which
 * stays the same as long as its connection does; functions of different groups overlap. Groups: consensus (init_chain,
 * prepare_proposal, process_proposal, extend_vote, verify_vote_extension, finalize_block, commit); query (info, query); check
 * (check_tx); snapshots. */
struct abci_handlers {
    /* query: last_block_height 0 asks for init_chain. Must never name a height the application has not durably got. */
    int (*info)(void *ctx, const Hypermesh__Abci__RequestInfo *request, struct hm_arena *arena,
                Hypermesh__Abci__ResponseInfo *answer, struct hm_error *error);
    int (*query)(void *ctx, const Hypermesh__Abci__RequestQuery *request, struct hm_arena *arena,
                 Hypermesh__Abci__ResponseQuery *answer,
                 struct hm_error *error); /* [code 1, "not supported"; -rc, the sentence] */
    /* check: code 0 keeps it in the pool of waiting transactions. The engine waits for it before each commit. [code 0;
     * -rc, the sentence] */
    int (*check_tx)(void *ctx, const Hypermesh__Abci__RequestCheckTx *request,
                    struct hm_arena *arena, Hypermesh__Abci__ResponseCheckTx *answer,
                    struct hm_error *error);
    /* consensus */
    int (*init_chain)(void *ctx, const Hypermesh__Abci__RequestInitChain *request,
                      struct hm_arena *arena, Hypermesh__Abci__ResponseInitChain *answer,
                      struct hm_error *error); /* [empty] */
    /* [the request's txs in order, as many as max_tx_bytes holds; none]. abci_txs_bytes counts as the engine does. */
    int (*prepare_proposal)(void *ctx, const Hypermesh__Abci__RequestPrepareProposal *request,
                            struct hm_arena *arena,
                            Hypermesh__Abci__ResponsePrepareProposal *answer,
                            struct hm_error *error);
    /* [ACCEPT; REJECT] */
    int (*process_proposal)(void *ctx, const Hypermesh__Abci__RequestProcessProposal *request,
                            struct hm_arena *arena,
                            Hypermesh__Abci__ResponseProcessProposal *answer,
                            struct hm_error *error);
    /* [empty] */
    int (*extend_vote)(void *ctx, const Hypermesh__Abci__RequestExtendVote *request,
                       struct hm_arena *arena, Hypermesh__Abci__ResponseExtendVote *answer,
                       struct hm_error *error);
    /* [ACCEPT]. To refuse an honest validator's vote can stop the chain: refuse only what no honest one would send. */
    int (*verify_vote_extension)(void *ctx,
                                 const Hypermesh__Abci__RequestVerifyVoteExtension *request,
                                 struct hm_arena *arena,
                                 Hypermesh__Abci__ResponseVerifyVoteExtension *answer,
                                 struct hm_error *error);
    /* As many tx_results as txs, the app hash every node has. */
    int (*finalize_block)(void *ctx, const Hypermesh__Abci__RequestFinalizeBlock *request,
                          struct hm_arena *arena, Hypermesh__Abci__ResponseFinalizeBlock *answer,
                          struct hm_error *error);
    int (*commit)(void *ctx, struct hm_arena *arena, Hypermesh__Abci__ResponseCommit *answer,
                  struct hm_error *error);
    /* snapshots [none; ABORT; empty; ABORT] */
    int (*list_snapshots)(void *ctx, struct hm_arena *arena,
                          Hypermesh__Abci__ResponseListSnapshots *answer, struct hm_error *error);
    int (*offer_snapshot)(void *ctx, const Hypermesh__Abci__RequestOfferSnapshot *request,
                          struct hm_arena *arena, Hypermesh__Abci__ResponseOfferSnapshot *answer,
                          struct hm_error *error);
    int (*load_snapshot_chunk)(void *ctx, const Hypermesh__Abci__RequestLoadSnapshotChunk *request,
                               struct hm_arena *arena,
                               Hypermesh__Abci__ResponseLoadSnapshotChunk *answer,
                               struct hm_error *error);
    int (*apply_snapshot_chunk)(void *ctx,
                                const Hypermesh__Abci__RequestApplySnapshotChunk *request,
                                struct hm_arena *arena,
                                Hypermesh__Abci__ResponseApplySnapshotChunk *answer,
                                struct hm_error *error);
    /* A connection that carried consensus calls ended, after its last call returned: what finalize_block began and no
     * commit followed is to be dropped. On that connection's thread. NULL is fine. */
    void (*gone)(void *ctx);
    /* The application failed in info, init_chain, finalize_block or commit, or gave an answer there that would stop the
     * engine, or memory ran out: nothing was sent, the server's connections are closed, and it takes no more (the engine
     * then ends, keeps the block, and offers it again when both are started anew). Once. NULL is fine. */
    void (*failed)(void *ctx, const struct hm_error *error);
    void *ctx;
};

/* --- one connection without I/O: bytes in, bytes out --------------------------------------------------- */
struct abci_core;
enum abci_group { ABCI_CONSENSUS, ABCI_QUERY, ABCI_CHECK, ABCI_SNAPSHOT, ABCI_GROUPS };
struct abci_core_hooks {
    /* Serialises a group's calls between connections; NULL (both): no other connection. enter may block; false: the call is
     * not to be made any more, feed returns HM_ECANCELLED. */
    bool (*enter)(void *ctx, unsigned group);
    void (*leave)(void *ctx, unsigned group);
    void (*failed)(void *ctx, const struct hm_error *error); /* instead of the handlers' `failed` */
    void (*log)(void *ctx,
                const struct hm_error *error); /* refused proposals and such; may be NULL */
    void *ctx;
};
/* handlers is borrowed; hooks is copied, NULL is fine. HM_EINVAL names a handler that must be there. */
int abci_core_new(const struct abci_handlers *handlers, const struct abci_core_hooks *hooks,
                  struct abci_core **out, struct hm_error *error);
void abci_core_free(struct abci_core *core); /* calls gone where it must; NULL is fine */
/* Takes what arrived, in any pieces, and answers whole requests in order. Negative: the connection is to be closed
 * (HM_EPARSE: not this protocol; HM_ELIMIT: a message over ABCI_MESSAGE_MAX_BYTES; HM_ECANCELLED: see enter; else what
 * `failed` was told), and feeding it again gives the same. While ABCI_OUT_WAIT_BYTES wait to be sent no request is answered: see
 * abci_core_stalled. */
#define ABCI_OUT_WAIT_BYTES ((size_t)64 << 20)
int abci_core_feed(struct abci_core *core, struct hm_slice bytes, struct hm_error *error);
/* What is to be sent, borrowed until the next call; *flush: a Flush was answered (or what waits passes 64 KiB), so send it
 * now; take drops the first `count` bytes that were sent. */
struct hm_slice abci_core_out(const struct abci_core *core, bool *flush);
void abci_core_take(struct abci_core *core, size_t count);
/* Whole requests may wait because too much waited to be sent: take, then feed no bytes. */
bool abci_core_stalled(const struct abci_core *core);

/* --- a server: a listener, a thread a connection ------------------------------------------------------- */
struct abci_server;
struct abci_server_options {
    /* Only this process may connect (SO_PEERCRED), and only as our own user; 0: any of our own user; negative: not known
     * yet, who connects waits for abci_server_expect. */
    int64_t peer_pid;
    unsigned connections_max; /* 0: ABCI_CONNECTIONS_MAX */
    void (*log)(void *ctx,
                const struct hm_error *error); /* from any of the server's threads; may be NULL */
    /* A connection of this process has ended, and not because of abci_server_close. The engine ends when it loses one, but
     * may hang over it. From that connection's thread, after `gone`; may be NULL. */
    void (*left)(void *ctx, int64_t peer_pid);
    void *ctx;
};
/* Listens at path, mode 0600; a socket file left there by a dead server is replaced, a live one is HM_EEXIST. handlers is
 * copied. HM_EINVAL names a member that must be there. The path has at most 107 bytes. */
int abci_server_open(const char *path, const struct abci_handlers *handlers,
                     const struct abci_server_options *options, struct abci_server **out,
                     struct hm_error *error);
/* Which process may connect from now on, as peer_pid (the engine is started after the server listens). Thread-safe. */
void abci_server_expect(struct abci_server *server, int64_t peer_pid);
/* Ends connections after the call under way, joins their threads, removes the socket file. Never from within a handler. NULL
 * is fine. */
void abci_server_close(struct abci_server *server);

/* --- the engine's own rules, so that no answer stops it ------------------------------------------------ */
/* Bytes of these in a proposal, as the engine counts them: each with a tag and its length as a varint. */
size_t abci_txs_bytes(const struct hm_slice *txs, size_t count);
size_t abci_tx_bytes(size_t tx_bytes); /* of one */

/* The validators as the engine holds them: power descending, then address ascending. */
struct abci_validator {
    uint8_t key[32]; /* Ed25519 */
    int64_t power; /* > 0 */
};
/* Would the engine take these changes (power 0: leaves) to this set? HM_EINVAL says which one it would not: a key twice, a key
 * that is no 32 bytes of Ed25519, a negative power, one that leaves and is not there, an empty set after, more than
 * ABCI_VALIDATORS_MAX or a sum over ABCI_POWER_TOTAL_MAX. HM_ENOMEM. */
int abci_updates_check(const struct abci_validator *set, size_t count,
                       Hypermesh__Abci__ValidatorUpdate *const *updates, size_t updates_count,
                       struct hm_error *error);
/* Would this answer to that request leave the engine running, as far as one message shows? HM_EINTERNAL says what not: wrong
 * kind, number of results, sizes, a status that is unknown, consensus parameters or updates that the engine would never
 * take. HM_ENOMEM. A core asks it of every answer. */
int abci_answer_check(const Hypermesh__Abci__Request *request,
                      const Hypermesh__Abci__Response *answer, struct hm_error *error);

#ifdef __cplusplus
}
#endif

#endif
