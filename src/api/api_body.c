#include "api_body.h"

#define BODY_FIRST_BYTES ((size_t)4 << 10)

/* As hm_buf_reserve, which may leave the old bytes where they were. */
static int grow(struct hm_buf *body, size_t extra)
{
    size_t room = body->cap * 2 > BODY_FIRST_BYTES ? body->cap * 2 : BODY_FIRST_BYTES;
    struct hm_buf larger = {0};
    int rc = hm_buf_reserve(&larger, room > body->len + extra ? room : body->len + extra);

    if (rc == 0 && body->len > 0)
        rc = hm_buf_append(&larger, body->data, body->len);
    if (rc) {
        api_body_release(&larger);
        return rc;
    }
    api_body_release(body);
    *body = larger;
    return 0;
}

int api_body_append(struct hm_buf *body, const void *data, size_t len)
{
    int rc = 0;

    if (len > SIZE_MAX / 4 - body->len)
        return HM_ENOMEM;
    if (body->len + len >= body->cap) /* one byte stays free for hm_buf_cstr */
        rc = grow(body, len + 1);
    return rc ? rc : hm_buf_append(body, data, len);
}

void api_body_release(struct hm_buf *body)
{
    if (body->data)
        hm_wipe(body->data, body->len);
    hm_buf_release(body);
}
