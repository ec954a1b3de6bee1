/* A scripted application, and the engine's side of the wire. */
#ifndef HM_TEST_ABCI_WORLD_H
#define HM_TEST_ABCI_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "abci_private.h"
#include "wire.h"

#define WORLD_KINDS 21 /* request numbers go up to 20 */

/* Counts what it was asked, and answers as told. */
struct world {
    struct hm_buf calls; /* names of the handlers called, a blank behind each */
    int fail[WORLD_KINDS]; /* what the handler of the request with this number returns */
    bool silent; /* ... without a sentence */
    /* Changes an answer (Hypermesh__Abci__Response...) to the request with this number. NULL: nothing. */
    void (*edit)(struct world *world, unsigned number, void *answer, struct hm_arena *arena);
    /* Looks at a request. NULL: nothing. */
    void (*look)(struct world *world, unsigned number, const void *request);
    unsigned gone;
    unsigned failed;
    struct hm_error failure;
    unsigned logged;
    struct hm_error log;
    unsigned seen; /* for look and edit */
};

extern const char *const world_names[WORLD_KINDS]; /* "info" ...; NULL: no such request */
void world_release(struct world *world);
/* All handlers, acting on world. */
struct abci_handlers world_handlers(struct world *world);
/* Only those that must be there. */
struct abci_handlers world_few_handlers(struct world *world);
struct abci_core_hooks world_hooks(struct world *world); /* log alone */
const char *world_calls(struct world *world);

/* A frame with that message. */
void wire_frame(const ProtobufCMessage *message, struct hm_buf *out);
/* One with the request that has this number in the oneof and nothing in it. */
void wire_empty_request(unsigned number, struct hm_buf *out);
/* Takes one answer off *bytes; NULL: none is whole. */
const Hypermesh__Abci__Response *wire_answer(struct hm_slice *bytes, struct hm_arena *arena);
/* A file of tests/unit/abci/recorded: what CometBFT v0.38.25 sent on one connection. */
void recorded_read(const char *name, struct hm_buf *out);
extern const char *const recorded_names[];
#define RECORDED_COUNT 5

#endif
