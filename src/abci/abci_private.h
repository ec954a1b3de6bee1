/* Inside of abci, without sockets: frames, reading a request, answering it. */
#ifndef HM_ABCI_PRIVATE_H
#define HM_ABCI_PRIVATE_H

#include "abci.h"
#include "base.h"

#define ABCI_FRAME_HEADER_MAX_BYTES 10
/* What one request and its answer may take beside the bytes that came: lists, votes, what the application adds. */
#define ABCI_ARENA_MAX_BYTES ((size_t)512 << 20)

/* The frame at the start of bytes, a varint and as many bytes. 1: whole, *message borrows from bytes, the next frame
 * follows it; 0: more is needed; HM_EPARSE, HM_ELIMIT. */
int abci_frame_parse(struct hm_slice bytes, struct hm_slice *message, struct hm_error *error);
/* The header of a message of that size; returns its length. */
size_t abci_frame_header(size_t message_bytes, uint8_t out[ABCI_FRAME_HEADER_MAX_BYTES]);

/* Reads a message whose bytes fields borrow from `bytes`, as abci.h says of requests; unlike protobuf-c's own unpacking
 * it copies no transaction. HM_EPARSE: malformed, or a field given twice that has one value; HM_ELIMIT; HM_ENOMEM. */
int abci_read(const ProtobufCMessageDescriptor *descriptor, struct hm_slice bytes,
              struct hm_arena *arena, ProtobufCMessage **out, struct hm_error *error);

/* Makes the call of one request. The answer is in the arena. `note`: what is to be logged though there is an answer. `used`
 * gets the bit of the group that was called. Negative: the connection ends; *fatal then says that `failed` is to know. */
struct abci_call_result {
    Hypermesh__Abci__Response answer;
    struct hm_error note;
    unsigned used;
    bool fatal;
};
int abci_call(const struct abci_handlers *handlers, const struct abci_core_hooks *hooks,
              const Hypermesh__Abci__Request *request, struct hm_arena *arena,
              struct abci_call_result *result, struct hm_error *error);

/* HM_EINVAL: the name of the first handler that must be there and is not. */
int abci_handlers_check(const struct abci_handlers *handlers, struct hm_error *error);

/* Parts of abci_answer_check. params may be NULL. HM_EINTERNAL. */
int abci_params_check(const Hypermesh__Abci__ConsensusParams *params, struct hm_error *error);
/* What abci_updates_check can say without knowing the set: keys, powers, none twice. HM_EINVAL, HM_ENOMEM. */
int abci_updates_form(Hypermesh__Abci__ValidatorUpdate *const *updates, size_t count,
                      struct hm_error *error);

#endif
