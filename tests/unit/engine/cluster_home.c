#include "cluster_home.h"

#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define HOME_POWER 10

const char *home_find_engine(void)
{
    static char path[PATH_MAX];
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    struct hm_error error = {0};
    const char *program;

    hm_arena_init(&arena, 0);
    if (engine_process_find(getenv("HYPERMESH_ENGINE"), &arena, &program, &error) != 0) {
        print_message("left out: %s\n", error.text);
        return NULL;
    }
    snprintf(path, sizeof(path), "%s", program);
    return path;
}

void home_must(int rc, const struct hm_error *error, const char *what)
{
    if (rc == 0)
        return;
    fprintf(stderr, "%s: %s\n", what, error->text);
    exit(1);
}

uint64_t home_now_ms(void)
{
    return hm_wall_ms(hm_clock_system());
}

static void make_key(struct crypto_ed25519_key *key, unsigned fill)
{
    uint8_t seed[CRYPTO_SEED_BYTES];

    memset(seed, (int)fill, sizeof(seed));
    crypto_ed25519_from_seed(key, seed);
}

static unsigned free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        exit(1);
    close(fd);
    return ntohs(address.sin_port);
}

void home_init(struct home *home, const char *dir, unsigned number)
{
    struct hm_error error = {0};

    *home = (struct home){.number = number};
    snprintf(home->dir, sizeof(home->dir), "%s", dir);
    snprintf(home->ledger, sizeof(home->ledger), "%s/ledger%u", dir, number);
    snprintf(home->log, sizeof(home->log), "%s/blocks%u", dir, number);
    snprintf(home->engine, sizeof(home->engine), "%s/engine%u", dir, number);
    snprintf(home->keys, sizeof(home->keys), "%s/keys%u", dir, number);
    snprintf(home->abci, sizeof(home->abci), "%s/abci%u.sock", dir, number);
    snprintf(home->rpc, sizeof(home->rpc), "%s/rpc%u.sock", dir, number);
    snprintf(home->listen, sizeof(home->listen), "127.0.0.1:%u", free_port());
    home->stale[0] = home->rpc;
    make_key(&home->node, 1 + number);
    make_key(&home->validator, 100 + number);
    home_must(engine_config_address(home->validator.public_key, home->address, &error), &error,
              "address");
}

void home_genesis(const struct home *homes, unsigned count, struct ledger *ledger,
                  struct hm_buf *out)
{
    struct engine_genesis_validator validators[HOME_NODES_MAX];
    HM_CLEANUP(hm_buf) struct hm_buf state = {0};
    struct hm_error error = {0};
    struct ledger_info info;

    home_must(ledger_info(ledger, &info, &error), &error, "ledger");
    home_must(engine_cometbft_app_state(ledger, &state, &error), &error, "app_state");
    for (unsigned i = 0; i < count; i++) {
        validators[i] = (struct engine_genesis_validator){.power = HOME_POWER, .name = "node"};
        memcpy(validators[i].key, homes[i].validator.public_key, 32);
    }
    struct engine_genesis genesis = {.chain_id = info.chain_id,
                                     .time_ms = home_now_ms() - ENGINE_GENESIS_AGE_MS,
                                     .initial_height = info.height + 1,
                                     .validators = validators,
                                     .validator_count = count,
                                     .has_app_hash = true,
                                     .app_state = hm_buf_slice(&state)};
    memcpy(genesis.app_hash, info.state_root, 32);
    home_must(engine_genesis_pack(&genesis, out, &error), &error, "genesis");
}

void home_write(const struct home *homes, unsigned count, unsigned number, struct hm_slice genesis)
{
    struct engine_config_peer peers[HOME_NODES_MAX];
    const struct home *home = &homes[number];
    struct hm_error error = {0};
    size_t peer_count = 0;

    for (unsigned i = 0; i < count; i++) {
        if (i == number)
            continue;
        home_must(
            engine_config_node_id(homes[i].node.public_key, peers[peer_count].node_id, &error),
            &error, "node id");
        peers[peer_count++].address = homes[i].listen;
    }
    const struct engine_config config = {.name = "node",
                                         .abci_socket = home->abci,
                                         .rpc_socket = home->rpc,
                                         .p2p_listen = home->listen,
                                         .peers = peers,
                                         .peer_count = peer_count,
                                         .keys_dir = home->keys};
    const struct engine_config_keys keys = {.node = &home->node, .validator = &home->validator};
    home_must(engine_config_write(home->engine, &config, genesis, &keys, &error), &error, "config");
}

static void on_start(void *ctx, int64_t pid)
{
    engine_expect(ctx, pid);
}

static void on_line(void *ctx, const struct engine_process_line *line)
{
    (void)ctx;
    fprintf(stderr, "engine: %s %s\n", line->text, line->fields);
}

struct engine_process *home_start(const struct home *home, const char *program,
                                  struct engine *engine)
{
    static const char *const environment[] = {"GOMAXPROCS=1"};
    const struct engine_process_options options = {.program = program,
                                                   .home = home->engine,
                                                   .stale = home->stale,
                                                   .stale_count = 1,
                                                   .environment = environment,
                                                   .environment_count = 1,
                                                   .on_line = on_line,
                                                   .on_start = on_start,
                                                   .ctx = engine};
    struct engine_process *process;
    struct hm_error error = {0};

    home_must(engine_process_start(&options, &process, &error), &error, "engine process");
    return process;
}

void home_set_time(struct engine_fixture *fix)
{
    fix->chain.next_ms = home_now_ms();
    atomic_store(&fix->wall_ms, fix->chain.next_ms);
}
