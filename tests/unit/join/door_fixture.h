/* A member's door, over the real transport, and a stand-in for the node behind it: a purse, an engine that gives one answer. */
#ifndef HM_TEST_DOOR_FIXTURE_H
#define HM_TEST_DOOR_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "join_private.h"

#define HOUR_MS             UINT64_C(3600000)
#define UNITS               UINT64_C(1000000000)
#define ASK_MS              10000
#define ENGINE_ID           "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}"
#define CHAIN_ID            "door-1"
#define DOOR_PLACE_ACCOUNTS 16

struct door_place {
    char folder[64]; /* what newcomers make lies in it */
    char data[80]; /* the member's */
    char tickets_path[96];
    char at[32];
    struct join_door_options options;
    struct join_door *door;
    struct join_tickets tickets;
    struct crypto_ed25519_key member;
    char node_id[ENGINE_NODE_ID_DIGITS + 1];
    uint8_t genesis_hash[CRYPTO_HASH_BYTES];
    struct hm_error error;
    /* the node's stand-in */
    atomic_bool quitting;
    atomic_int pay_fails; /* with this; 0: it does not */
    pthread_mutex_t lock; /* guards what follows */
    char asked[1024]; /* what the engine was asked last */
    struct door_account {
        uint8_t id[WIRE_ID_BYTES];
        uint64_t paid;
    } accounts[DOOR_PLACE_ACCOUNTS];
    size_t account_count;
};

enum ticket_flaw { FLAW_NONE, FLAW_SECRET, FLAW_CHAIN, FLAW_ISSUER, FLAW_EXPIRED };

/* Where the next place's warnings are logged; -1, as ever: nowhere. */
extern int door_place_log_fd;
int door_place_setup(void **state);
int door_place_teardown(void **state);
void door_place_open(struct door_place *place);
void door_place_close(struct door_place *place);
/* Issues a funded validator's ticket of this number, with a flaw. The caller frees it. */
char *door_place_ticket(struct door_place *place, uint8_t number, enum ticket_flaw flaw);
/* Joins with a folder of this name; what was wrong is in place->error. */
int door_place_join(struct door_place *place, const char *name, const char *ticket,
                    struct hm_arena *arena, struct join_result *out);
bool door_place_has(struct door_place *place, const char *name);
/* What was paid to this account. */
uint64_t door_place_paid(struct door_place *place, const uint8_t id[WIRE_ID_BYTES]);
/* Was the engine asked this, and nothing since? "": nothing. Then it is forgotten. */
bool door_place_asked(struct door_place *place, const char *json);
/* Puts another word into a newcomer's mark: as after a loss of the last answer. */
void door_place_mark(struct door_place *place, const char *name, const char *word);
struct join_knock *door_place_knock(struct door_place *place, const struct crypto_ed25519_key *own);

#endif
