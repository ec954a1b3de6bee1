/* Who does not sign, who sends what is no vote extension, and blocks that took more than one round: counted from the commits that the engine's blocks hold, told in
 * the log when it changes. Decides nothing: what absence costs is the ledger's. Private to this room. */
#ifndef HM_ENGINE_WATCH_H
#define HM_ENGINE_WATCH_H

#include "abci.pb-c.h"
#include "engine.h"

#define ENGINE_WATCH_BLOCKS   5 /* in a row, not signed or signed: a change worth a line */
#define ENGINE_WATCH_AGAIN_MS UINT64_C(30000) /* one validator's next line on the same matter */
#define ENGINE_WATCH_ROUND_MS UINT64_C(5000) /* the next line on rounds */
#define ENGINE_WATCH_LINES_PER_S \
    16 /* what finds no room is told with a later block, if it is still so */
#define ENGINE_WATCH_OLD_MS \
    UINT64_C(60000) /* an older block is caught up with: counted, not told */

/* A second's lines. */
struct engine_watch_lines {
    uint64_t second;
    unsigned told; /* in it */
};
bool engine_watch_has_room(struct engine_watch_lines *lines, uint64_t now_ms);

struct engine_watch;

/* own: this node's validator. HM_ENOMEM. */
int engine_watch_new(const uint8_t own[ENGINE_ADDRESS_BYTES], struct engine_watch **out,
                     struct hm_error *error);
void engine_watch_free(struct engine_watch *watch); /* NULL is fine */
/* The commit of the block at height; each height counts once, the first time. now_ms: of the monotonic clock. Where there is no memory for
 * other validators than before, the block does not count. One thread's. */
void engine_watch_commit(struct engine_watch *watch, uint64_t height,
                         const Hypermesh__Abci__CommitInfo *commit, bool old, uint64_t now_ms);
/* With its vote for the block at height a validator sent an extension of so many bytes that nobody can read; why. The same thread's. */
void engine_watch_extension(struct engine_watch *watch, uint64_t height, struct hm_slice address,
                            size_t bytes, const char *why, uint64_t now_ms);

#endif
