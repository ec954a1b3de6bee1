/* The engine's RPC as a client: JSON-RPC 2.0 over HTTP/1.1 on its unix socket. Private to this room.
 *
 * One connection, kept open; made anew when it ended (the engine closes idle ones). Bounded: answers, time, depth. */
#ifndef HM_ENGINE_RPC_H
#define HM_ENGINE_RPC_H

#include <jansson.h>

#include "base.h"

#define ENGINE_RPC_ANSWER_MAX_BYTES ((size_t)16 << 20)
#define ENGINE_RPC_HEAD_MAX_BYTES   ((size_t)16 << 10)
#define ENGINE_RPC_DEPTH_MAX        16
#define ENGINE_RPC_PATH_MAX_BYTES   107

/* --- HTTP answers, pure ----------------------------------------------------------------------------------- */
struct engine_http_answer {
    unsigned status;
    bool keep; /* the connection goes on */
    size_t bytes; /* of the whole answer */
};
/* The answer at the start of bytes. 1: whole, its body is appended to body; 0: more is needed; HM_EPARSE; HM_ELIMIT: a head
 * or body over the limits above; HM_ENOMEM. Bodies by Content-Length or chunked (RFC 9112, sections 6 and 7), not until
 * the connection ends. */
int engine_http_parse(struct hm_slice bytes, struct engine_http_answer *out, struct hm_buf *body,
                      struct hm_error *error);

/* --- calls ------------------------------------------------------------------------------------------------- */
struct engine_rpc;
/* Connects with the first call. HM_EINVAL: a path too long for a socket. */
int engine_rpc_new(const char *path, struct engine_rpc **out, struct hm_error *error);
void engine_rpc_free(struct engine_rpc *rpc); /* NULL is fine */
/* The call under way and all to come fail with HM_ECANCELLED. Thread-safe; all else is one thread's. */
void engine_rpc_stop(struct engine_rpc *rpc);

/* params: a JSON object. The result, json_decref'd by the caller. HM_EUNAVAILABLE: nobody listens there, nothing was sent;
 * HM_EIO: the connection broke meanwhile; HM_ETIMEOUT; HM_ECANCELLED; HM_EPARSE, HM_ELIMIT: no answer of an engine; HM_ECONFLICT: the engine says no, in error->text are its
 * words. After a connection that was open already proves dead, the call is made once more. */
int engine_rpc_call(struct engine_rpc *rpc, const char *method, struct hm_slice params,
                    uint64_t timeout_ms, json_t **result, struct hm_error *error);

/* What became of an item handed to the engine's pool. */
enum engine_rpc_fate {
    ENGINE_RPC_TAKEN, /* or was in it already */
    ENGINE_RPC_FULL, /* no room now */
    ENGINE_RPC_REFUSED, /* by the application's CheckTx, or for its size: *code (HM_E*) and error->text */
};
/* broadcast_tx_sync. Negative as engine_rpc_call: then the engine may have it or not. */
int engine_rpc_broadcast(struct engine_rpc *rpc, struct hm_slice item, uint64_t timeout_ms,
                         enum engine_rpc_fate *fate, int *code, struct hm_error *error);

/* --- members of answers; what is missing or of another kind reads as "" and 0 ------------------------------- */
const char *engine_rpc_text(const json_t *object, const char *name);
/* Numbers come as JSON numbers or as decimal text. */
uint64_t engine_rpc_number(const json_t *object, const char *name);

#endif
