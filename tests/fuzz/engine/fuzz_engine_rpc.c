/* Any bytes as what the engine's RPC sends: an HTTP answer, and in it a header, a commit, validators, a round. What is whole must be
 * so with the same bytes only; what is taken must be packed and read again. */
#include <stdlib.h>

#include "engine_remote.h"
#include "engine_rounds.h"
#include "json.h"
#include "wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void pack_again(const ProtobufCMessage *message, struct hm_arena *arena)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    ProtobufCMessage *again;

    require(wire_pack(message, &bytes) == 0);
    int rc = wire_unpack(message->descriptor, hm_buf_slice(&bytes), bytes.len, arena, &again, NULL);
    require(rc == 0 || rc == HM_EPARSE); /* text that is not UTF-8 may come from JSON's escapes */
}

static void read_round(const json_t *root)
{
    static struct engine_rounds_state round;
    struct hm_error error = {0};

    if (engine_rounds_read(root, &round, &error) != 0) {
        require(error.text[0] != '\0');
        return;
    }
    require(round.height > 0 && round.step > 0 && round.step <= ENGINE_ROUNDS_COMMIT);
    require(round.count > 0 && round.count <= ENGINE_ROUNDS_VALIDATORS_MAX);
    require(round.prevoted <= round.count && round.precommitted <= round.count);
}

static void read_json(struct hm_slice text)
{
    HM_CLEANUP(hm_arena) struct hm_arena arena;
    HM_CLEANUP(json) json_t *root = NULL;
    Hypermesh__Abci__SimpleValidator *validators[8];
    Hypermesh__Abci__SignedHeader *header;
    struct hm_error error = {0};
    size_t count, total;

    hm_arena_init(&arena, 0);
    if (json_read(text, ENGINE_RPC_DEPTH_MAX, "the input", &root, NULL) != 0)
        return;
    read_round(root);
    if (engine_light_header(root, &arena, &header, &error) == 0) {
        require(header->header->height > 0);
        pack_again(&header->base, &arena);
    } else {
        require(error.text[0] != '\0');
    }
    if (engine_light_validators(root, &arena, validators, HM_COUNT_OF(validators), &count, &total,
                                NULL) != 0)
        return;
    require(count <= HM_COUNT_OF(validators) && total > 0);
    for (size_t i = 0; i < count; i++)
        pack_again(&validators[i]->base, &arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    HM_CLEANUP(hm_buf) struct hm_buf body = {0};
    HM_CLEANUP(hm_buf) struct hm_buf again = {0};
    struct engine_http_answer answer, shorter;
    struct hm_error error = {0};

    read_json(hm_slice_of(data, size));
    int rc = engine_http_parse(hm_slice_of(data, size), &answer, &body, &error);
    if (rc < 0) {
        require(error.text[0] != '\0');
        return 0;
    }
    if (rc == 0)
        return 0;
    require(answer.bytes <= size && answer.bytes > 0);
    require(engine_http_parse(hm_slice_of(data, answer.bytes - 1), &shorter, &again, NULL) <= 0);
    require(engine_http_parse(hm_slice_of(data, answer.bytes), &shorter, &again, NULL) == 1);
    require(hm_slice_equal(hm_buf_slice(&body), hm_buf_slice(&again)));
    read_json(hm_buf_slice(&body));
    return 0;
}
