/* Any bytes as a job specification: refused with a sentence, or taken, and then its JSON parses back to
 * an equal spec. */
#include <stdlib.h>

#include "wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int holds)
{
    if (!holds)
        abort();
}

static void check_round_trip(const Hypermesh__JobSpec *spec)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    HM_CLEANUP(hm_buf) struct hm_buf json = {0};
    HM_CLEANUP(hm_buf) struct hm_buf packed = {0};
    HM_CLEANUP(hm_buf) struct hm_buf again_packed = {0};
    Hypermesh__JobSpec *again = NULL;
    Hypermesh__JobSpec *unpacked = NULL;
    int rc = wire_job_spec_json(spec, &json);

    if (rc == HM_ELIMIT) /* escapes made it longer than a spec may be */
        return;
    require(rc == 0);
    require(wire_job_spec_parse(hm_buf_slice(&json), "json", &arena, &again, NULL) == 0);
    require(wire_pack(&spec->base, &packed) == 0);
    require(wire_pack(&again->base, &again_packed) == 0);
    require(hm_slice_equal(hm_buf_slice(&packed), hm_buf_slice(&again_packed)));
    require(WIRE_UNPACK(hypermesh__job_spec, hm_buf_slice(&packed), packed.len, &arena, &unpacked,
                        NULL) == 0);
    require(wire_job_spec_check(unpacked, NULL) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena = {0};
    Hypermesh__JobSpec *spec = NULL;
    struct hm_error error = {0};
    int rc;

    hm_arena_init(&arena, (size_t)8 << 20);
    rc = wire_job_spec_parse(hm_slice_of(data, size), "fuzz", &arena, &spec, &error);
    if (rc) {
        require(!spec && error.code == rc && strncmp(error.text, "fuzz:", 5) == 0);
        require(!strpbrk(error.text, "\n\r\x1b"));
    } else {
        require(wire_job_spec_check(spec, NULL) == 0);
        check_round_trip(spec);
    }
    return 0;
}
