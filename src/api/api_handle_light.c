/* GET /light/{height}: a block's header, votes and validators, for who checks them by himself (docs/light.md). */
#include "api_fresh.h"
#include "api_handlers.h"

static int light_height(struct api_call *call, uint64_t *height, struct hm_error *error)
{
    int rc;

    if (strcmp(call->param.text, "latest") == 0) {
        *height = 0;
        return api_record_get(&call->query, "wait_ms")->set
                   ? hm_fail(error, HM_EINVAL, "wait_ms goes with a height: latest is there")
                   : 0;
    }
    rc = hm_u64_parse(call->param.text, height, error);
    if (rc)
        return hm_error_prefix(error, rc, "height (a number, or latest)");
    return *height >= 1 && *height <= INT64_MAX
               ? 0
               : hm_fail(error, HM_ERANGE, "heights begin at 1 and end at 2^63 - 1");
}

int api_handle_light(struct api_call *call, struct hm_error *error)
{
    uint64_t wait_ms = api_number_or(&call->query, "wait_ms", 0);
    Hypermesh__Abci__LightBlock *block = NULL;
    uint64_t height = 0;
    int rc = light_height(call, &height, error);

    if (rc == 0)
        rc = api_fresh_check_wait(wait_ms, error);
    if (rc == 0 && !call->backend->light_block)
        rc = hm_fail(error, HM_EUNSUPPORTED, "this node's blocks are not signed by others");
    if (rc == 0 && wait_ms > 0)
        rc = api_fresh_wait(call, height, wait_ms, true, error);
    if (rc == 0)
        rc = call->backend->light_block(call->backend->ctx, height, &call->arena, &block, error);
    if (rc == 0 && wire_pack(&block->base, &call->response->body) != 0)
        rc = api_no_memory(error);
    /* The newest is another one soon. */
    if (rc == 0 && height > 0)
        api_etag_of(hm_buf_slice(&call->response->body), call->response->etag);
    return rc;
}
