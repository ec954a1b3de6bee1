/* Shared by the files of script_app; nobody else includes it. */
#ifndef SCRIPT_APP_PARTS_H
#define SCRIPT_APP_PARTS_H

#include "crypto.h"
#include "script_app.h"

#define SCRIPT_HEAD_BYTES(validators) (8 + 8 + 32 + 4 + (size_t)(validators)*40)
#define SCRIPT_FORMAT                 1

enum script_code { SCRIPT_OK, SCRIPT_UNREADABLE, SCRIPT_AGAIN, SCRIPT_ILLEGAL };

struct script_app {
    struct script_disk *disk;
    struct script_options options;
    struct script_state now; /* committed */
    struct script_block { /* finalized, or tried */
        struct script_state state;
        uint8_t hash[32];
        bool open;
        size_t count;
        uint8_t *codes; /* of `count` transactions */
        size_t updates;
        struct abci_validator update[SCRIPT_VALIDATORS_MAX];
        int64_t power_moved;
    } next;
    struct { /* a snapshot being taken in */
        bool open;
        struct script_state head;
        struct hm_buf hashes;
        uint32_t chunks, done;
    } restore;
    uint64_t commits, prepared_height, asked;
    bool fresh; /* since the start */
};

int script_fail_memory(struct hm_error *error);
bool script_mutates(const struct script_app *app, enum script_mutant mutant);
/* Executes a block into app->next. */
int script_block_run(struct script_app *app, const ProtobufCBinaryData *txs, size_t count,
                     uint64_t height, ProtobufCBinaryData hash, struct hm_error *error);
void script_block_drop(struct script_app *app);
void script_tx_digest(struct hm_slice tx, uint8_t out[32]);
/* Is it a transaction at all? */
bool script_tx_reads(struct hm_slice tx);
void script_root_of(const struct script_app *app, const struct script_state *state,
                    uint8_t out[32]);
int script_state_copy(const struct script_state *from, struct script_state *to);
int script_state_apply(struct script_state *state, const uint8_t digest[32]);
int script_head_pack(const struct script_state *state, struct hm_buf *out);
int script_head_unpack(struct hm_slice bytes, struct script_state *out, size_t *used);

/* Commit's part: keeps a snapshot of the height. */
int script_snapshot_keep(struct script_app *app, struct hm_error *error);
void script_snapshot_drop(struct script_app *app);
void script_snapshot_handlers(struct abci_handlers *out);

#endif
