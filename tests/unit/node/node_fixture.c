#include "node_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define READY_SECONDS 60

int node_fixture_log_fd = -1;

static uint64_t moved_wall_ms(void *ctx)
{
    struct node_fixture *fixture = ctx;

    return hm_wall_ms(hm_clock_system()) + atomic_load(&fixture->ahead_ms);
}

static uint64_t real_mono_ns(void *ctx)
{
    (void)ctx;
    return hm_mono_ns(hm_clock_system());
}

void node_fixture_wait_ready(struct node *node)
{
    const struct timespec nap = {.tv_nsec = 5000000};

    for (int i = 0; i < READY_SECONDS * 200 && !atomic_load(&node->ready); i++) {
        assert_null(node_failure(node));
        nanosleep(&nap, NULL);
    }
    assert_true(atomic_load(&node->ready));
}

static void start(struct node_fixture *fixture)
{
    struct hm_error error = {0};

    if (node_start(&fixture->options, &fixture->node, &error) != 0)
        fail_msg("%s", error.text);
    node_fixture_wait_ready(fixture->node);
}

static int setup(void **state, uint64_t ahead_ms)
{
    struct node_fixture *fixture = hm_calloc(1, sizeof(*fixture));

    if (fixture == NULL)
        return -1;
    memcpy(fixture->folder, "/tmp/hm-node-XXXXXX", sizeof("/tmp/hm-node-XXXXXX"));
    if (mkdtemp(fixture->folder) == NULL)
        return -1;
    hm_log_setup(node_fixture_log_fd, node_fixture_log_fd < 0 ? HM_LOG_ERROR : HM_LOG_WARN, false);
    fixture->ahead_ms = ahead_ms;
    fixture->clock = (struct hm_clock){moved_wall_ms, real_mono_ns, fixture};
    fixture->options = (struct node_options){.data_dir = fixture->folder,
                                             .listen = "",
                                             .plot_bytes = UINT64_C(64) << 10,
                                             .clock = &fixture->clock,
                                             .random = hm_random_system()};
    *state = fixture;
    start(fixture);
    return 0;
}

int node_fixture_setup(void **state)
{
    return setup(state, 0);
}

int node_fixture_setup_behind(void **state)
{
    return setup(state, (uint64_t)0 - NODE_FIXTURE_BEHIND_MS);
}

int node_fixture_teardown(void **state)
{
    struct node_fixture *fixture = *state;

    node_stop(fixture->node);
    (void)hm_remove_tree(fixture->folder, NULL);
    hm_free(fixture);
    return 0;
}

void node_fixture_restart(struct node_fixture *fixture)
{
    node_stop(fixture->node);
    fixture->node = NULL;
    start(fixture);
}

static void write_genesis(struct node_fixture *fixture, void (*change)(Hypermesh__Params *params))
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    Hypermesh__Genesis *genesis;
    struct ledger_view *view;
    struct hm_slice packed;

    hm_arena_init(&arena, 0);
    assert_int_equal(ledger_view_open(fixture->node->ledger, &view, NULL), 0);
    assert_int_equal(ledger_view_genesis(view, &packed, NULL), 0);
    assert_int_equal(WIRE_UNPACK(hypermesh__genesis, packed, packed.len, &arena, &genesis, NULL),
                     0);
    ledger_view_close(view);
    change(genesis->params);
    assert_int_equal(wire_pack(&genesis->base, &bytes), 0);
    FILE *file = fopen(fixture->genesis, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes.data, 1, bytes.len, file), bytes.len);
    assert_int_equal(fclose(file), 0);
}

void node_fixture_rebirth(struct node_fixture *fixture, void (*change)(Hypermesh__Params *params))
{
    static const char *const chain_files[] = {"ledger", NODE_LOG_NAME ".0", NODE_LOG_NAME ".1"};
    char path[128];

    (void)snprintf(fixture->genesis, sizeof(fixture->genesis), "%s/genesis", fixture->folder);
    write_genesis(fixture, change);
    node_stop(fixture->node);
    fixture->node = NULL;
    for (size_t i = 0; i < HM_COUNT_OF(chain_files); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", fixture->folder, chain_files[i]);
        assert_int_equal(hm_remove_tree(path, NULL), 0);
    }
    fixture->options.genesis_path = fixture->genesis;
    start(fixture);
}

int node_fixture_transfer(struct node *node, const char *from, const char *to,
                          struct hm_error *error)
{
    Hypermesh__Transfer transfer = HYPERMESH__TRANSFER__INIT;
    Hypermesh__Operation op = HYPERMESH__OPERATION__INIT;
    Hypermesh__Operation *ops[] = {&op};
    uint8_t id[WIRE_ID_BYTES];
    int rc = node_wallet_resolve(node, to, id, error);

    if (rc != 0)
        return rc;
    transfer.to = wire_bytes(id, sizeof(id));
    transfer.amount = 1;
    transfer.token = HYPERMESH__TOKEN__HYPER;
    op.op_case = HYPERMESH__OPERATION__OP_TRANSFER;
    op.transfer = &transfer;
    return node_wallet_submit(node, from, ops, 1, NULL, error);
}

Hypermesh__Account *node_fixture_account(struct node *node, const char *name,
                                         struct hm_arena *arena)
{
    Hypermesh__Account *account = NULL;
    struct ledger_view *view;
    uint8_t id[WIRE_ID_BYTES];

    assert_int_equal(node_wallet_resolve(node, name, id, NULL), 0);
    assert_int_equal(ledger_view_open(node->ledger, &view, NULL), 0);
    assert_int_equal(ledger_view_account(view, id, arena, &account, NULL), 0);
    ledger_view_close(view);
    return account;
}
