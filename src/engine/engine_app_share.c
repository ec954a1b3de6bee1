/* Who waits, and who is next. */
#include "engine_app_share.h"

#include <pthread.h>

#include "crypto.h"

#define SHARE_NODES_MAX 256 /* told apart in a proposal; the rest share the last place */
#define SHARE_BUCKETS   1024 /* a power of two */
#define SHARE_NS_PER_MS UINT64_C(1000000)

/* --- whose it is --------------------------------------------------------------------------------------------- */

static bool share_number(struct hm_slice *rest, uint64_t *out)
{
    unsigned shift = 0;
    uint8_t byte;

    *out = 0;
    do {
        if (rest->len == 0 || shift > 63)
            return false;
        byte = *rest->data++;
        rest->len--;
        *out |= (uint64_t)(byte & 0x7F) << shift;
        shift += 7;
    } while (byte & 0x80);
    return true;
}

/* One field of a message, as protobuf writes it: every form that wire_unpack reads. False: malformed, or the end. */
static bool share_field(struct hm_slice *rest, uint64_t *tag, struct hm_slice *bytes)
{
    enum { VARINT, FIXED64, BYTES, FIXED32 = 5 };
    uint64_t len = 0, number;

    if (!share_number(rest, tag))
        return false;
    switch (*tag & 7) {
    case VARINT:
        if (!share_number(rest, &number))
            return false;
        break;
    case FIXED64:
        len = 8;
        break;
    case BYTES:
        if (!share_number(rest, &len))
            return false;
        break;
    case FIXED32:
        len = 4;
        break;
    default:
        return false;
    }
    if (len > rest->len)
        return false;
    *bytes = hm_slice_of(rest->data, (size_t)len);
    rest->data += len;
    rest->len -= (size_t)len;
    return true;
}

/* The first field with this number and bytes in it. */
static bool share_find(struct hm_slice message, uint64_t number, struct hm_slice *out)
{
    uint64_t tag;

    while (share_field(&message, &tag, out))
        if (tag == (number << 3 | 2))
            return true;
    return false;
}

/* Batch.head = 1. It is first in all that CheckTx takes (ledger_check_item), so nothing before it is skipped over. */
static bool share_head(struct hm_slice item, struct hm_slice *head)
{
    return item.len > 0 && item.data[0] == (1 << 3 | 2) && share_find(item, 1, head);
}

/* By which a batch is known, in whatever form it waits. False: nothing that CheckTx takes. */
static bool share_key(struct hm_slice item, uint8_t key[CRYPTO_HASH_BYTES])
{
    struct hm_slice head;

    if (!share_head(item, &head))
        return false;
    crypto_hash(head.data, head.len, key);
    return true;
}

/* Batch.txs = 3, of the first one Tx.body = 1, TxBody.account = 2. */
static bool share_account(struct hm_slice item, struct hm_slice *account)
{
    struct hm_slice tx, body;

    return share_find(item, 3, &tx) && share_find(tx, 1, &body) && share_find(body, 2, account) &&
           account->len == WIRE_ID_BYTES;
}

/* BatchHead.node = 2. Where the batch has no signature (Batch.signature = 2) the head names whom anybody likes: then it counts for the account
 * whose root key signed what is in it. */
const uint8_t *engine_share_node(struct hm_slice item)
{
    struct hm_slice head, node, signature;

    if (share_head(item, &head) && (!share_find(item, 2, &signature) || signature.len == 0) &&
        share_account(item, &node))
        return node.data;
    if (!share_head(item, &head) || !share_find(head, 2, &node) || node.len != WIRE_ID_BYTES)
        return NULL;
    return node.data;
}

/* --- what waits ---------------------------------------------------------------------------------------------- */

struct share_item {
    struct share_item *next;
    uint8_t key[CRYPTO_HASH_BYTES]; /* of the head */
    uint8_t whole[CRYPTO_HASH_BYTES]; /* of the item: one head waits in one form */
    uint8_t node[WIRE_ID_BYTES];
    size_t bytes;
    uint64_t since_ns; /* when it was last heard of */
    bool ready; /* the next block would take it as it is, as far as is known */
    unsigned idle; /* blocks since one that it could have been in */
};

struct engine_share {
    const struct hm_clock *clock;
    pthread_mutex_t lock; /* guards everything below */
    struct share_item *buckets[SHARE_BUCKETS]; /* by key */
    size_t count;
};

int engine_share_new(const struct hm_clock *clock, struct engine_share **out,
                     struct hm_error *error)
{
    struct engine_share *share = hm_calloc(1, sizeof(*share));

    if (share == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the engine's shares");
    share->clock = clock;
    pthread_mutex_init(&share->lock, NULL);
    *out = share;
    return 0;
}

void engine_share_free(struct engine_share *share)
{
    if (share == NULL)
        return;
    engine_share_clear(share);
    pthread_mutex_destroy(&share->lock);
    hm_free(share);
}

static struct share_item **share_at(struct engine_share *share,
                                    const uint8_t key[CRYPTO_HASH_BYTES])
{
    struct share_item **at = &share->buckets[hm_get_be32(key) & (SHARE_BUCKETS - 1)];

    while (*at != NULL && memcmp((*at)->key, key, CRYPTO_HASH_BYTES) != 0)
        at = &(*at)->next;
    return at;
}

static void share_drop(struct engine_share *share, struct share_item **at)
{
    struct share_item *item = *at;

    *at = item->next;
    share->count--;
    hm_free(item);
}

/* Does the node have room for so many bytes more? What is too old is forgotten on the way. */
static bool share_has_room(struct engine_share *share, const uint8_t node[WIRE_ID_BYTES],
                           size_t more)
{
    uint64_t now_ns = hm_mono_ns(share->clock);
    size_t count = 0, bytes = 0;

    for (size_t i = 0; i < SHARE_BUCKETS; i++)
        for (struct share_item **at = &share->buckets[i]; *at != NULL;) {
            if (now_ns - (*at)->since_ns > ENGINE_SHARE_FORGET_MS * SHARE_NS_PER_MS) {
                share_drop(share, at);
                continue;
            }
            if (memcmp((*at)->node, node, WIRE_ID_BYTES) == 0) {
                count++;
                bytes += (*at)->bytes;
            }
            at = &(*at)->next;
        }
    return count == 0 || (count < ENGINE_SHARE_BATCHES && more <= ENGINE_SHARE_BYTES &&
                          bytes <= ENGINE_SHARE_BYTES - more);
}

static int share_refuse(const uint8_t node[WIRE_ID_BYTES], struct hm_error *error)
{
    char text[WIRE_ID_TEXT_MAX];

    wire_account_text(node, text);
    return hm_fail(error, HM_EBUSY, "node %s has as many batches waiting as is its share", text);
}

/* Where one with the same head is known. What else is in it anybody could have written. */
static int share_known(const struct share_item *known, const uint8_t whole[CRYPTO_HASH_BYTES],
                       struct hm_error *error)
{
    char text[WIRE_ID_TEXT_MAX];

    if (memcmp(known->whole, whole, CRYPTO_HASH_BYTES) == 0)
        return 0;
    wire_account_text(known->node, text);
    return hm_fail(error, HM_EBUSY, "this batch of node %s waits in another form", text);
}

/* Without memory it is let in, and not counted. */
static void share_keep(struct engine_share *share, const uint8_t key[CRYPTO_HASH_BYTES],
                       const uint8_t whole[CRYPTO_HASH_BYTES], const uint8_t node[WIRE_ID_BYTES],
                       size_t bytes)
{
    struct share_item **at = share_at(share, key);
    struct share_item *kept = share->count < ENGINE_SHARE_ITEMS_MAX ? hm_malloc(sizeof(*kept))
                                                                    : NULL;

    if (kept == NULL)
        return;
    *kept = (struct share_item){.bytes = bytes, .since_ns = hm_mono_ns(share->clock)};
    memcpy(kept->key, key, sizeof(kept->key));
    memcpy(kept->whole, whole, sizeof(kept->whole));
    memcpy(kept->node, node, sizeof(kept->node));
    kept->next = *at;
    *at = kept;
    share->count++;
}

int engine_share_enter(struct engine_share *share, struct hm_slice item, struct hm_error *error)
{
    const uint8_t *node = engine_share_node(item);
    uint8_t key[CRYPTO_HASH_BYTES], whole[CRYPTO_HASH_BYTES];
    int rc = 0;

    if (node == NULL || !share_key(item, key))
        return 0;
    crypto_hash(item.data, item.len, whole);
    pthread_mutex_lock(&share->lock);
    const struct share_item *known = *share_at(share, key);
    if (known != NULL)
        rc = share_known(known, whole, error);
    else if (!share_has_room(share, node, item.len))
        rc = share_refuse(node, error);
    else
        share_keep(share, key, whole, node, item.len);
    pthread_mutex_unlock(&share->lock);
    return rc;
}

int engine_share_waits(struct engine_share *share, struct hm_slice item, bool next,
                       struct hm_error *error)
{
    const uint8_t *node = engine_share_node(item);
    uint8_t key[CRYPTO_HASH_BYTES], whole[CRYPTO_HASH_BYTES];
    bool idle = false;

    if (node == NULL || !share_key(item, key))
        return 0;
    pthread_mutex_lock(&share->lock);
    if (*share_at(share, key) == NULL) {
        crypto_hash(item.data, item.len, whole);
        share_keep(share, key, whole, node, item.len);
    }
    struct share_item *known = *share_at(share, key);
    if (known != NULL) {
        known->since_ns = hm_mono_ns(share->clock);
        known->ready = next;
        known->idle = next ? 0 : known->idle + 1;
        idle = known->idle > ENGINE_SHARE_IDLE_BLOCKS;
    }
    pthread_mutex_unlock(&share->lock);
    if (!idle)
        return 0;
    return hm_fail(error, HM_EPROOF_TIME,
                   "time: nothing in the batch has followed its account's last act for %d blocks",
                   ENGINE_SHARE_IDLE_BLOCKS);
}

void engine_share_leave(struct engine_share *share, struct hm_slice item)
{
    uint8_t key[CRYPTO_HASH_BYTES];

    if (!share_key(item, key))
        return;
    pthread_mutex_lock(&share->lock);
    struct share_item **at = share_at(share, key);
    if (*at != NULL)
        share_drop(share, at);
    pthread_mutex_unlock(&share->lock);
}

void engine_share_clear(struct engine_share *share)
{
    pthread_mutex_lock(&share->lock);
    for (size_t i = 0; i < SHARE_BUCKETS; i++)
        while (share->buckets[i] != NULL)
            share_drop(share, &share->buckets[i]);
    pthread_mutex_unlock(&share->lock);
}

/* --- who is next --------------------------------------------------------------------------------------------- */

struct share_queue { /* of a node, in a proposal */
    const uint8_t *node; /* NULL: those of whom nothing can be told */
    size_t first, last; /* items, chained by `next` */
    size_t bytes; /* taken so far */
};
#define SHARE_NONE SIZE_MAX

struct share_order {
    struct share_queue queues[SHARE_NODES_MAX];
    size_t queue_count;
    size_t *next;
};

static struct share_queue *share_queue_of(struct share_order *order, const uint8_t *node)
{
    for (size_t i = 0; i < order->queue_count; i++) {
        const uint8_t *known = order->queues[i].node;

        if (known == node ||
            (known != NULL && node != NULL && memcmp(known, node, WIRE_ID_BYTES) == 0))
            return &order->queues[i];
    }
    if (order->queue_count == SHARE_NODES_MAX)
        return &order->queues[SHARE_NODES_MAX - 1];
    struct share_queue *queue = &order->queues[order->queue_count++];
    *queue = (struct share_queue){.node = node, .first = SHARE_NONE};
    return queue;
}

/* Those of which `next` says the same. */
static void share_queue_all(struct share_order *order, const struct hm_slice *items, size_t count,
                            const bool *is_next, bool next)
{
    for (size_t i = 0; i < count; i++) {
        if (is_next[i] != next)
            continue;
        struct share_queue *queue = share_queue_of(order, engine_share_node(items[i]));

        order->next[i] = SHARE_NONE;
        if (queue->first == SHARE_NONE)
            queue->first = i;
        else
            order->next[queue->last] = i;
        queue->last = i;
    }
}

/* Whose is next: of those with the fewest bytes, whose came first. */
static struct share_queue *share_queue_next(struct share_order *order)
{
    struct share_queue *found = NULL;

    for (size_t i = 0; i < order->queue_count; i++) {
        struct share_queue *queue = &order->queues[i];

        if (queue->first != SHARE_NONE &&
            (found == NULL || queue->bytes < found->bytes ||
             (queue->bytes == found->bytes && queue->first < found->first)))
            found = queue;
    }
    return found;
}

static void share_find_next(struct engine_share *share, const struct hm_slice *items, size_t count,
                            bool *is_next)
{
    uint8_t key[CRYPTO_HASH_BYTES];

    pthread_mutex_lock(&share->lock);
    for (size_t i = 0; i < count; i++) {
        const struct share_item *known = share_key(items[i], key) ? *share_at(share, key) : NULL;

        is_next[i] = known != NULL && known->ready;
    }
    pthread_mutex_unlock(&share->lock);
}

int engine_share_order(struct engine_share *share, struct hm_slice *items, size_t count,
                       struct hm_arena *arena, struct hm_error *error)
{
    struct share_order *order = hm_arena_alloc(arena, sizeof(*order));
    struct hm_slice *sorted = hm_arena_alloc(arena, (count + 1) * sizeof(*sorted));
    size_t *next = hm_arena_alloc(arena, (count + 1) * sizeof(*next));
    bool *is_next = hm_arena_alloc(arena, count + 1);
    struct share_queue *queue;
    size_t taken = 0;

    if (order == NULL || sorted == NULL || next == NULL || is_next == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a proposal");
    *order = (struct share_order){.next = next};
    share_find_next(share, items, count, is_next);
    for (int last = 0; last < 2; last++) {
        share_queue_all(order, items, count, is_next, last == 0);
        while ((queue = share_queue_next(order)) != NULL) {
            sorted[taken] = items[queue->first];
            queue->bytes += sorted[taken++].len;
            queue->first = next[queue->first];
        }
    }
    if (count > 0)
        memcpy(items, sorted, count * sizeof(*items));
    return 0;
}
