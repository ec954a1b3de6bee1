/* From a request to its answer: find the route, check the caller, parse, ask the node, write. No
 * sockets: the server, the tests and the fuzzer all call api_core_handle. */
#ifndef HM_API_CORE_H
#define HM_API_CORE_H

#include <stdatomic.h>

#include "api.h"
#include "api_auth.h"
#include "api_cluster.h"
#include "api_etag.h"
#include "api_follow.h"
#include "api_idempotency.h"
#include "api_metrics.h"
#include "api_request.h"
#include "api_strangers.h"

#define API_WAITS_MAX           256 /* requests that wait for a job or replay the chain */
#define API_STREAMS_MAX         4096 /* streams open at once */
#define API_WAIT_SLICE_MS       250 /* how soon a waiting thread sees that the server closes */
#define API_ARENA_MAX_BYTES     ((size_t)256 << 20) /* of one request */
#define API_JOB_WAIT_DEFAULT_MS 30000
#define API_JOB_WAIT_MAX_MS     600000

struct api_core {
    const struct api_backend *backend;
    const struct hm_clock *clock;
    uid_t owner; /* who may use the unix socket, beside root */
    char token[API_TOKEN_CHARS + 1]; /* "" without TCP */
    bool open_proofs; /* API_PROVES needs no token */
    const char *kv_account; /* who acts through API_TRANSPORT_KV; borrowed */
    struct hm_buf document; /* openapi.json */
    struct api_metrics metrics;
    struct api_follows follows;
    struct api_things things;
    struct api_idempotency idempotency;
    struct api_strangers strangers;
    struct api_votes_kept votes;
    _Atomic uint64_t etcd_cluster, etcd_member; /* 0: not looked up yet */
    atomic_bool closing; /* streams and waits end */
};

/* backend and clock are borrowed. */
int api_core_init(struct api_core *core, const struct api_backend *backend,
                  const struct hm_clock *clock, struct hm_error *error);
void api_core_release(struct api_core *core);

/* How a request is to be treated. */
enum api_manner {
    API_MANNER_QUICK, /* answered from a snapshot, without waiting for anything: api_core_handle */
    API_MANNER_LATER, /* its act goes on without a thread that waits for it: api_core_begin */
    API_MANNER_WAITS /* api_core_handle, by a thread that may wait */
};
/* Whether it is worth reading the body: route, caller, media type and announced length. False: *response is the
 * refusal. True: *manner is as of api_core_manner. */
bool api_core_admit(struct api_core *core, const struct api_request *request, uint64_t length,
                    struct api_response *response, enum api_manner *manner);
/* Always answers. The caller releases *response. May take as long as the act does. */
void api_core_handle(struct api_core *core, const struct api_request *request,
                     struct api_response *response);
enum api_manner api_core_manner(const struct api_request *request);
struct api_pending;
/* As handle, for those: API_BEGUN with *out, and request, response and later must last until api_core_end, which is
 * to be called when later->done was; API_WAITS: api_core_handle is to be called after all; 0: *response is there. */
int api_core_begin(struct api_core *core, const struct api_request *request,
                   struct api_response *response, struct api_later *later,
                   struct api_pending **out);
/* False: api_core_handle is to be called after all. */
bool api_core_end(struct api_pending *pending);
/* The problem document of a failure (RFC 9457). path may be NULL. */
void api_problem_json(struct json_out *json, unsigned status, int code, const char *sentence,
                      const char *path);
/* Turns *response into one, whatever it was before. */
void api_core_refuse(struct api_response *response, unsigned status, int code, const char *sentence,
                     const char *path);

/* --- what handlers see ------------------------------------------------------------------------ */

enum api_body_kind {
    API_BODY_NONE,
    API_BODY_JSON, /* read by the route's table */
    API_BODY_TREE, /* JSON that the handler reads: it nests */
    API_BODY_LOOSE, /* the same, whatever the Content-Type says */
    API_BODY_JOB,
    API_BODY_BYTES
};

/* Of a route. */
#define API_OPEN     1u /* needs no token */
#define API_QUICK    2u /* reads a snapshot, never waits: the thread that polls the sockets answers */
#define API_TAGGED   4u /* GET of one thing: has an ETag; routes below its pattern take If-Match */
#define API_OF_ASSET 8u /* changes the asset that the body names: takes If-Match too */
#define API_MATCHES  16u /* an act whose handler minds If-Match and If-None-Match itself */
#define API_LEDGER   64u /* GET that reads the ledger: see api_fresh.h */
#define API_PROVES   128u /* shows what its reader checks himself: open where the operator says so */
#define API_LATER \
    32u /* an act whose handler uses api_submit_then and changes nothing that has an ETag */

/* What such a handler returns when its act has begun, or must be waited for. Nothing is written then. */
#define API_BEGUN 1
#define API_WAITS 2

struct api_call;
typedef int (*api_handler)(struct api_call *call, struct hm_error *error);
/* The rest of a handler: rc is what became of the act, *error why, receipt NULL then. Returns as a handler does. */
typedef int (*api_ending)(struct api_call *call, void *ctx, int rc,
                          const struct api_receipt *receipt, struct hm_error *error);

struct api_route {
    const char *method;
    const char *
        pattern; /* "/assets/{asset}/allocate"; at most one parameter, named as its form in api_routes.c */
    const char *id; /* operationId */
    api_handler handle;
    unsigned status; /* of success */
    enum api_body_kind body_kind;
    const struct api_fields *body; /* of API_BODY_JSON */
    const struct api_fields *query; /* NULL: none */
    const struct api_fields *answer; /* JSON answers; NULL: media_type says what */
    const char *media_type; /* of other answers; NULL: application/json */
    const char *summary;
    unsigned flags; /* API_OPEN, ... */
};

struct api_call {
    struct api_core *core;
    const struct api_backend *backend;
    const struct api_request *request;
    const struct api_route *route;
    const char *account; /* whose acts these are when the request names nobody */
    bool stranger; /* who asks has no token, and needs none for this */
    struct api_value param; /* the pattern's parameter */
    struct api_record query; /* fields NULL when the route has none */
    struct api_record body; /* of API_BODY_JSON */
    struct hm_arena arena;
    struct api_response *response;
    struct json_out json; /* writes response->body */
    struct api_later *later; /* NULL: acts are waited for */
    api_ending ending; /* of an act that has begun */
    void *ending_ctx;
};

extern const struct api_route api_routes[];
extern const size_t api_route_count;

/* How a path parameter is parsed, by its name in the pattern. */
enum json_form api_param_form(const char *name, size_t len);

/* Values that may be left out: fallback then. */
uint64_t api_number_or(const struct api_record *record, const char *name, uint64_t fallback);
const char *api_text_or(const struct api_record *record, const char *name, const char *fallback);

/* {"items":[ ... and ], "next": cursor or null}. */
void api_list_open(struct json_out *json);
void api_list_close(struct json_out *json, const char *next);
/* limit of the query, 1 to API_PAGE_MAX. */
int api_query_limit(const struct api_call *call, size_t *limit, struct hm_error *error);

/* Counts a wait in; HM_EBUSY past API_WAITS_MAX. */
int api_wait_begin(struct api_core *core, struct hm_error *error);
void api_wait_end(struct api_core *core);
/* After a turn of a waiting loop that brought nothing: a short sleep if the turn was very short,
 * so that a node which does not let wait (it is stopping) is not asked in a tight loop. */
void api_wait_nap(const struct api_core *core, uint64_t turn_started_ns);

/* GET /openapi.json, appended. */
int api_openapi_write(struct hm_buf *out);

#endif
