/* After a crash: the ledger stands at the store's last checkpoint, the log knows what came after. */
#include "engine_keeper.h"

#define RECOVER_HEADER_MAX_BYTES ((size_t)64 * 1024)

struct recovery {
    struct ledger *ledger;
    uint64_t blocks;
};

static int unfit(uint64_t height, const char *what, struct hm_error *error)
{
    return hm_fail(error, HM_ECORRUPT,
                   "block %llu of the block log %s: log and ledger do not belong together, or the "
                   "log is damaged; restore the node from a backup",
                   (unsigned long long)height, what);
}

/* Does the block follow the ledger's last one? */
static int recover_check(const struct ledger_proposal *proposal, const struct ledger_info *before,
                         struct hm_error *error)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    uint8_t hash[CRYPTO_HASH_BYTES];
    Hypermesh__BlockHeader *header;

    hm_arena_init(&arena, 0);
    proof_block_hash(proposal->header, hash);
    if (memcmp(hash, proposal->hash, sizeof(hash)) != 0)
        return unfit(proposal->height, "does not have the hash of its header", error);
    int rc = WIRE_UNPACK(hypermesh__block_header, proposal->header, RECOVER_HEADER_MAX_BYTES,
                         &arena, &header, error);
    if (rc != 0)
        return rc == HM_ENOMEM ? rc
                               : unfit(proposal->height, "has a header that does not parse", error);
    if (strcmp(header->chain_id, before->chain_id) != 0 || header->height != proposal->height ||
        header->time_ms != proposal->time_ms ||
        !hm_slice_equal(wire_slice(header->previous_hash),
                        hm_slice_of(before->block_hash, CRYPTO_HASH_BYTES)) ||
        !hm_slice_equal(wire_slice(header->previous_state_root),
                        hm_slice_of(before->state_root, CRYPTO_HASH_BYTES)))
        return unfit(proposal->height, "does not follow the ledger's last block", error);
    return 0;
}

static int recover_block(void *ctx, const struct engine_log_block *block, struct hm_error *error)
{
    struct recovery *recovery = ctx;
    struct ledger_outcome outcome;
    struct ledger_info before;
    int rc = ledger_info(recovery->ledger, &before, error);

    if (rc == 0)
        rc = recover_check(&block->proposal, &before, error);
    if (rc == 0)
        rc = ledger_finalize(recovery->ledger, &block->proposal, &outcome, error);
    if (rc != 0)
        return rc;
    if (memcmp(outcome.state_root, block->state_root, CRYPTO_HASH_BYTES) != 0) {
        ledger_abandon(recovery->ledger);
        return unfit(block->proposal.height, "gives another state root when it is applied again",
                     error);
    }
    rc = ledger_commit(recovery->ledger, error);
    recovery->blocks += rc == 0;
    return rc;
}

int engine_recover(struct engine_log *log, struct ledger *ledger, uint64_t *blocks,
                   struct hm_error *error)
{
    struct recovery recovery = {.ledger = ledger};
    struct ledger_info info;
    int rc = ledger_info(ledger, &info, error);

    if (rc == 0)
        rc = engine_log_read(log, info.height, recover_block, &recovery, error);
    if (rc != 0)
        return rc;
    engine_log_restart(log);
    *blocks = recovery.blocks;
    return 0;
}
