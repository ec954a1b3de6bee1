/* A session as somebody kept it for us: stoq_session_parse. What parses is packed again to the same bytes. */
#include <stdlib.h>

#include "stoq_tls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stoq_session session;
    uint8_t *packed;
    size_t len;

    if (stoq_session_parse((struct stoq_bytes){data, size}, &session) != 0)
        return 0;
    if (stoq_session_pack(&session, &packed, &len) != 0)
        return 0;
    if (len != size || memcmp(packed, data, len) != 0)
        abort();
    hm_free(packed);
    return 0;
}
