/* The chain of delays: every params.vdf_blocks blocks with transactions a link is due, whose input nobody knew before the last
 * of those blocks was final, and whose output nobody can have before so many squarings are done. A proposer's note brings it. */
#include "ledger_witness.h"

#include "ledger_view.h"

#define INPUT_CONTEXT "hypermesh 1 vdf"
#define SEEN_CONTEXT  "hypermesh 1 seen vdf"

_Static_assert(CRYPTO_VDF_INPUT_BYTES == CRYPTO_HASH_BYTES, "a link's input is a hash");

int ledger_vdf_params_check(const Hypermesh__Params *params, struct hm_error *error)
{
    const uint64_t most = UINT64_C(1) << 40;

    if (params->vdf_blocks > most)
        return hm_fail(error, HM_EINVAL, "genesis: params.vdf_blocks is %llu, must be 0 to %llu",
                       (unsigned long long)params->vdf_blocks, (unsigned long long)most);
    if (params->vdf_steps > CRYPTO_VDF_STEPS_MAX ||
        (params->vdf_blocks > 0 && params->vdf_steps == 0))
        return hm_fail(error, HM_EINVAL,
                       "genesis: params.vdf_steps is %llu, must be 1 to %llu where vdf_blocks is "
                       "not 0",
                       (unsigned long long)params->vdf_steps,
                       (unsigned long long)CRYPTO_VDF_STEPS_MAX);
    return 0;
}

/* --- as it is stored --- */

static int damaged(struct hm_error *error)
{
    return hm_fail(error, HM_ECORRUPT, "the stored chain of delays is damaged");
}

static bool link_is_whole(const Hypermesh__VdfLink *link)
{
    return link->input.len == CRYPTO_VDF_INPUT_BYTES &&
           link->output.len == CRYPTO_VDF_ELEMENT_BYTES &&
           link->proof.len == CRYPTO_VDF_ELEMENT_BYTES;
}

/* HM_ENOTFOUND (error is not set). */
static int chain_stored(struct store_txn *txn, struct hm_arena *arena, Hypermesh__VdfChain **out,
                        struct hm_error *error)
{
    Hypermesh__VdfChain *chain;
    ProtobufCMessage *message;
    int rc = ledger_single_read(txn, LEDGER_KEY_VDF, &hypermesh__vdf_chain__descriptor,
                                "chain of delays", arena, &message, error);

    if (rc)
        return rc;
    chain = (Hypermesh__VdfChain *)message;
    if ((chain->link && !link_is_whole(chain->link)) ||
        (chain->due && chain->due->input.len != CRYPTO_VDF_INPUT_BYTES))
        return damaged(error);
    *out = chain;
    return 0;
}

/* *out NULL: none is due. */
static int due_stored(struct store_txn *txn, struct hm_arena *arena, Hypermesh__VdfLink **out,
                      struct hm_error *error)
{
    Hypermesh__VdfChain *chain;
    int rc = chain_stored(txn, arena, &chain, error);

    *out = NULL;
    if (rc)
        return rc == HM_ENOTFOUND ? 0 : rc;
    *out = chain->due;
    return 0;
}

/* --- a note's link --- */

/* Verified before, or right now: then it is remembered. */
static int link_verify(struct ledger *ledger, const Hypermesh__VdfLink *link,
                       struct hm_error *error)
{
    uint8_t steps[8];
    const struct hm_slice parts[] = {wire_slice(link->input), hm_slice_of(steps, sizeof steps),
                                     wire_slice(link->output), wire_slice(link->proof)};
    uint8_t seen[CRYPTO_HASH_BYTES];
    int rc;

    hm_put_be64(steps, link->steps);
    crypto_hash_parts(SEEN_CONTEXT, parts, HM_COUNT_OF(parts), seen);
    if (ledger_seen_has(&ledger->seen, seen))
        return 0;
    rc = crypto_vdf_verify(link->input.data, link->steps, link->output.data, link->proof.data,
                           error);
    if (rc == 0)
        ledger_seen_add(&ledger->seen, seen);
    return rc;
}

static int link_is_due(const Hypermesh__VdfLink *link, const Hypermesh__VdfLink *due,
                       struct hm_error *error)
{
    if (!due)
        return hm_fail(error, HM_EINVAL,
                       "the note has link %llu of the chain of delays, none is due",
                       (unsigned long long)link->index);
    if (!link_is_whole(link))
        return hm_fail(error, HM_EINVAL,
                       "a link of the chain of delays has %d, %d and %d bytes of input, output and "
                       "proof",
                       CRYPTO_VDF_INPUT_BYTES, CRYPTO_VDF_ELEMENT_BYTES, CRYPTO_VDF_ELEMENT_BYTES);
    if (link->index != due->index || link->steps != due->steps || link->height != due->height ||
        link->time_ms != due->time_ms || link->linked_height != 0 || link->linked_ms != 0 ||
        !hm_slice_equal(wire_slice(link->input), wire_slice(due->input)))
        return hm_fail(error, HM_EINVAL,
                       "the note's link of the chain of delays is not the one that is due, %llu",
                       (unsigned long long)due->index);
    return 0;
}

int ledger_vdf_read(struct ledger *ledger, struct store_txn *txn, const Hypermesh__BlockNote *note,
                    struct hm_arena *arena, struct hm_error *error)
{
    Hypermesh__VdfLink *due;
    int rc;

    if (!note->vdf)
        return 0;
    rc = due_stored(txn, arena, &due, error);
    if (rc == 0)
        rc = link_is_due(note->vdf, due, error);
    return rc ? rc : link_verify(ledger, note->vdf, error);
}

/* --- in a block --- */

static int no_memory(struct hm_error *error)
{
    return hm_fail(error, HM_ENOMEM, "no memory for the chain of delays");
}

/* The note's link becomes the newest. */
static int chain_link(struct ledger_block *block, Hypermesh__VdfChain *chain,
                      const Hypermesh__VdfLink *link, struct hm_error *error)
{
    Hypermesh__VdfLink *kept = hm_arena_alloc(&block->scratch, sizeof *kept);

    if (!kept)
        return no_memory(error);
    *kept = *link;
    kept->linked_height = block->height;
    kept->linked_ms = block->time_ms;
    chain->link = kept;
    chain->due = NULL;
    chain->blocks = 0;
    return 0;
}

/* A block passed without one. */
static int chain_count(struct ledger_block *block, Hypermesh__VdfChain *chain,
                       struct hm_error *error)
{
    const struct hm_slice parts[] = {chain->link ? wire_slice(chain->link->output)
                                                 : (struct hm_slice){0},
                                     hm_slice_of(block->hash, sizeof block->hash)};
    Hypermesh__VdfLink *due;
    uint8_t *input;

    if (chain->due)
        return 0;
    if (++chain->blocks < block->params->vdf_blocks)
        return 0;
    due = hm_arena_alloc(&block->scratch, sizeof *due);
    input = hm_arena_alloc(&block->scratch, CRYPTO_VDF_INPUT_BYTES);
    if (!due || !input)
        return no_memory(error);
    crypto_hash_parts(INPUT_CONTEXT, parts, HM_COUNT_OF(parts), input);
    hypermesh__vdf_link__init(due);
    due->index = chain->link ? chain->link->index + 1 : 1;
    due->steps = block->params->vdf_steps;
    due->input = wire_bytes(input, CRYPTO_VDF_INPUT_BYTES);
    due->height = block->height;
    due->time_ms = block->time_ms;
    chain->due = due;
    return 0;
}

static int chain_put(struct ledger_block *block, const Hypermesh__VdfChain *chain,
                     struct hm_error *error)
{
    const uint8_t key = LEDGER_KEY_VDF;

    hm_buf_clear(&block->pack);
    if (wire_pack(&chain->base, &block->pack))
        return no_memory(error);
    return ledger_overlay_put(&block->overlay, hm_slice_of(&key, 1), hm_buf_slice(&block->pack),
                              error);
}

/* *taken: the note has the link that is due, and it is right. Whoever proposed another is not heard. */
static int link_take(struct ledger_block *block, const Hypermesh__BlockNote *note,
                     const Hypermesh__VdfLink *due, bool *taken, struct hm_error *error)
{
    struct hm_error why = {0};
    int rc;

    *taken = false;
    if (!note || !note->vdf)
        return 0;
    rc = link_is_due(note->vdf, due, &why);
    if (rc == 0)
        rc = link_verify(block->ledger, note->vdf, &why);
    if (hm_error_is_fatal(rc)) {
        if (error)
            *error = why;
        return rc;
    }
    *taken = rc == 0;
    return 0;
}

int ledger_vdf_end_block(struct ledger_block *block, const Hypermesh__BlockNote *note,
                         struct hm_error *error)
{
    Hypermesh__VdfChain fresh = HYPERMESH__VDF_CHAIN__INIT;
    Hypermesh__VdfChain *chain = &fresh;
    bool taken;
    int rc;

    if (!block->engine || block->weight == 0 || block->params->vdf_blocks == 0)
        return 0;
    rc = chain_stored(block->txn, &block->scratch, &chain, error);
    if (rc && rc != HM_ENOTFOUND)
        return rc;
    rc = link_take(block, note, chain->due, &taken, error);
    if (rc == 0)
        rc = taken ? chain_link(block, chain, note->vdf, error) : chain_count(block, chain, error);
    return rc ? rc : chain_put(block, chain, error);
}

/* --- a proposer's --- */

static int link_fill(const Hypermesh__VdfLink *due, struct hm_slice output, struct hm_slice proof,
                     struct hm_arena *arena, Hypermesh__VdfLink **out, struct hm_error *error)
{
    Hypermesh__VdfLink *link = hm_arena_alloc(arena, sizeof *link);

    if (!link)
        return no_memory(error);
    *link = *due;
    link->output = wire_bytes(output.data, output.len);
    link->proof = wire_bytes(proof.data, proof.len);
    *out = link;
    return 0;
}

int ledger_vdf_choose(struct ledger *ledger, uint64_t index, struct hm_slice output,
                      struct hm_slice proof, struct hm_arena *arena, Hypermesh__BlockNote *note,
                      struct hm_error *error)
{
    Hypermesh__VdfLink *link = NULL;
    Hypermesh__VdfLink *due;
    struct store_txn *txn;
    int rc;

    if (output.len != CRYPTO_VDF_ELEMENT_BYTES || proof.len != CRYPTO_VDF_ELEMENT_BYTES)
        return 0;
    rc = store_begin_read(ledger->store, &txn, error);
    if (rc)
        return rc;
    rc = due_stored(txn, arena, &due, error);
    store_abort(txn);
    if (rc || !due || due->index != index)
        return rc;
    rc = link_fill(due, output, proof, arena, &link, error);
    if (rc == 0)
        rc = link_verify(ledger, link, error);
    if (rc == 0)
        note->vdf = link;
    return rc;
}

/* --- views --- */

int ledger_view_vdf_task(struct ledger_view *view, struct ledger_vdf_task *out,
                         struct hm_error *error)
{
    Hypermesh__VdfLink *due;
    struct hm_arena arena;
    int rc;

    hm_arena_init(&arena, LEDGER_STATE_MAX_BYTES);
    rc = due_stored(view->txn, &arena, &due, error);
    if (rc == 0 && !due)
        rc = hm_fail(error, HM_ENOTFOUND, "no link of the chain of delays is due");
    if (rc == 0) {
        *out = (struct ledger_vdf_task){.index = due->index,
                                        .steps = due->steps,
                                        .since_ms = due->time_ms,
                                        .height = due->height};
        memcpy(out->input, due->input.data, sizeof out->input);
    }
    hm_arena_release(&arena);
    return rc;
}

int ledger_view_vdf(struct ledger_view *view, struct hm_arena *arena, Hypermesh__VdfLink **out,
                    struct hm_error *error)
{
    Hypermesh__VdfChain *chain;
    int rc = chain_stored(view->txn, arena, &chain, error);

    if (rc == HM_ENOTFOUND || (rc == 0 && !chain->link))
        return hm_fail(error, HM_ENOTFOUND, "the chain of delays has no link yet");
    if (rc == 0)
        *out = chain->link;
    return rc;
}
