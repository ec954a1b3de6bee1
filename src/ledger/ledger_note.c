/* Notes: what a cluster's proposer says in front of its block, and requests for a block. */
#include "ledger_facts.h"

/* As the first byte of a protobuf message it would be part of a tag that no message here has. */
#define NOTE_BYTE        0xf1
#define NOTE_TIME_MAX_MS (UINT64_MAX / 4) /* as of blocks */

bool ledger_item_is_note(struct hm_slice item)
{
    return item.len > 0 && item.data[0] == NOTE_BYTE;
}

int ledger_note_read(struct hm_slice item, struct hm_arena *arena, Hypermesh__BlockNote **out,
                     struct hm_error *error)
{
    Hypermesh__BlockNote *note;
    int rc;

    if (!ledger_item_is_note(item))
        return hm_fail(error, HM_EINVAL, "the item is not a note");
    rc = WIRE_UNPACK(hypermesh__block_note, hm_slice_of(item.data + 1, item.len - 1),
                     LEDGER_NOTE_MAX_BYTES - 1, arena, &note, error);
    if (rc == HM_EPARSE)
        rc = HM_EINVAL;
    if (rc)
        return hm_error_prefix(error, rc, "note");
    if (note->nonce.len > LEDGER_NOTE_NONCE_BYTES)
        return hm_fail(error, HM_EINVAL, "the note's nonce has %zu bytes, at most %d are allowed",
                       note->nonce.len, LEDGER_NOTE_NONCE_BYTES);
    if (note->time_ms > NOTE_TIME_MAX_MS)
        return hm_fail(error, HM_EINVAL, "the note's time is out of range");
    *out = note;
    return 0;
}

int ledger_note_pack(const Hypermesh__BlockNote *note, struct hm_buf *out, struct hm_error *error)
{
    const uint8_t first = NOTE_BYTE;
    size_t before = out->len;
    int rc = hm_buf_append(out, &first, 1);

    if (rc == 0)
        rc = wire_pack(&note->base, out);
    if (rc == 0 && out->len - before <= LEDGER_NOTE_MAX_BYTES)
        return 0;
    if (rc == 0)
        rc = hm_fail(error, HM_ELIMIT, "a note has at most %zu bytes, this has %zu",
                     LEDGER_NOTE_MAX_BYTES, out->len - before);
    else
        rc = hm_fail(error, HM_ENOMEM, "no memory for a note");
    out->len = before;
    return rc;
}

int ledger_note_request(const uint8_t nonce[LEDGER_NOTE_NONCE_BYTES], struct hm_buf *out,
                        struct hm_error *error)
{
    Hypermesh__BlockNote note = HYPERMESH__BLOCK_NOTE__INIT;

    note.nonce = wire_bytes(nonce, LEDGER_NOTE_NONCE_BYTES);
    return ledger_note_pack(&note, out, error);
}

/* The note's time; 0: none. */
static int note_time(struct hm_slice item, uint64_t *time_ms, struct hm_error *error)
{
    Hypermesh__BlockNote *note;
    struct hm_arena arena;
    int rc;

    *time_ms = 0;
    if (!ledger_item_is_note(item))
        return 0;
    hm_arena_init(&arena, LEDGER_STATE_MAX_BYTES);
    rc = ledger_note_read(item, &arena, &note, error);
    if (rc == 0)
        *time_ms = note->time_ms;
    hm_arena_release(&arena);
    return rc == HM_ELIMIT ? HM_EINVAL : rc;
}

static uint64_t after(uint64_t ms)
{
    return ms < UINT64_MAX ? ms + 1 : ms;
}

int ledger_note_time(struct hm_slice item, uint64_t bft_ms, uint64_t last_ms, uint64_t *time_ms,
                     struct hm_error *error)
{
    uint64_t said;
    int rc = note_time(item, &said, error);

    if (rc)
        return rc;
    if (said == 0)
        said = bft_ms;
    *time_ms = said > last_ms ? said : after(last_ms);
    return 0;
}

int ledger_note_check(struct hm_slice item, uint64_t bft_ms, uint64_t last_ms, uint64_t now_ms,
                      struct hm_error *error)
{
    uint64_t from = bft_ms > last_ms ? bft_ms : after(last_ms);
    uint64_t until = bft_ms > now_ms ? bft_ms : now_ms;
    uint64_t said;
    int rc = note_time(item, &said, error);

    if (rc || !ledger_item_is_note(item))
        return rc;
    if (said == 0)
        return hm_fail(error, HM_EINVAL, "the block's note has no time: it is a request for one");
    if (said < from)
        return hm_fail(error, HM_EINVAL,
                       "the note's time is %llu ms before the earliest that may follow",
                       (unsigned long long)(from - said));
    if (!hm_add_u64(until, LEDGER_NOTE_AHEAD_MS, &until))
        until = UINT64_MAX;
    if (said > until && said > from)
        return hm_fail(error, HM_EINVAL,
                       "the note's time is %llu ms past what this node's clock and the engine's "
                       "time allow",
                       (unsigned long long)(said - until));
    return 0;
}
