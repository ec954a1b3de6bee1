/* This machine on the ledger: the first scan registers what it has, and a watcher keeps what the ledger says
 * true: new hardware registered, changed updated, gone retired. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "node_notes.h"

#define NODE_SCAN_EVERY_MS 4000
/* What the ledger refuses costs a fee each time: after a refusal the next try waits, twice as long each time, unless
 * the hardware changes. */
#define NODE_RETRY_FIRST_MS UINT64_C(8000)
#define NODE_RETRY_MOST_MS  (UINT64_C(3600) * 1000)
#define NODE_OPS_PER_TX     32

/* Price of one unit of scale for an hour, in HYPER base units; the owner changes it with
 * `nexus asset update`. */
struct node_price {
    Hypermesh__AssetKind kind;
    uint64_t scale; /* units of capacity that the price is for */
    uint64_t price;
};

static const struct node_price node_prices[] = {
    {HYPERMESH__ASSET_KIND__CPU, 1000, 100000000}, /* a core: 0.1 HYPER */
    {HYPERMESH__ASSET_KIND__MEMORY, UINT64_C(1) << 30, 20000000}, /* a GiB: 0.02 */
    {HYPERMESH__ASSET_KIND__STORAGE, UINT64_C(1) << 30, 200000}, /* a GiB: 0.0002 */
    {HYPERMESH__ASSET_KIND__GPU, 1000, 10000000000}, /* a device: 10 */
    {HYPERMESH__ASSET_KIND__CONTAINER, 1, 1000000}, /* a slot: 0.001 */
};

static uint64_t node_price_of(Hypermesh__AssetKind kind, uint64_t capacity)
{
    uint64_t price = 0;

    for (size_t i = 0; i < HM_COUNT_OF(node_prices); i++)
        if (node_prices[i].kind == kind)
            hm_muldiv_up_u64(node_prices[i].price, capacity, node_prices[i].scale, &price);
    return price;
}

/* --- differences between the machine and the ledger -------------------------------------------------------- */

/* What has to be done, in an arena. */
struct node_todo {
    struct hm_arena *arena;
    Hypermesh__Operation *ops[ASSET_MAX_FOUND * 2];
    size_t count;
    const Hypermesh__Asset *retired[ASSET_MAX_FOUND * 2]; /* what some of them retire */
    size_t retired_count;
    bool postponed; /* something waits for a lease to end */
};

static Hypermesh__Operation *node_todo_add(struct node_todo *todo)
{
    Hypermesh__Operation *op;

    if (todo->count == HM_COUNT_OF(todo->ops))
        return NULL;
    op = hm_arena_alloc(todo->arena, sizeof(*op));
    if (op != NULL) {
        hypermesh__operation__init(op);
        todo->ops[todo->count++] = op;
    }
    return op;
}

static int node_attributes(struct hm_arena *arena, const struct asset_found *found,
                           Hypermesh__Attribute ***out)
{
    Hypermesh__Attribute *items = hm_arena_alloc(arena,
                                                 (found->attribute_count + 1) * sizeof(*items));
    Hypermesh__Attribute **list = hm_arena_alloc(arena,
                                                 (found->attribute_count + 1) * sizeof(*list));

    if (items == NULL || list == NULL)
        return HM_ENOMEM;
    for (size_t i = 0; i < found->attribute_count; i++) {
        hypermesh__attribute__init(&items[i]);
        items[i].name = (char *)(uintptr_t)found->attributes[i].name;
        items[i].value = (char *)(uintptr_t)found->attributes[i].value;
        list[i] = &items[i];
    }
    *out = list;
    return 0;
}

static int node_todo_register(struct node_todo *todo, const struct asset_found *found)
{
    Hypermesh__AssetRegister *message = hm_arena_alloc(todo->arena, sizeof(*message));
    Hypermesh__Privacy *privacy = hm_arena_alloc(todo->arena, sizeof(*privacy));
    Hypermesh__Operation *op = node_todo_add(todo);

    if (message == NULL || privacy == NULL || op == NULL)
        return HM_ENOMEM;
    hypermesh__asset_register__init(message);
    hypermesh__privacy__init(privacy);
    privacy->level = HYPERMESH__PRIVACY_LEVEL__FULL_PUBLIC;
    message->kind = found->kind;
    message->hardware_id = (char *)(uintptr_t)found->hardware_id;
    message->capacity = found->capacity;
    message->price_per_hour = node_price_of(found->kind, found->capacity);
    message->privacy = privacy;
    message->n_attributes = found->attribute_count;
    op->op_case = HYPERMESH__OPERATION__OP_ASSET_REGISTER;
    op->asset_register = message;
    return node_attributes(todo->arena, found, &message->attributes);
}

static int node_todo_update(struct node_todo *todo, const struct asset_found *found,
                            const Hypermesh__Asset *asset)
{
    Hypermesh__AssetUpdate *message = hm_arena_alloc(todo->arena, sizeof(*message));
    Hypermesh__Operation *op = node_todo_add(todo);

    if (message == NULL || op == NULL)
        return HM_ENOMEM;
    hypermesh__asset_update__init(message);
    message->asset = asset->id;
    message->capacity = found->capacity;
    message->price_per_hour = asset->price_per_hour; /* the owner's to change */
    message->n_attributes = found->attribute_count;
    op->op_case = HYPERMESH__OPERATION__OP_ASSET_UPDATE;
    op->asset_update = message;
    return node_attributes(todo->arena, found, &message->attributes);
}

static int node_todo_retire(struct node_todo *todo, const Hypermesh__Asset *asset)
{
    Hypermesh__AssetRetire *message = hm_arena_alloc(todo->arena, sizeof(*message));
    Hypermesh__Operation *op = node_todo_add(todo);

    if (message == NULL || op == NULL)
        return HM_ENOMEM;
    hypermesh__asset_retire__init(message);
    message->asset = asset->id;
    op->op_case = HYPERMESH__OPERATION__OP_ASSET_RETIRE;
    op->asset_retire = message;
    todo->retired[todo->retired_count++] = asset;
    return 0;
}

/* While it is leased the ledger would refuse, and charge for it. */
static bool node_todo_postpone(struct node_todo *todo, const Hypermesh__Asset *asset)
{
    if (asset->leases == 0)
        return false;
    todo->postponed = true;
    return true;
}

static bool node_same_facts(const struct asset_found *found, const Hypermesh__Asset *asset)
{
    if (found->capacity != asset->capacity || found->attribute_count != asset->n_attributes)
        return false;
    for (size_t i = 0; i < found->attribute_count; i++)
        if (strcmp(found->attributes[i].name, asset->attributes[i]->name) != 0 ||
            strcmp(found->attributes[i].value, asset->attributes[i]->value) != 0)
            return false;
    return true;
}

static const struct asset_found *node_find(const struct asset_inventory *inventory,
                                           const Hypermesh__Asset *asset)
{
    for (size_t i = 0; i < inventory->count; i++)
        if (inventory->items[i].kind == asset->kind &&
            strcmp(inventory->items[i].hardware_id, asset->hardware_id) == 0)
            return &inventory->items[i];
    return NULL;
}

/* Once it was transferred, the new owner speaks for it. */
static bool node_is_operators(const struct node *node, const Hypermesh__Asset *asset)
{
    return hm_slice_equal(wire_slice(asset->owner), hm_slice_of(node->operator_id, WIRE_ID_BYTES));
}

/* New and changed hardware, of what this node has to offer. What was retired by hand stays retired until somebody
 * registers it again. */
static int node_todo_present(struct node *node, struct ledger_view *view, struct node_todo *todo,
                             const struct asset_inventory *inventory, struct hm_error *error)
{
    for (size_t i = 0; i < inventory->count; i++) {
        const struct asset_found *found = &inventory->items[i];
        uint8_t id[WIRE_ID_BYTES];
        Hypermesh__Asset *asset;
        int rc;

        if (!found->offered || asset_adapter_of(found->kind) == NULL)
            continue;
        proof_asset_id(node->operator_id, found->kind, found->hardware_id, id);
        rc = ledger_view_asset(view, id, todo->arena, &asset, error);
        if (rc == 0 && asset->state == HYPERMESH__ASSET_STATE__RETIRED)
            rc = node_retired_by_node(node, asset) ? HM_ENOTFOUND : 0;
        if (rc == HM_ENOTFOUND)
            rc = node_todo_register(todo, found);
        else if (rc == 0 && asset->state == HYPERMESH__ASSET_STATE__ACTIVE &&
                 node_is_operators(node, asset) && !node_same_facts(found, asset) &&
                 !node_todo_postpone(todo, asset))
            rc = node_todo_update(todo, found, asset);
        if (rc != 0)
            return rc == HM_ENOMEM ? hm_fail(error, rc, "no memory to compare hardware") : rc;
    }
    return 0;
}

static int node_todo_gone(struct node *node, struct ledger_view *view, struct node_todo *todo,
                          const struct asset_inventory *inventory, struct hm_error *error)
{
    const struct ledger_asset_filter filter = {.owner = node->operator_id};
    const uint8_t *after = NULL;
    Hypermesh__Asset **assets;
    size_t count;

    do {
        int rc = ledger_view_assets(view, &filter, after, LEDGER_PAGE_MAX, todo->arena, &assets,
                                    &count, error);
        if (rc != 0)
            return rc;
        for (size_t i = 0; i < count; i++) {
            uint8_t ours[WIRE_ID_BYTES];

            /* What was transferred to this account from elsewhere is not this machine's. */
            proof_asset_id(node->operator_id, assets[i]->kind, assets[i]->hardware_id, ours);
            if (memcmp(ours, assets[i]->id.data, WIRE_ID_BYTES) == 0 &&
                node_find(inventory, assets[i]) == NULL && !node_todo_postpone(todo, assets[i]) &&
                node_todo_retire(todo, assets[i]) != 0)
                return hm_fail(error, HM_ENOMEM, "no memory to compare hardware");
        }
        after = count > 0 ? assets[count - 1]->id.data : NULL;
    } while (count == LEDGER_PAGE_MAX);
    return 0;
}

/* Submits in groups; a group that fails is tried one by one, so that one asset can't hold up the rest. */
static int node_todo_submit(struct node *node, const struct node_todo *todo, struct hm_error *error)
{
    int worst = 0;

    for (size_t from = 0; from < todo->count; from += NODE_OPS_PER_TX) {
        size_t count = todo->count - from < NODE_OPS_PER_TX ? todo->count - from : NODE_OPS_PER_TX;

        if (node_wallet_submit(node, NODE_OPERATOR, todo->ops + from, count, NULL, error) == 0)
            continue;
        for (size_t i = from; i < from + count; i++) {
            int rc = node_wallet_submit(node, NODE_OPERATOR, todo->ops + i, 1, NULL, error);

            if (rc != 0)
                worst = rc;
        }
    }
    return worst;
}

/* Makes the ledger agree with the inventory. *pending: not all of it could be done now. */
static int node_reconcile(struct node *node, const struct asset_inventory *inventory, bool *pending,
                          struct hm_error *error)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct ledger_view *view;

    hm_arena_init(&arena, 0);
    struct node_todo *todo = hm_arena_alloc(&arena, sizeof(*todo));
    if (todo == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to compare hardware");
    todo->arena = &arena;
    int rc = ledger_view_open(node->ledger, &view, error);
    if (rc != 0)
        return rc;
    rc = node_todo_present(node, view, todo, inventory, error);
    if (rc == 0)
        rc = node_todo_gone(node, view, todo, inventory, error);
    ledger_view_close(view);
    if (rc == 0 && todo->retired_count > 0) /* first: they are to come back with their hardware */
        rc = node_retired_note(node, todo->retired, todo->retired_count, error);
    if (rc == 0 && todo->count > 0)
        rc = node_todo_submit(node, todo, error);
    *pending = rc != 0 || todo->postponed;
    return rc;
}

/* --- scanning ----------------------------------------------------------------------------------------------------- */

/* A scanner keeps libraries open and what storage was offered; it serves one scan at a time. */
int node_hardware_scan(struct node *node, struct hm_arena *arena, struct asset_inventory *out,
                       struct hm_error *error)
{
    const struct asset_sources sources = {.storage_dir = node->data_dir,
                                          .scanner = node->hardware.scanner};

    pthread_mutex_lock(&node->hardware.scan_lock);
    int rc = asset_scan(&sources, arena, out, error);
    pthread_mutex_unlock(&node->hardware.scan_lock);
    return rc;
}

/* The new inventory takes the old one's place; changed says whether the ledger should hear of it. */
static int node_hardware_refresh(struct node *node, bool *changed, struct hm_error *error)
{
    struct node_hardware *hardware = &node->hardware;
    struct asset_inventory inventory;
    struct asset_change *changes;
    struct hm_arena arena;
    size_t count = 0;

    hm_arena_init(&arena, 0);
    int rc = node_hardware_scan(node, &arena, &inventory, error);
    if (rc == 0)
        rc = asset_diff(&hardware->inventory, &inventory, &arena, &changes, &count, error);
    if (rc != 0) {
        hm_arena_release(&arena);
        return rc;
    }
    *changed = count > 0;
    pthread_mutex_lock(&hardware->lock);
    hm_arena_release(&hardware->arena);
    hardware->arena = arena;
    hardware->inventory = inventory;
    pthread_mutex_unlock(&hardware->lock);
    return 0;
}

/* When to look at the ledger again after a refusal. */
struct node_retry {
    uint64_t wait_ms; /* 0: nothing was refused */
    uint64_t due_ns;
};

static void node_retry_set(struct node_retry *retry, bool refused, uint64_t now_ns)
{
    if (!refused) {
        retry->wait_ms = 0;
        return;
    }
    retry->wait_ms = retry->wait_ms == 0 ? NODE_RETRY_FIRST_MS : retry->wait_ms * 2;
    if (retry->wait_ms > NODE_RETRY_MOST_MS)
        retry->wait_ms = NODE_RETRY_MOST_MS;
    retry->due_ns = now_ns + retry->wait_ms * 1000000;
}

static void *node_hardware_main(void *arg)
{
    struct node *node = arg;
    struct pollfd quit = {.fd = node->quit_fd, .events = POLLIN};
    struct node_retry retry = {0};
    bool pending = true, failing = false;

    while (poll(&quit, 1, NODE_SCAN_EVERY_MS) == 0) {
        struct hm_error error = {0};
        bool changed = false;
        int rc = node_hardware_refresh(node, &changed, &error);
        uint64_t now_ns = hm_mono_ns(node->options.clock);

        if (rc == 0 && !changed && retry.wait_ms > 0 && now_ns < retry.due_ns)
            continue;
        if (rc == 0) /* this node's batches must not run out of a session key */
            rc = node_wallet_ready(node, &error);
        if (rc == 0 && (changed || pending))
            rc = node_reconcile(node, &node->hardware.inventory, &pending, &error);
        node_retry_set(&retry, rc != 0, now_ns);
        if (rc != 0 && !failing)
            hm_log(HM_LOG_WARN, "node", "hardware on the ledger is behind: %s", error.text);
        failing = rc != 0;
    }
    return NULL;
}

int node_hardware_start(struct node *node, struct hm_error *error)
{
    bool changed, pending;
    int rc = node->hardware.scanner != NULL ? 0 /* a second try */
                                            : asset_scanner_new(&node->hardware.scanner, error);

    if (rc == 0)
        rc = node_hardware_refresh(node, &changed, error);
    if (rc == 0)
        rc = node_reconcile(node, &node->hardware.inventory, &pending, error);
    if (rc != 0)
        return rc;
    if (pthread_create(&node->hardware.watcher, NULL, node_hardware_main, node) != 0)
        return hm_fail(error, HM_ENOMEM, "no thread to watch the hardware");
    node->hardware.watching = true;
    return 0;
}

void node_hardware_watch_end(struct node *node)
{
    if (node->hardware.watching)
        pthread_join(node->hardware.watcher, NULL);
    node->hardware.watching = false;
}

void node_hardware_close(struct node *node)
{
    hm_arena_release(&node->hardware.arena);
    asset_scanner_free(node->hardware.scanner);
    node->hardware.scanner = NULL;
}
