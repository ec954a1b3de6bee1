/* Each message's decoder; what it takes must be what the encoder writes. The first byte picks the message. */
#include <stdlib.h>

#include "sync/packetfs_wire.h"

static void same(const struct hm_buf *written, struct hm_slice body)
{
    if (!hm_slice_equal(hm_buf_slice(written), body))
        abort();
}

static void try_ids(struct hm_slice body)
{
    struct packetfs_wire_part part = {.depth = 1, .prefix = {0x30}};
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct packetfs_wire_ids ids;
    struct hm_slice rest = body;

    if (packetfs_wire_ids_take(&rest, &part, &ids, NULL) != 0)
        return;
    if (packetfs_wire_ids_write(&ids, &out) != 0)
        abort();
    same(&out, hm_slice_of(body.data, body.len - rest.len));
}

static void try_object(struct hm_slice body)
{
    static struct packetfs_wire_packer *packer;
    static uint8_t base[4096];
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct packetfs_wire_object object;

    if (packer == NULL) {
        for (size_t i = 0; i < sizeof(base); i++)
            base[i] = (uint8_t)(i * i >> 3);
        if (packetfs_wire_packer_new(1, &packer, NULL) != 0)
            abort();
    }
    if (packetfs_wire_object_read(body, &object, NULL) != 0)
        return;
    if (packetfs_wire_unpack(packer, &object, hm_slice_of(base, sizeof(base)), &out, NULL) == 0 &&
        out.len != object.plain_len)
        abort();
}

static void try_frames(struct hm_slice in)
{
    enum packetfs_wire_type type;
    struct hm_slice body;
    struct hm_slice before = in;

    while (packetfs_wire_frame_take(&in, &type, &body, NULL) == 0) {
        HM_CLEANUP(hm_buf) struct hm_buf out = {0};

        if (packetfs_wire_frame(type, body, &out) != 0)
            abort();
        same(&out, hm_slice_of(before.data, before.len - in.len));
        before = in;
    }
}

static int try_small(enum packetfs_wire_type type, struct hm_slice body, struct hm_buf *out)
{
    struct packetfs_wire_hello hello;
    static struct packetfs_wire_ask ask;
    static struct packetfs_wire_fetch fetch;
    static struct packetfs_wire_get get;
    struct packetfs_wire_done done;

    switch (type) {
    case PACKETFS_WIRE_HELLO:
        return packetfs_wire_hello_read(body, &hello, NULL) != 0
                   ? 1
                   : packetfs_wire_hello_write(&hello, out);
    case PACKETFS_WIRE_ASK:
        return packetfs_wire_ask_read(body, &ask, NULL) != 0 ? 1
                                                             : packetfs_wire_ask_write(&ask, out);
    case PACKETFS_WIRE_FETCH:
        return packetfs_wire_fetch_read(body, &fetch, NULL) != 0
                   ? 1
                   : packetfs_wire_fetch_write(&fetch, out);
    case PACKETFS_WIRE_GET:
        return packetfs_wire_get_read(body, &get, NULL) != 0 ? 1
                                                             : packetfs_wire_get_write(&get, out);
    case PACKETFS_WIRE_DONE:
        return packetfs_wire_done_read(body, &done, NULL) != 0
                   ? 1
                   : packetfs_wire_done_write(&done, out);
    default:
        return 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    HM_CLEANUP(hm_buf) struct hm_buf out = {0};
    struct hm_error error = {0};
    struct hm_slice body;

    if (size == 0)
        return 0;
    body = hm_slice_of(data + 1, size - 1);
    switch (data[0]) {
    case 0:
        try_frames(body);
        break;
    case PACKETFS_WIRE_IDS:
        try_ids(body);
        break;
    case PACKETFS_WIRE_OBJECT:
        try_object(body);
        break;
    case PACKETFS_WIRE_FAIL:
        if (packetfs_wire_fail_read(body, &error) >= 0 || error.text[0] == '\0')
            abort();
        break;
    default:
        if (try_small((enum packetfs_wire_type)data[0], body, &out) == 0)
            same(&out, body);
    }
    return 0;
}
