/* Joining a cluster on other machines with a ticket. DATA is made beside, as DATA.joining, with the newcomer's keys and a mark,
 * DATA/joining, which stays until the node is started: a join that was cut off goes on with the same keys, which the member knows. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "join_private.h"
#include "trust.h"

#define NEWCOMER_VERSION    1
#define NEWCOMER_MARK       "joining"
#define NEWCOMER_BESIDE     ".joining"
#define NEWCOMER_MARK_MAX   256
#define NEWCOMER_DONE       "engine/joined"
#define NEWCOMER_DONE_MAX   ((size_t)64 << 10)
#define NEWCOMER_ASK_MS     20000
#define NEWCOMER_FUND_MS    120000 /* two transactions are ordered meanwhile */
#define NEWCOMER_GENESIS_MS 60000

struct newcomer {
    const struct join_options *options;
    struct hm_arena *arena;
    struct join_result *out;
    Hypermesh__Cluster__JoinTicket *ticket;
    struct join_knock *knock;
    struct crypto_ed25519_key node_key, validator_key;
    Hypermesh__Cluster__Redeemed *redeemed;
    bool made; /* the folder, in this call: nobody else knows its keys */
    bool done; /* the join, in an earlier call */
    char *mark, *keys_dir, *keystore, *home, *done_path;
    char *beside; /* where the folder is made and unmade */
};

static int newcomer_no_memory(struct hm_error *error)
{
    return hm_fail(error, HM_ENOMEM, "no memory to join a cluster");
}

/* Everything of ours in this folder. */
static int newcomer_paths(struct newcomer *join, const char *data, struct hm_error *error)
{
    join->mark = hm_arena_printf(join->arena, "%s/" NEWCOMER_MARK, data);
    join->keys_dir = hm_arena_printf(join->arena, "%s/" JOIN_KEYS_DIR, data);
    join->keystore = hm_arena_printf(join->arena, "%s/keys", data);
    join->home = hm_arena_printf(join->arena, "%s/engine", data);
    join->done_path = hm_arena_printf(join->arena, "%s/" NEWCOMER_DONE, data);
    join->beside = hm_arena_printf(join->arena, "%s" NEWCOMER_BESIDE, join->options->data_dir);
    return join->mark != NULL && join->keys_dir != NULL && join->keystore != NULL &&
                   join->home != NULL && join->done_path != NULL && join->beside != NULL
               ? 0
               : newcomer_no_memory(error);
}

/* --- the mark ----------------------------------------------------------------------------------------------- */

/* "keys ID\n": the keys are there, and the member may know them; "redeemed ID\n": it does, and may have paid their accounts;
 * "done ID\n": all is. */
static int mark_write(const struct newcomer *join, const char *word, struct hm_error *error)
{
    char id[2 * JOIN_TICKET_ID_BYTES + 1], text[NEWCOMER_MARK_MAX];

    hm_hex_encode(join->ticket->id.data, JOIN_TICKET_ID_BYTES, id);
    int len = snprintf(text, sizeof(text), "%s %s\n", word, id);
    return hm_file_replace(join->mark, text, (size_t)len, 0600, error);
}

/* Is the join under way in this folder this ticket's? HM_ENOTFOUND: there is no join under way. */
static int mark_read(struct newcomer *join, bool *same, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    char id[2 * JOIN_TICKET_ID_BYTES + 1];
    int rc = hm_file_read(join->mark, NEWCOMER_MARK_MAX, &text, error);

    if (rc != 0)
        return rc;
    hm_hex_encode(join->ticket->id.data, JOIN_TICKET_ID_BYTES, id);
    *same = strstr(hm_buf_cstr(&text), id) != NULL;
    join->done = strncmp(hm_buf_cstr(&text), "done ", 5) == 0;
    return 0;
}

int join_started(const char *data_dir, struct hm_error *error)
{
    HM_AUTOFREE char *path = hm_asprintf("%s/" NEWCOMER_MARK, data_dir);
    HM_AUTOFREE char *done = hm_asprintf("%s/" NEWCOMER_DONE, data_dir);
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    int rc;

    if (path == NULL || done == NULL)
        return newcomer_no_memory(error);
    if (access(path, F_OK) != 0)
        return 0;
    rc = hm_file_read(path, NEWCOMER_MARK_MAX, &text, error);
    if (rc != 0)
        return rc;
    if (strncmp(hm_buf_cstr(&text), "done ", 5) != 0)
        return hm_fail(
            error, HM_ECONFLICT,
            "%s has not finished joining its cluster: nexus cluster join once more, with "
            "the same ticket",
            data_dir);
    if (unlink(path) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot remove %s", path);
    (void)unlink(done); /* of use to who joins once more before */
    return 0;
}

/* --- the folder --------------------------------------------------------------------------------------------- */

static int newcomer_new_key(const struct newcomer *join, const char *name, engine_key_pack *pack,
                            struct hm_error *error)
{
    const struct hm_random *random = join->options->random;
    HM_AUTOFREE char *path = hm_asprintf("%s/%s", join->keys_dir, name);
    struct crypto_ed25519_key key;
    uint8_t seed[CRYPTO_SEED_BYTES];
    int rc = path == NULL ? newcomer_no_memory(error)
                          : random->fill(random->ctx, seed, sizeof(seed));

    if (rc == 0) {
        crypto_ed25519_from_seed(&key, seed);
        rc = engine_key_write(path, &key, pack, error);
        crypto_ed25519_wipe(&key);
    }
    hm_wipe(seed, sizeof(seed));
    return rc;
}

/* The record of what was signed goes before the key, as engine_config_write has it. */
static int newcomer_new_engine_keys(const struct newcomer *join, struct hm_error *error)
{
    HM_AUTOFREE char *record = hm_asprintf("%s/" ENGINE_VALIDATOR_STATE_NAME, join->keys_dir);
    HM_CLEANUP(hm_buf) struct hm_buf empty = {0};
    int rc = record == NULL || engine_validator_state_pack(&empty) != 0
                 ? newcomer_no_memory(error)
                 : hm_mkdir_all(join->keys_dir, 0700, error);

    if (rc == 0)
        rc = hm_file_replace(record, empty.data, empty.len, 0600, error);
    if (rc == 0)
        rc = newcomer_new_key(join, ENGINE_VALIDATOR_KEY_NAME, engine_validator_key_pack, error);
    return rc != 0 ? rc : newcomer_new_key(join, ENGINE_NODE_KEY_NAME, engine_node_key_pack, error);
}

static int newcomer_new_accounts(const struct newcomer *join, struct hm_error *error)
{
    struct trust_keystore *keystore;
    struct trust_entry entry;
    int rc = trust_keystore_open(join->keystore, NULL, join->options->random, &keystore, error);

    if (rc != 0)
        return rc;
    rc = trust_identity_create(keystore, join->options->operator_name, &entry, error);
    if (rc == 0)
        rc = trust_identity_create(keystore, join->options->user_name, &entry, error);
    trust_keystore_close(keystore);
    return rc;
}

/* The name of a folder that was renamed is durable when the folder above it is. */
static int newcomer_sync_above(const char *path, struct hm_error *error)
{
    HM_AUTOFREE char *above = hm_strdup(path);
    char *slash = above != NULL ? strrchr(above, '/') : NULL;

    if (slash == NULL)
        return newcomer_no_memory(error);
    slash[slash == above] = '\0';
    HM_AUTOCLOSE int fd = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && fsync(fd) == 0 ? 0
                                     : hm_fail_errno(error, HM_EIO, "cannot write %s down", above);
}

/* What an earlier call left there has our mark, or nothing at all in it. */
static int newcomer_clear_beside(const struct newcomer *join, struct hm_error *error)
{
    HM_AUTOFREE char *mark = hm_asprintf("%s/" NEWCOMER_MARK, join->beside);

    if (mark == NULL)
        return newcomer_no_memory(error);
    if (rmdir(join->beside) == 0 || errno == ENOENT)
        return 0;
    if (access(mark, F_OK) != 0)
        return hm_fail(error, HM_EEXIST,
                       "%s is needed for a while, and holds what is not of a join: move it away",
                       join->beside);
    return hm_remove_tree(join->beside, error);
}

/* Whole or not at all: a kill leaves at most what lies beside. */
static int newcomer_new_folder(struct newcomer *join, struct hm_error *error)
{
    const char *data = join->options->data_dir;
    int rc = newcomer_paths(join, join->beside, error);

    if (rc == 0)
        rc = newcomer_clear_beside(join, error);
    if (rc != 0)
        return rc;
    /* The mark first: it says whose this is, should we be killed here. */
    rc = hm_mkdir_all(join->beside, 0700, error);
    if (rc == 0)
        rc = mark_write(join, "keys", error);
    if (rc == 0)
        rc = newcomer_new_accounts(join, error);
    if (rc == 0)
        rc = newcomer_new_engine_keys(join, error);
    if (rc == 0 && rename(join->beside, data) != 0)
        rc = hm_fail_errno(error, HM_EIO, "cannot make %s", data);
    if (rc != 0) {
        hm_remove_tree(join->beside, NULL);
        return rc;
    }
    join->made = true;
    rc = newcomer_sync_above(data, error);
    return rc != 0 ? rc : newcomer_paths(join, data, error);
}

static void newcomer_unmake(const struct newcomer *join)
{
    if (newcomer_clear_beside(join, NULL) == 0 &&
        rename(join->options->data_dir, join->beside) == 0)
        hm_remove_tree(join->beside, NULL);
    else
        hm_remove_tree(join->options->data_dir, NULL);
}

/* An empty folder is taken; one that is cut off goes on; every other is left alone. */
static int newcomer_folder(struct newcomer *join, struct hm_error *error)
{
    const char *data = join->options->data_dir;
    bool same = false;
    int rc;

    if (rmdir(data) == 0 || errno == ENOENT)
        return newcomer_new_folder(join, error);
    rc = mark_read(join, &same, error);
    if (rc == HM_ENOTFOUND)
        return hm_fail(error, HM_EEXIST, "%s is there already: give an empty folder", data);
    if (rc != 0 || same)
        return rc;
    return hm_fail(error, HM_EEXIST,
                   "%s holds a join with another ticket that was cut off: go on with that one, or "
                   "remove the folder",
                   data);
}

/* --- who we are --------------------------------------------------------------------------------------------- */

void join_prove_key(const char *chain_id, const struct crypto_ed25519_key *validator,
                    const uint8_t account[WIRE_ID_BYTES],
                    uint8_t proof[CRYPTO_ED25519_SIGNATURE_BYTES])
{
    uint8_t chain_hash[CRYPTO_HASH_BYTES], digest[CRYPTO_HASH_BYTES];

    crypto_hash(chain_id, strlen(chain_id), chain_hash);
    ledger_validator_digest(chain_hash, account, digest);
    crypto_ed25519_sign(validator, digest, sizeof(digest), proof);
}

static int newcomer_accounts(struct newcomer *join, struct hm_error *error)
{
    struct join_identity *member = &join->out->member;
    struct trust_keystore *keystore;
    struct trust_entry *entries = NULL;
    size_t count = 0, found = 0;
    int rc = trust_keystore_open(join->keystore, NULL, join->options->random, &keystore, error);

    if (rc != 0)
        return rc;
    rc = trust_keystore_list(keystore, &entries, &count, error);
    trust_keystore_close(keystore);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        bool is_operator = strcmp(entries[i].name, join->options->operator_name) == 0;

        if (!is_operator && strcmp(entries[i].name, join->options->user_name) != 0)
            continue;
        memcpy(is_operator ? member->account : member->user, entries[i].account, WIRE_ID_BYTES);
        found++;
    }
    hm_free(entries);
    return rc != 0 || found == 2
               ? rc
               : hm_fail(error, HM_ECORRUPT, "%s lacks an account", join->keystore);
}

static int newcomer_self(struct newcomer *join, struct hm_error *error)
{
    struct join_identity *member = &join->out->member;
    int rc = newcomer_accounts(join, error);

    if (rc == 0)
        rc = engine_key_load(join->keys_dir, ENGINE_NODE_KEY_NAME, &join->node_key, error);
    if (rc == 0)
        rc = engine_key_load(join->keys_dir, ENGINE_VALIDATOR_KEY_NAME, &join->validator_key,
                             error);
    if (rc == 0)
        rc = engine_config_node_id(join->node_key.public_key, member->node_id, error);
    if (rc == 0)
        rc = engine_config_address(join->validator_key.public_key, member->address, error);
    if (rc != 0)
        return rc;
    memcpy(member->key, join->validator_key.public_key, sizeof(member->key));
    join_prove_key(join->ticket->chain_id, &join->validator_key, member->account, member->proof);
    return 0;
}

/* --- asking the member -------------------------------------------------------------------------------------- */

static int newcomer_addresses(const struct newcomer *join, struct sockaddr_in6 *addresses,
                              size_t *count, struct hm_error *error)
{
    struct stoq_error why = {0};
    int rc = 0;

    *count = 1;
    if (join->options->address != NULL)
        return stoq_address_parse(join->options->address, JOIN_DOOR_PORT, &addresses[0], &why) == 0
                   ? 0
                   : hm_fail(error, HM_EINVAL, "the member's address: %s", why.text);
    *count = join->ticket->n_addresses;
    for (size_t i = 0; rc == 0 && i < *count; i++)
        rc = join_ticket_sockaddr(join->ticket->addresses[i], &addresses[i], error);
    return rc;
}

static int newcomer_knock(struct newcomer *join, struct hm_error *error)
{
    struct sockaddr_in6 addresses[JOIN_TICKET_ADDRESSES_MAX];
    size_t count = 0;
    int rc = newcomer_addresses(join, addresses, &count, error);

    return rc != 0 ? rc
                   : join_knock_open(&join->node_key, join->ticket->issuer.data, addresses, count,
                                     &join->knock, error);
}

static int newcomer_redeem(struct newcomer *join, struct hm_error *error)
{
    Hypermesh__Cluster__JoinRequest request = HYPERMESH__CLUSTER__JOIN_REQUEST__INIT;
    Hypermesh__Cluster__Redeem redeem = HYPERMESH__CLUSTER__REDEEM__INIT;
    const struct join_identity *member = &join->out->member;
    Hypermesh__Cluster__JoinAnswer *answer;
    int rc;

    redeem.version = NEWCOMER_VERSION;
    redeem.chain_id = join->ticket->chain_id;
    redeem.genesis_hash = join->ticket->genesis_hash;
    redeem.ticket_id = join->ticket->id;
    redeem.secret = join->ticket->secret;
    redeem.operator_ = wire_bytes(member->account, sizeof(member->account));
    redeem.user = wire_bytes(member->user, sizeof(member->user));
    request.request_case = HYPERMESH__CLUSTER__JOIN_REQUEST__REQUEST_REDEEM;
    request.redeem = &redeem;
    rc = join_knock_ask(join->knock, &request, NEWCOMER_ASK_MS, join->arena, &answer, error);
    if (rc != 0)
        return rc;
    if (answer->answer_case != HYPERMESH__CLUSTER__JOIN_ANSWER__ANSWER_REDEEMED)
        return hm_fail(error, HM_EIO, "the member answers what was not asked");
    join->redeemed = answer->redeemed;
    return 0;
}

static int newcomer_genesis(struct newcomer *join, struct hm_slice *out, struct hm_error *error)
{
    Hypermesh__Cluster__JoinRequest request = HYPERMESH__CLUSTER__JOIN_REQUEST__INIT;
    Hypermesh__Cluster__GenesisGet get = HYPERMESH__CLUSTER__GENESIS_GET__INIT;
    Hypermesh__Cluster__JoinAnswer *answer;
    struct engine_genesis genesis;
    uint8_t hash[CRYPTO_HASH_BYTES];
    int rc;

    get.version = NEWCOMER_VERSION;
    request.request_case = HYPERMESH__CLUSTER__JOIN_REQUEST__REQUEST_GENESIS;
    request.genesis = &get;
    rc = join_knock_ask(join->knock, &request, NEWCOMER_GENESIS_MS, join->arena, &answer, error);
    if (rc != 0)
        return rc;
    struct hm_slice bytes = answer->answer_case == HYPERMESH__CLUSTER__JOIN_ANSWER__ANSWER_GENESIS
                                ? wire_slice(answer->genesis)
                                : (struct hm_slice){0};
    crypto_hash(bytes.data, bytes.len, hash);
    if (!hm_slice_equal(wire_slice(join->ticket->genesis_hash), hm_slice_of(hash, sizeof(hash))))
        return hm_fail(error, HM_EAUTH, "the member gave another genesis than the ticket is for");
    rc = engine_genesis_read(bytes, join->arena, &genesis, error);
    if (rc == 0 && strcmp(genesis.chain_id, join->ticket->chain_id) != 0)
        rc = hm_fail(error, HM_EAUTH,
                     "the member's genesis is of the chain %.60s, the ticket of %.60s",
                     genesis.chain_id, join->ticket->chain_id);
    if (rc == 0 && genesis.initial_height > 1 && join->redeemed->snapshot_height == 0)
        rc = hm_fail(error, HM_EBUSY,
                     "this cluster's ledger began before its first block here, so that a newcomer "
                     "begins with a snapshot, and the member has none yet: try again in a minute");
    if (rc == 0)
        *out = bytes;
    return rc;
}

static int newcomer_fund(struct newcomer *join, struct hm_error *error)
{
    Hypermesh__Cluster__JoinRequest request = HYPERMESH__CLUSTER__JOIN_REQUEST__INIT;
    Hypermesh__Cluster__FundGet get = HYPERMESH__CLUSTER__FUND_GET__INIT;
    Hypermesh__Cluster__JoinAnswer *answer;

    if (!join->ticket->funded)
        return 0;
    get.version = NEWCOMER_VERSION;
    request.request_case = HYPERMESH__CLUSTER__JOIN_REQUEST__REQUEST_FUND;
    request.fund = &get;
    return join_knock_ask(join->knock, &request, NEWCOMER_FUND_MS, join->arena, &answer, error);
}

/* --- what the node is started with ----------------------------------------------------------------------------- */

static int newcomer_write_config(const struct newcomer *join, struct hm_slice genesis,
                                 struct hm_error *error)
{
    HM_AUTOFREE char *abci = hm_asprintf("%s/bft.sock", join->options->data_dir);
    HM_AUTOFREE char *rpc = hm_asprintf("%s/rpc.sock", join->options->data_dir);
    const struct engine_config config = {.name = "hypermesh",
                                         .abci_socket = abci,
                                         .rpc_socket = rpc,
                                         .p2p_listen = "127.0.0.1:0",
                                         .keys_dir = join->keys_dir};

    return abci == NULL || rpc == NULL
               ? newcomer_no_memory(error)
               : engine_config_write(join->home, &config, genesis, NULL, error);
}

/* Both servers that the engine wants are the one tunnel: what it compares them for is the trusted block's, which the ticket
 * names. */
static int newcomer_write_sync(struct newcomer *join, struct hm_error *error)
{
    HM_AUTOFREE char *server = hm_asprintf("unix://%s/" JOIN_TUNNEL_SOCKET,
                                           join->options->data_dir);
    const char *const servers[] = {server, server};
    struct engine_config_sync sync = {.rpc_servers = servers,
                                      .rpc_server_count = HM_COUNT_OF(servers),
                                      .trust_height = join->ticket->trust_height};

    if (join->redeemed->snapshot_height == 0 || join->options->from_genesis)
        return 0;
    if (server == NULL)
        return newcomer_no_memory(error);
    join->out->synced = true;
    memcpy(sync.trust_hash, join->ticket->trust_hash.data, sizeof(sync.trust_hash));
    return engine_sync_write(join->home, &sync, error);
}

static int newcomer_write_member(const struct newcomer *join, struct hm_error *error)
{
    Hypermesh__Cluster__JoinMember member = HYPERMESH__CLUSTER__JOIN_MEMBER__INIT;
    HM_AUTOFREE char *path = hm_asprintf("%s/" JOIN_TUNNEL_FILE, join->options->data_dir);
    Hypermesh__Cluster__JoinAddress given, *one[] = {&given};
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    int rc = path == NULL ? newcomer_no_memory(error) : 0;

    member.key = join->ticket->issuer;
    member.until_ms = join->redeemed->read_until_ms;
    member.addresses = join->ticket->addresses;
    member.n_addresses = join->ticket->n_addresses;
    if (rc == 0 && join->options->address != NULL) {
        rc = join_ticket_address_parse(join->options->address, join->arena, &given, error);
        member.addresses = one;
        member.n_addresses = 1;
    }
    if (rc == 0 && wire_pack(&member.base, &bytes) != 0)
        rc = newcomer_no_memory(error);
    return rc != 0 ? rc : hm_file_replace(path, bytes.data, bytes.len, 0600, error);
}

/* They become words of a command line, and lines of a configuration. */
static int newcomer_peers(struct newcomer *join, struct hm_error *error)
{
    const Hypermesh__Cluster__Redeemed *redeemed = join->redeemed;

    if (redeemed->n_peers == 0)
        return hm_fail(error, HM_EPARSE, "the member names no node to connect to");
    for (size_t i = 0; i < redeemed->n_peers && i < JOIN_PEERS_MAX; i++) {
        const char *peer = redeemed->peers[i];
        size_t len = strspn(
            peer, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.:@[]-_");

        if (strlen(peer) != len || len <= ENGINE_NODE_ID_DIGITS || len > NEWCOMER_MARK_MAX ||
            peer[ENGINE_NODE_ID_DIGITS] != '@')
            return hm_fail(error, HM_EPARSE, "the member names a node that makes no sense");
        join->out->peers[join->out->peer_count++] = peer;
    }
    return 0;
}

static int newcomer_write(struct newcomer *join, struct hm_error *error)
{
    struct hm_slice genesis;
    int rc = newcomer_peers(join, error);

    if (rc == 0)
        rc = newcomer_genesis(join, &genesis, error);
    if (rc == 0)
        rc = newcomer_write_config(join, genesis, error);
    if (rc == 0)
        rc = newcomer_write_sync(join, error);
    return rc != 0 ? rc : newcomer_write_member(join, error);
}

/* --- all ------------------------------------------------------------------------------------------------------- */

/* Did the member say no before it used the ticket up, or was it never asked? What went wrong on its side says neither. */
static bool newcomer_came_to_nothing(const struct newcomer *join, int rc)
{
    bool refused = join->knock != NULL && join_knock_answered(join->knock) && rc != HM_EIO &&
                   rc != HM_ENOMEM;
    bool asked = join->knock != NULL && rc != HM_EUNAVAILABLE && rc != HM_EAUTH;

    return join->redeemed == NULL && (refused || !asked);
}

/* Only a folder that this call made, and whose keys the member has not got, is of no use to anybody: the accounts of every
 * other may have been paid. */
static int newcomer_failed(struct newcomer *join, int rc, struct hm_error *error)
{
    char why[HM_ERROR_TEXT_BYTES];

    if (join->made && newcomer_came_to_nothing(join, rc)) {
        newcomer_unmake(join);
        return rc;
    }
    snprintf(why, sizeof(why), "%s", error != NULL ? error->text : "");
    return hm_fail(error, rc,
                   "%.250s. What was begun is in %.100s: the same command goes on with it", why,
                   join->options->data_dir);
}

/* What the caller is to know of a join that is done must not be asked for twice. */
static int newcomer_write_done(struct newcomer *join, struct hm_error *error)
{
    Hypermesh__Cluster__JoinDone done = HYPERMESH__CLUSTER__JOIN_DONE__INIT;
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    char local[STOQ_ADDRESS_TEXT_BYTES];

    join_knock_local(join->knock, local);
    join->out->local = hm_arena_strdup(join->arena, local);
    done.redeemed = join->redeemed;
    done.local = local;
    done.synced = join->out->synced;
    if (join->out->local == NULL || wire_pack(&done.base, &bytes) != 0)
        return newcomer_no_memory(error);
    int rc = hm_file_replace(join->done_path, bytes.data, bytes.len, 0600, error);
    return rc != 0 ? rc : mark_write(join, "done", error);
}

/* The member is not asked again: it has given all, and may have forgotten us since. */
static int newcomer_read_done(struct newcomer *join, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    Hypermesh__Cluster__JoinDone *done;
    int rc = hm_file_read(join->done_path, NEWCOMER_DONE_MAX, &bytes, error);

    if (rc == 0)
        rc = WIRE_UNPACK(hypermesh__cluster__join_done, hm_buf_slice(&bytes), NEWCOMER_DONE_MAX,
                         join->arena, &done, error);
    if (rc == 0 && done->redeemed == NULL)
        rc = hm_fail(error, HM_ECORRUPT, "%s is damaged", join->done_path);
    if (rc != 0)
        return rc;
    join->redeemed = done->redeemed;
    join->out->local = hm_arena_strdup(join->arena, done->local);
    join->out->synced = done->synced;
    return join->out->local == NULL ? newcomer_no_memory(error) : newcomer_peers(join, error);
}

static int newcomer_run(struct newcomer *join, struct hm_error *error)
{
    int rc = newcomer_self(join, error);

    if (rc == 0 && join->done)
        return newcomer_read_done(join, error);
    if (rc == 0)
        rc = newcomer_knock(join, error);
    if (rc == 0)
        rc = newcomer_redeem(join, error);
    if (rc == 0)
        rc = mark_write(join, "redeemed", error);
    if (rc == 0)
        rc = newcomer_write(join, error);
    if (rc == 0)
        rc = newcomer_fund(join, error);
    return rc != 0 ? rc : newcomer_write_done(join, error);
}

static void newcomer_release(struct newcomer *join)
{
    crypto_ed25519_wipe(&join->node_key);
    crypto_ed25519_wipe(&join->validator_key);
    join_knock_close(join->knock);
}

static void newcomer_result(struct newcomer *join)
{
    struct join_result *result = join->out;

    result->chain_id = join->ticket->chain_id;
    result->funded = join->ticket->funded;
    result->validator = join->ticket->role == HYPERMESH__CLUSTER__JOIN_ROLE__ROLE_VALIDATOR;
    result->bond = join->ticket->bond;
}

/* "/a/b/" is "/a/b", beside which there is room. */
static int newcomer_folder_name(const char *given, struct hm_arena *arena, const char **out,
                                struct hm_error *error)
{
    size_t len = strlen(given);

    while (len > 1 && given[len - 1] == '/')
        len--;
    if (given[0] != '/' || len == 1)
        return hm_fail(error, HM_EINVAL, "the node's folder '%.200s' is not an absolute path",
                       given);
    *out = hm_arena_printf(arena, "%.*s", (int)len, given);
    return *out != NULL ? 0 : newcomer_no_memory(error);
}

int join_cluster(const struct join_options *options, struct hm_arena *arena,
                 struct join_result *out, struct hm_error *error)
{
    struct join_result result = {.chain_id = ""};
    struct join_options own = *options;
    HM_CLEANUP(newcomer) struct newcomer join = {.options = &own, .arena = arena, .out = &result};
    int rc = newcomer_folder_name(options->data_dir, arena, &own.data_dir, error);

    if (rc == 0)
        rc = crypto_setup(error);
    if (rc == 0)
        rc = join_ticket_read(options->ticket, arena, &join.ticket, error);
    if (rc == 0)
        rc = newcomer_paths(&join, own.data_dir, error);
    if (rc == 0)
        rc = newcomer_folder(&join, error);
    if (rc != 0) {
        if (join.made)
            newcomer_unmake(&join);
        return rc;
    }
    rc = newcomer_run(&join, error);
    if (rc != 0)
        return newcomer_failed(&join, rc, error);
    newcomer_result(&join);
    *out = result;
    return 0;
}
