/* Stored answers, as they are read after a restart. What is taken packs to the same bytes again. */
#include <stdlib.h>

#include "api_idempotency.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct api_remembered untouched = {.status = 77}, answer = untouched;
    HM_CLEANUP(hm_buf) struct hm_buf packed = {0};
    struct hm_error error = {0};

    if (api_remembered_parse(hm_slice_of(data, size), &answer, &error)) {
        require(error.code == HM_ECORRUPT && error.text[0] != '\0');
        require(memcmp(&answer, &untouched, sizeof(answer)) == 0);
        return 0;
    }
    require(answer.body.len <= API_IDEMPOTENCY_ANSWER_MAX_BYTES);
    require(answer.status == 0 || (answer.status >= 200 && answer.status <= 599));
    require(api_remembered_pack(&answer, &packed) == 0);
    require(hm_slice_equal(hm_buf_slice(&packed), hm_slice_of(data, size)));
    return 0;
}
