/* Views: what happened in a block, made from the block and its record. Events stand in this order: what the
 * block's time ended (leases, then challenges), the operations in their order, then changed keys, which are
 * last because a compaction takes them away. */
#include "ledger_kv.h"
#include "ledger_view.h"

struct event_walk {
    struct ledger_view *view;
    uint64_t height;
    Hypermesh__BlockRecord *record;
    Hypermesh__Block *block;
    struct hm_arena *arena; /* of the request: what is kept lies there */
    struct hm_arena scratch; /* what is only counted */
    struct hm_arena block_arena; /* the block, while it is walked */
    struct hm_arena batch_arena;
    Hypermesh__Batch *batch; /* the last one looked into, */
    uint32_t batch_item; /* and its number */
    uint32_t from; /* first event that is wanted */
    size_t limit;
    struct ledger_event *out;
    size_t count; /* kept */
    uint32_t total; /* seen */
};

static int no_memory(struct hm_error *error)
{
    return hm_fail(error, HM_ENOMEM, "no memory for a block's events");
}

static int damaged(struct hm_error *error)
{
    return hm_fail(error, HM_ECORRUPT, "a block and its record do not fit together");
}

/* Is the next event, or one of the next `more`, to be kept? */
static bool wanted(const struct event_walk *walk, size_t more)
{
    return walk->count < walk->limit && walk->total + more > walk->from;
}

/* Room for the next event, or NULL when it is only counted. */
static struct ledger_event *event_next(struct event_walk *walk)
{
    struct ledger_event *event = NULL;

    if (wanted(walk, 1)) {
        event = &walk->out[walk->count++];
        *event = (struct ledger_event){
            .height = walk->height, .index = walk->total, .time_ms = walk->record->time_ms};
    }
    walk->total++;
    return event;
}

static const uint8_t *id_of(ProtobufCBinaryData id)
{
    return id.len == LEDGER_ID_BYTES ? id.data : NULL;
}

/* What the operation is about. created: the id of what it made, or NULL. */
static void event_subject(struct ledger_event *event, const Hypermesh__Operation *op,
                          const uint8_t *created)
{
    switch (op->op_case) {
    case HYPERMESH__OPERATION__OP_ASSET_REGISTER:
        event->asset = created;
        break;
    case HYPERMESH__OPERATION__OP_ASSET_UPDATE:
        event->asset = id_of(op->asset_update->asset);
        break;
    case HYPERMESH__OPERATION__OP_ASSET_TRANSFER:
        event->asset = id_of(op->asset_transfer->asset);
        break;
    case HYPERMESH__OPERATION__OP_ASSET_RETIRE:
        event->asset = id_of(op->asset_retire->asset);
        break;
    case HYPERMESH__OPERATION__OP_PRIVACY_SET:
        event->asset = id_of(op->privacy_set->asset);
        break;
    case HYPERMESH__OPERATION__OP_ALLOCATE:
        event->lease = created;
        if (op->allocate->n_items > 0)
            event->asset = id_of(op->allocate->items[0]->asset);
        break;
    case HYPERMESH__OPERATION__OP_RENEW:
        event->lease = id_of(op->renew->lease);
        break;
    case HYPERMESH__OPERATION__OP_RELEASE:
        event->lease = id_of(op->release->lease);
        break;
    case HYPERMESH__OPERATION__OP_SETTLE:
        event->lease = id_of(op->settle->lease);
        break;
    case HYPERMESH__OPERATION__OP_NETWORK_CREATE:
        event->network = created;
        break;
    case HYPERMESH__OPERATION__OP_NETWORK_JOIN:
        event->network = id_of(op->network_join->network);
        break;
    case HYPERMESH__OPERATION__OP_NETWORK_LEAVE:
        event->network = id_of(op->network_leave->network);
        break;
    case HYPERMESH__OPERATION__OP_NETWORK_INVITE:
        event->network = id_of(op->network_invite->network);
        break;
    case HYPERMESH__OPERATION__OP_NETWORK_EXPEL:
        event->network = id_of(op->network_expel->network);
        break;
    case HYPERMESH__OPERATION__OP_NETWORK_DISSOLVE:
        event->network = id_of(op->network_dissolve->network);
        break;
    case HYPERMESH__OPERATION__OP_CHALLENGE_OPEN:
        event->challenge = created;
        event->lease = id_of(op->challenge_open->lease);
        break;
    case HYPERMESH__OPERATION__OP_CHALLENGE_ANSWER:
        event->challenge = id_of(op->challenge_answer->challenge);
        break;
    default:
        break;
    }
}

/* Does the operation add an id to TxResult.created? */
static bool op_creates(unsigned number)
{
    return number == HYPERMESH__OPERATION__OP_ASSET_REGISTER ||
           number == HYPERMESH__OPERATION__OP_ALLOCATE ||
           number == HYPERMESH__OPERATION__OP_NETWORK_CREATE ||
           number == HYPERMESH__OPERATION__OP_CHALLENGE_OPEN;
}

/* --- what the block's time did --- */

static void ended_walk(struct event_walk *walk)
{
    const Hypermesh__BlockRecord *record = walk->record;

    for (size_t i = 0; i < record->n_expired; i++) {
        struct ledger_event *event = event_next(walk);

        if (event) {
            event->type = "lease_expired";
            event->lease = id_of(record->expired[i]);
        }
    }
    for (size_t i = 0; i < record->n_silent; i++) {
        struct ledger_event *event = event_next(walk);

        if (event) {
            event->type = "challenge_silent";
            event->challenge = id_of(record->silent[i]);
        }
    }
}

/* What the engine said of validators. */
static void named_walk(struct event_walk *walk, const char *type, const ProtobufCBinaryData *list,
                       size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct ledger_event *event = event_next(walk);

        if (event) {
            event->type = type;
            event->account = id_of(list[i]);
        }
    }
}

/* --- operations --- */

static int batch_find(struct event_walk *walk, uint32_t item, struct hm_error *error)
{
    ProtobufCMessage *message;
    int rc;

    if (walk->batch && walk->batch_item == item)
        return 0;
    if (item >= walk->block->n_items)
        return damaged(error);
    hm_arena_clear(&walk->batch_arena);
    walk->batch = NULL;
    rc = ledger_view_unpack(&hypermesh__batch__descriptor, wire_slice(walk->block->items[item]),
                            LEDGER_BATCH_MAX_BYTES, &walk->batch_arena, &message, error);
    if (rc)
        return rc;
    walk->batch = (Hypermesh__Batch *)message;
    walk->batch_item = item;
    return 0;
}

/* The body of the transaction that a result is of, packed, in scratch. */
static int body_find(struct event_walk *walk, const Hypermesh__TxResult *result,
                     struct hm_slice *out, struct hm_error *error)
{
    struct hm_arena *arena = &walk->scratch;
    Hypermesh__TxLocation *location;
    ProtobufCMessage *message;
    struct hm_slice bytes;
    int rc = ledger_view_get(walk->view, LEDGER_TABLE_TX, wire_slice(result->digest), &bytes,
                             error);

    if (rc)
        return rc == HM_ENOTFOUND ? damaged(error) : rc;
    rc = ledger_view_unpack(&hypermesh__tx_location__descriptor, bytes, LEDGER_STATE_MAX_BYTES,
                            arena, &message, error);
    if (rc)
        return rc;
    location = (Hypermesh__TxLocation *)message;
    if (location->height != walk->height)
        return damaged(error);
    rc = batch_find(walk, location->item, error);
    if (rc)
        return rc;
    if (location->tx >= walk->batch->n_txs)
        return damaged(error);
    rc = ledger_view_unpack(&hypermesh__tx__descriptor, wire_slice(walk->batch->txs[location->tx]),
                            LEDGER_BATCH_MAX_BYTES, arena, &message, error);
    if (rc == 0)
        *out = wire_slice(((Hypermesh__Tx *)message)->body);
    return rc;
}

static int body_unpack(struct hm_slice bytes, struct hm_arena *arena, Hypermesh__TxBody **out,
                       struct hm_error *error)
{
    ProtobufCMessage *message;
    int rc = ledger_view_unpack(&hypermesh__tx_body__descriptor, bytes, LEDGER_BATCH_MAX_BYTES,
                                arena, &message, error);

    if (rc == 0)
        *out = (Hypermesh__TxBody *)message;
    return rc;
}

static int result_walk(struct event_walk *walk, const Hypermesh__TxResult *result,
                       struct hm_error *error)
{
    Hypermesh__TxBody *body;
    struct hm_slice bytes;
    size_t created = 0;
    int rc;

    /* First counted, in scratch; read for good only when there is something to keep. */
    hm_arena_clear(&walk->scratch);
    rc = body_find(walk, result, &bytes, error);
    if (rc == 0)
        rc = body_unpack(bytes, &walk->scratch, &body, error);
    if (rc == 0 && wanted(walk, body->n_ops))
        rc = body_unpack(bytes, walk->arena, &body, error);
    if (rc)
        return rc;
    for (size_t i = 0; i < body->n_ops; i++) {
        unsigned number = body->ops[i]->op_case;
        const uint8_t *id = NULL;
        struct ledger_event *event = event_next(walk);

        if (op_creates(number) && created < result->n_created)
            id = id_of(result->created[created++]);
        if (!event)
            continue;
        event->type = ledger_op_name(number);
        event->tx = id_of(result->digest);
        event->account = id_of(body->account);
        event->op = body->ops[i];
        event_subject(event, body->ops[i], id);
    }
    return 0;
}

/* --- changed keys --- */

static int kv_keep(struct event_walk *walk, struct hm_slice value, struct hm_error *error)
{
    struct ledger_event *event = event_next(walk);
    ProtobufCMessage *message;
    int rc;

    if (!event)
        return 0;
    rc = ledger_view_unpack(&hypermesh__kv_event__descriptor, value, STORE_VALUE_MAX_BYTES,
                            walk->arena, &message, error);
    if (rc)
        return rc;
    event->type = "kv";
    event->kv = (Hypermesh__KvEvent *)message;
    return 0;
}

static int kv_walk(struct event_walk *walk, struct hm_error *error)
{
    const Hypermesh__BlockRecord *record = walk->record;
    uint64_t first = record->kv_before + 1;
    struct ledger_kv_totals totals;
    uint8_t start[8];
    struct store_cursor *cursor;
    struct hm_slice key;
    struct hm_slice value;
    int rc;

    if (record->kv_after <= record->kv_before)
        return 0;
    /* What is compacted is gone at once, however much of it is swept; of a block that a compaction cuts through all
     * is, because what is left would have other numbers than before. */
    rc = ledger_kv_totals_read(walk->view->txn, &totals, error);
    if (rc || first < totals.compacted)
        return rc;
    rc = store_cursor_open(walk->view->txn, LEDGER_TABLE_KV_LOG, &cursor, error);
    if (rc)
        return rc;
    hm_put_be64(start, first);
    rc = store_cursor_seek(cursor, hm_slice_of(start, sizeof start), &key, &value);
    while (rc == 0 && key.len >= sizeof start && hm_get_be64(key.data) <= record->kv_after) {
        rc = kv_keep(walk, value, error);
        if (rc == 0)
            rc = store_cursor_next(cursor, &key, &value);
    }
    store_cursor_close(cursor);
    return rc == HM_ENOTFOUND ? 0 : rc;
}

static int events_walk(struct event_walk *walk, struct hm_error *error)
{
    struct hm_slice bytes;
    ProtobufCMessage *message;
    int rc = ledger_view_block(walk->view, walk->height, walk->arena, &bytes, &walk->record, error);

    if (rc == 0)
        rc = ledger_view_unpack(&hypermesh__block__descriptor, bytes, STORE_VALUE_MAX_BYTES,
                                &walk->block_arena, &message, error);
    if (rc)
        return rc;
    walk->block = (Hypermesh__Block *)message;
    ended_walk(walk);
    for (size_t i = 0; rc == 0 && i < walk->record->n_results; i++) {
        if (walk->record->results[i]->code == 0)
            rc = result_walk(walk, walk->record->results[i], error);
    }
    if (rc)
        return rc;
    named_walk(walk, "validator_jailed", walk->record->jailed, walk->record->n_jailed);
    named_walk(walk, "validator_tombstoned", walk->record->tombstoned, walk->record->n_tombstoned);
    return kv_walk(walk, error);
}

int ledger_view_events(struct ledger_view *view, uint64_t height, uint32_t index, size_t limit,
                       struct hm_arena *arena, struct ledger_event **out, size_t *count,
                       uint32_t *total, struct hm_error *error)
{
    struct event_walk walk = {
        .view = view, .height = height, .arena = arena, .from = index, .limit = limit};
    int rc;

    if (limit == 0 || limit > LEDGER_EVENTS_MAX)
        return hm_fail(error, HM_ELIMIT, "a page has 1 to %d events, not %zu", LEDGER_EVENTS_MAX,
                       limit);
    walk.out = hm_arena_alloc(arena, limit * sizeof *walk.out);
    if (!walk.out)
        return no_memory(error);
    hm_arena_init(&walk.scratch, LEDGER_TX_ARENA_BYTES);
    hm_arena_init(&walk.block_arena, LEDGER_TX_ARENA_BYTES);
    hm_arena_init(&walk.batch_arena, LEDGER_TX_ARENA_BYTES);
    rc = events_walk(&walk, error);
    hm_arena_release(&walk.scratch);
    hm_arena_release(&walk.block_arena);
    hm_arena_release(&walk.batch_arena);
    if (rc)
        return rc;
    *out = walk.out;
    *count = walk.count;
    *total = walk.total;
    return 0;
}
