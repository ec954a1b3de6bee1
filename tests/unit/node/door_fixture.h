/* A member's door and its cluster of one, over the real transport: a node stands for the member, a thread for its engine. */
#ifndef HM_TEST_DOOR_FIXTURE_H
#define HM_TEST_DOOR_FIXTURE_H

#include "node_fixture.h"

#include "node_door.h"

#define HOUR_MS   UINT64_C(3600000)
#define UNITS     UINT64_C(1000000000)
#define ASK_MS    10000
#define ENGINE_ID "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}"

struct door_place {
    struct node_fixture *fixture;
    char folder[64]; /* what newcomers make lies in it */
    char door[32];
    char rpc[96];
    struct node_cluster cluster;
    struct crypto_ed25519_key member;
    uint8_t genesis_hash[CRYPTO_HASH_BYTES];
    struct hm_error error;
    /* the engine's stand-in */
    pthread_t engine;
    int engine_fd;
    char asked[1024];
};

enum ticket_flaw { FLAW_NONE, FLAW_SECRET, FLAW_CHAIN, FLAW_ISSUER, FLAW_EXPIRED };

int door_place_setup(void **state);
int door_place_teardown(void **state);
/* Issues a funded validator's ticket of this number, with a flaw. The caller frees it. */
char *door_place_ticket(struct door_place *place, uint8_t number, enum ticket_flaw flaw);
/* Joins with a folder of this name; what was wrong is in place->error. */
int door_place_join(struct door_place *place, const char *name, const char *ticket,
                    struct hm_arena *arena, struct node_join_result *out);
bool door_place_has(struct door_place *place, const char *name);
uint64_t door_place_hyper(struct door_place *place, const uint8_t id[WIRE_ID_BYTES]);
/* Puts another word into a newcomer's mark: as after a loss of the last answer. */
void door_place_mark(struct door_place *place, const char *name, const char *word);
struct node_knock *door_place_knock(struct door_place *place, const struct crypto_ed25519_key *own);

#endif
