/* The door to newcomers (join.h), and what it needs of this node: the ledger, the user's money, the engine. */
#include <dirent.h>

#include "node_private.h"

#define DOOR_SNAPSHOTS "snapshots"

static int door_ready(void *ctx, struct hm_error *error)
{
    return node_need_ready(ctx, error);
}

static bool door_quitting(void *ctx)
{
    return node_quitting(ctx);
}

static uint64_t door_snapshot(void *ctx)
{
    struct node *node = ctx;
    char path[NODE_PATH_MAX_BYTES];
    struct ledger_info info;
    const struct dirent *entry;
    uint64_t newest = 0, height;

    if (node_path(node, DOOR_SNAPSHOTS, path, NULL) != 0 ||
        ledger_info(node->ledger, &info, NULL) != 0)
        return 0;
    DIR *folder = opendir(path);
    while (folder != NULL && (entry = readdir(folder)) != NULL)
        if (hm_u64_parse(entry->d_name, &height, NULL) == 0 && height > newest &&
            height <= info.height && info.height - height >= JOIN_SNAPSHOT_LATER)
            newest = height;
    if (folder != NULL)
        closedir(folder);
    return newest;
}

static int door_pay(void *ctx, const uint8_t account[WIRE_ID_BYTES], uint64_t amount,
                    struct hm_error *error)
{
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    Hypermesh__Operation *const ops[] = {&op};
    Hypermesh__Transfer transfer = HYPERMESH__TRANSFER__INIT;

    transfer.to = wire_bytes(account, WIRE_ID_BYTES);
    transfer.amount = amount;
    op.op_case = HYPERMESH__OPERATION__OP_TRANSFER;
    op.transfer = &transfer;
    return node_wallet_submit(ctx, NODE_USER, ops, 1, NULL, error);
}

static int door_is_used(void *ctx, const uint8_t account[WIRE_ID_BYTES], bool *out,
                        struct hm_error *error)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    const struct node *node = ctx;
    Hypermesh__Account *found;
    struct ledger_view *view;

    hm_arena_init(&arena, 0);
    int rc = ledger_view_open(node->ledger, &view, error);
    if (rc != 0)
        return rc;
    rc = ledger_view_account(view, account, &arena, &found, error);
    ledger_view_close(view);
    if (rc == 0)
        *out = found->hyper > 0 || found->bonded > 0 || found->txs > 0;
    return rc;
}

static int door_read(void *ctx, struct hm_slice json, struct hm_buf *out, struct hm_error *error)
{
    const struct node *node = ctx;

    return node_door_engine(node->beside.socket_rpc, json, out, error);
}

struct join_backend node_door_backend(struct node *node)
{
    return (struct join_backend){.ctx = node,
                                 .ready = door_ready,
                                 .quitting = door_quitting,
                                 .snapshot = door_snapshot,
                                 .pay = door_pay,
                                 .is_used = door_is_used,
                                 .read = door_read};
}

int node_door_open(struct node *node, struct hm_error *error)
{
    const struct join_door_options options = {.data_dir = node->data_dir,
                                              .listen = node->options.door_listen,
                                              .p2p_listen = node->options.p2p_listen,
                                              .p2p_peers = node->options.p2p_peers,
                                              .p2p_peer_count = node->options.p2p_peer_count,
                                              .tickets = &node->tickets,
                                              .clock = node->options.clock,
                                              .backend = node_door_backend(node)};
    struct join_door *door = NULL;
    int rc = options.listen == NULL ? 0 : join_door_open(&options, &door, error);

    if (rc == 0)
        atomic_store(&node->door, door);
    return rc;
}

void node_door_close(struct node *node)
{
    join_door_close(atomic_exchange(&node->door, NULL));
}
