/* Behind the API: join tickets issued, listed, revoked. */
#include <arpa/inet.h>
#include <stdio.h>

#include "node_private.h"
#include "stoq.h"

#define TICKET_GENESIS  "engine/config/genesis.json"
#define TICKET_FRESH_MS UINT64_C(60000) /* a block that is older is followed by another one first */
#define TICKET_WAIT_MS  5000
#define TICKET_MORE \
    2 /* blocks, until the newest one's time is now's: it is that of the votes for the one before */

/* --- what goes into one -------------------------------------------------------------------------------------- */

static int ticket_need_door(struct node *node, struct hm_error *error)
{
    int rc = node_need_ready(node, error);

    if (rc == 0 && !node->options.cluster)
        rc = hm_fail(error, HM_EUNSUPPORTED, "this node is of no cluster: nobody can join it");
    if (rc == 0 && atomic_load(&node->door) == NULL)
        rc = hm_fail(
            error, HM_ECONFLICT,
            "this node answers no newcomers: start it with --door-listen ADDRESS:PORT (UDP)");
    return rc;
}

/* Where the door listens, when that is one address. */
static const char *ticket_default_address(const struct node *node, struct hm_arena *arena)
{
    char text[STOQ_ADDRESS_TEXT_BYTES];
    struct sockaddr_in6 at;

    if (stoq_address_parse(node->options.door_listen, JOIN_DOOR_PORT, &at, NULL) != 0)
        return node->options.door_listen;
    stoq_address_text(&at, text);
    return hm_arena_strdup(arena, text);
}

static int ticket_addresses(const struct node *node, const struct api_ticket_new *wanted,
                            struct hm_arena *arena, Hypermesh__Cluster__JoinTicket *ticket,
                            struct api_ticket *out, struct hm_error *error)
{
    size_t count = wanted->address_count > 0 ? wanted->address_count : 1;
    Hypermesh__Cluster__JoinAddress *addresses, **list;
    const char **texts;
    int rc = 0;

    if (count > JOIN_TICKET_ADDRESSES_MAX)
        return hm_fail(error, HM_ELIMIT, "a join ticket has at most %d addresses",
                       JOIN_TICKET_ADDRESSES_MAX);
    addresses = hm_arena_alloc(arena, count * sizeof(*addresses));
    list = hm_arena_alloc(arena, count * sizeof(*list));
    texts = hm_arena_alloc(arena, count * sizeof(*texts));
    if (addresses == NULL || list == NULL || texts == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a join ticket");
    for (size_t i = 0; rc == 0 && i < count; i++) {
        texts[i] = wanted->address_count > 0 ? wanted->addresses[i]
                                             : ticket_default_address(node, arena);
        list[i] = &addresses[i];
        rc = texts[i] == NULL ? hm_fail(error, HM_ENOMEM, "no memory for a join ticket")
                              : join_ticket_address_parse(texts[i], arena, list[i], error);
    }
    if (rc != 0)
        return hm_error_prefix(error, rc,
                               wanted->address_count > 0
                                   ? "a ticket's address"
                                   : "a ticket's address (--address says another one)");
    ticket->addresses = list;
    ticket->n_addresses = out->address_count = count;
    out->addresses = texts;
    return 0;
}

static int ticket_chain(const struct node *node, struct hm_arena *arena,
                        Hypermesh__Cluster__JoinTicket *ticket, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    uint8_t *hash = hm_arena_alloc(arena, CRYPTO_HASH_BYTES);
    struct engine_genesis genesis;
    char path[NODE_PATH_MAX_BYTES];
    int rc = hash == NULL ? hm_fail(error, HM_ENOMEM, "no memory for a join ticket")
                          : node_path(node, TICKET_GENESIS, path, error);

    if (rc == 0)
        rc = hm_file_read(path, ENGINE_GENESIS_MAX_BYTES, &text, error);
    if (rc == 0)
        rc = engine_genesis_read(hm_buf_slice(&text), arena, &genesis, error);
    if (rc != 0)
        return rc;
    crypto_hash(text.data, text.len, hash);
    ticket->chain_id = (char *)(uintptr_t)genesis.chain_id;
    ticket->genesis_hash = wire_bytes(hash, CRYPTO_HASH_BYTES);
    return 0;
}

static uint64_t block_time_ms(const Hypermesh__Abci__LightBlock *block)
{
    const Hypermesh__Abci__Timestamp *time = block->signed_header->header->time;

    return time == NULL || time->seconds < 0 ? 0 : (uint64_t)time->seconds * 1000;
}

/* The newest block that the engine has seen signed. Of an idle chain one that is made now: an old one is not believed long. */
static int ticket_trust(struct node *node, struct hm_arena *arena,
                        Hypermesh__Cluster__JoinTicket *ticket, struct hm_error *error)
{
    Hypermesh__Abci__LightBlock *block;
    int rc = engine_light_block(node->engine, 0, arena, &block, error);

    for (unsigned i = 0; rc == 0 && i < TICKET_MORE; i++) {
        uint64_t next = (uint64_t)block->signed_header->header->height + 1;

        if (hm_wall_ms(node->options.clock) <= block_time_ms(block) + TICKET_FRESH_MS ||
            engine_nudge(node->engine, NULL) != 0 ||
            engine_wait_height(node->engine, next, TICKET_WAIT_MS, NULL) != 0)
            break; /* too few are there to make one: what there is will do */
        rc = engine_light_block(node->engine, 0, arena, &block, error);
    }
    if (rc != 0)
        return hm_error_prefix(error, rc, "no block that newcomers could trust");
    ticket->trust_height = (uint64_t)block->signed_header->header->height;
    ticket->trust_hash = block->signed_header->commit->block_id->hash;
    return 0;
}

/* --- issuing --------------------------------------------------------------------------------------------------- */

struct ticket_secret {
    uint8_t id[JOIN_TICKET_ID_BYTES], secret[JOIN_TICKET_SECRET_BYTES];
    struct crypto_ed25519_key issuer;
};

static void ticket_secret_release(struct ticket_secret *secret)
{
    hm_wipe(secret, sizeof(*secret));
}

static int ticket_draw(struct node *node, struct ticket_secret *secret, struct hm_error *error)
{
    const struct hm_random *random = node->options.random;
    char keys_dir[NODE_PATH_MAX_BYTES];
    int rc = node_path(node, "validator", keys_dir, error);

    if (rc == 0)
        rc = engine_key_load(keys_dir, ENGINE_NODE_KEY_NAME, &secret->issuer, error);
    if (rc == 0 && (random->fill(random->ctx, secret->id, sizeof(secret->id)) != 0 ||
                    random->fill(random->ctx, secret->secret, sizeof(secret->secret)) != 0))
        rc = hm_fail(error, HM_EIO, "no random bytes for a join ticket");
    return rc;
}

/* Remembered before anybody has it. */
static int ticket_remember(struct node *node, const Hypermesh__Cluster__JoinTicket *ticket,
                           uint64_t now_ms, struct hm_error *error)
{
    Hypermesh__Cluster__IssuedTicket issued = HYPERMESH__CLUSTER__ISSUED_TICKET__INIT;
    uint8_t hash[CRYPTO_HASH_BYTES];

    crypto_hash(ticket->secret.data, ticket->secret.len, hash);
    issued.id = ticket->id;
    issued.secret_hash = wire_bytes(hash, sizeof(hash));
    issued.role = ticket->role;
    issued.issued_ms = now_ms;
    issued.expires_ms = ticket->expires_ms;
    issued.funded = ticket->funded;
    issued.bond = ticket->bond;
    return join_tickets_add(&node->tickets, &issued, now_ms, error);
}

static int ticket_issue(struct node *node, Hypermesh__Cluster__JoinTicket *ticket, uint64_t now_ms,
                        struct hm_arena *arena, struct api_ticket *out, struct hm_error *error)
{
    HM_CLEANUP(ticket_secret) struct ticket_secret secret;
    struct hm_buf text = {0};
    int rc = ticket_draw(node, &secret, error);

    if (rc != 0)
        return rc;
    ticket->id = wire_bytes(secret.id, sizeof(secret.id));
    ticket->secret = wire_bytes(secret.secret, sizeof(secret.secret));
    rc = join_ticket_write(ticket, &secret.issuer, &text, error);
    if (rc == 0)
        rc = ticket_remember(node, ticket, now_ms, error);
    if (rc == 0) {
        memcpy(out->id, secret.id, sizeof(out->id));
        out->text = hm_arena_strdup(arena, hm_buf_cstr(&text));
        if (out->text == NULL)
            rc = hm_fail(error, HM_ENOMEM, "no memory for a join ticket");
    }
    if (text.data != NULL)
        hm_wipe(text.data, text.cap);
    hm_buf_release(&text);
    return rc;
}

static int node_ticket_create(void *ctx, const struct api_ticket_new *wanted,
                              struct hm_arena *arena, struct api_ticket *out,
                              struct hm_error *error)
{
    Hypermesh__Cluster__JoinTicket ticket = HYPERMESH__CLUSTER__JOIN_TICKET__INIT;
    struct api_ticket made = {
        .validator = wanted->validator, .funded = wanted->fund, .bond = wanted->bond};
    struct node *node = ctx;
    uint64_t lasts_ms = wanted->lasts_ms > 0 ? wanted->lasts_ms : JOIN_TICKET_EXPIRES_MS;
    int rc = ticket_need_door(node, error);

    if (rc == 0 && lasts_ms > JOIN_TICKET_EXPIRES_MAX_MS)
        rc = hm_fail(
            error, HM_ERANGE,
            "a join ticket is good for 12 hours at most: the block in it, which the newcomer "
            "trusts, is not to be older");
    if (rc == 0)
        rc = ticket_addresses(node, wanted, arena, &ticket, &made, error);
    if (rc == 0)
        rc = ticket_chain(node, arena, &ticket, error);
    if (rc == 0)
        rc = ticket_trust(node, arena, &ticket, error);
    if (rc != 0)
        return rc;
    made.issued_ms = hm_wall_ms(node->options.clock);
    made.expires_ms = ticket.expires_ms = made.issued_ms + lasts_ms;
    ticket.role = wanted->validator ? HYPERMESH__CLUSTER__JOIN_ROLE__ROLE_VALIDATOR
                                    : HYPERMESH__CLUSTER__JOIN_ROLE__ROLE_FULL;
    ticket.funded = wanted->fund;
    ticket.bond = wanted->bond;
    rc = ticket_issue(node, &ticket, made.issued_ms, arena, &made, error);
    if (rc == 0)
        *out = made;
    return rc;
}

/* --- the others ------------------------------------------------------------------------------------------------ */

static int ticket_shown(const Hypermesh__Cluster__IssuedTicket *from, struct hm_arena *arena,
                        struct api_ticket *out, struct hm_error *error)
{
    char id[ENGINE_NODE_ID_DIGITS + 1];
    int rc = 0;

    *out = (struct api_ticket){.validator = from->role ==
                                            HYPERMESH__CLUSTER__JOIN_ROLE__ROLE_VALIDATOR,
                               .funded = from->funded,
                               .revoked = from->revoked,
                               .bond = from->bond,
                               .issued_ms = from->issued_ms,
                               .expires_ms = from->expires_ms,
                               .used_ms = from->used_ms};
    memcpy(out->id, from->id.data, sizeof(out->id));
    if (from->used_by.len == 0)
        return 0;
    rc = engine_config_node_id(from->used_by.data, id, error);
    if (rc == 0)
        out->used_by = hm_arena_strdup(arena, id);
    return rc != 0 || out->used_by != NULL ? rc
                                           : hm_fail(error, HM_ENOMEM, "no memory for tickets");
}

static int node_ticket_list(void *ctx, struct hm_arena *arena, struct api_ticket **out,
                            size_t *count, struct hm_error *error)
{
    Hypermesh__Cluster__IssuedTicket **issued = NULL;
    struct node *node = ctx;
    struct api_ticket *list;
    size_t found = 0;
    int rc = join_tickets_list(&node->tickets, arena, &issued, &found, error);

    if (rc != 0)
        return rc;
    list = hm_arena_alloc(arena, (found + 1) * sizeof(*list));
    if (list == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for tickets");
    for (size_t i = 0; rc == 0 && i < found; i++)
        rc = ticket_shown(issued[i], arena, &list[i], error);
    if (rc != 0)
        return rc;
    *out = list;
    *count = found;
    return 0;
}

static int node_ticket_revoke(void *ctx, const uint8_t id[API_TICKET_ID_BYTES],
                              struct hm_error *error)
{
    struct node *node = ctx;

    return join_tickets_revoke(&node->tickets, hm_slice_of(id, API_TICKET_ID_BYTES), error);
}

void node_backend_ticket_init(struct node *node)
{
    struct api_backend *backend = &node->backend;

    backend->ticket_create = node_ticket_create;
    backend->tickets = node_ticket_list;
    backend->ticket_revoke = node_ticket_revoke;
}
