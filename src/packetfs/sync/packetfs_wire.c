/* Messages: frames, greetings, requests and ends. */
#include "sync/packetfs_wire.h"

#include "crypto.h"
#include "packetfs_varint.h"

/* --- frames ----------------------------------------------------------------------------------------------------------- */

int packetfs_wire_frame(enum packetfs_wire_type type, struct hm_slice body, struct hm_buf *out)
{
    uint8_t head[1 + PACKETFS_VARINT_MAX_BYTES];
    size_t len;

    if (body.len > PACKETFS_WIRE_BODY_MAX_BYTES)
        return HM_ELIMIT;
    head[0] = (uint8_t)type;
    len = 1 + packetfs_varint_write(body.len, head + 1);
    if (hm_buf_reserve(out, len + body.len) != 0 || hm_buf_append(out, head, len) != 0)
        return HM_ENOMEM;
    return body.len > 0 ? hm_buf_append(out, body.data, body.len) : 0;
}

int packetfs_wire_frame_take(struct hm_slice *in, enum packetfs_wire_type *type,
                             struct hm_slice *body, struct hm_error *error)
{
    struct hm_slice rest;
    uint64_t len;

    if (in->len == 0)
        return 1;
    if (in->data[0] < PACKETFS_WIRE_HELLO || in->data[0] > PACKETFS_WIRE_TAKEN)
        return hm_fail(error, HM_EPARSE, "the peer sent a message of unknown type %u", in->data[0]);
    rest = hm_slice_of(in->data + 1, in->len - 1);
    if (!packetfs_varint_take(&rest, &len)) {
        if (rest.len < 4)
            return 1;
        return hm_fail(error, HM_EPARSE, "the peer sent a message whose length is no number");
    }
    if (len > PACKETFS_WIRE_BODY_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "the peer sent a message of %llu bytes, at most %zu go",
                       (unsigned long long)len, PACKETFS_WIRE_BODY_MAX_BYTES);
    if (rest.len < len)
        return 1;
    *type = (enum packetfs_wire_type)in->data[0];
    *body = hm_slice_of(rest.data, (size_t)len);
    *in = hm_slice_of(rest.data + len, rest.len - (size_t)len);
    return 0;
}

/* --- reading parts of a body ------------------------------------------------------------------------------------------ */

static bool take_bytes(struct hm_slice *in, void *out, size_t len)
{
    if (in->len < len)
        return false;
    memcpy(out, in->data, len);
    *in = hm_slice_of(in->data + len, in->len - len);
    return true;
}

static bool take_count(struct hm_slice *in, size_t most, size_t *out)
{
    uint64_t count;

    if (!packetfs_varint_take(in, &count) || count == 0 || count > most)
        return false;
    *out = (size_t)count;
    return true;
}

static int malformed(struct hm_error *error, const char *what)
{
    return hm_fail(error, HM_EPARSE, "the peer's %s follows no format", what);
}

/* --- hello ------------------------------------------------------------------------------------------------------------ */

#define HELLO_NEWEST 1

int packetfs_wire_hello_write(const struct packetfs_wire_hello *hello, struct hm_buf *out)
{
    const uint8_t head[] = {PACKETFS_WIRE_VERSION, (uint8_t)hello->role,
                            hello->newest_only ? HELLO_NEWEST : 0};
    const uint8_t port[] = {(uint8_t)(hello->pattern_port >> 8), (uint8_t)hello->pattern_port,
                            (uint8_t)(hello->bulk_port >> 8), (uint8_t)hello->bulk_port};

    if (hello->label.len > PACKETFS_LABEL_MAX_BYTES)
        return HM_ELIMIT;
    if (hm_buf_append(out, head, sizeof(head)) != 0 ||
        hm_buf_append(out, hello->volume_id, sizeof(hello->volume_id)) != 0 ||
        hm_buf_append(out, hello->replica, sizeof(hello->replica)) != 0 ||
        hm_buf_append(out, hello->session, sizeof(hello->session)) != 0 ||
        hm_buf_append(out, port, sizeof(port)) != 0 ||
        packetfs_varint_append(out, hello->sequence) != 0 ||
        packetfs_varint_append(out, hello->label.len) != 0)
        return HM_ENOMEM;
    return hello->label.len > 0 ? hm_buf_append(out, hello->label.data, hello->label.len) : 0;
}

int packetfs_wire_hello_read(struct hm_slice body, struct packetfs_wire_hello *out,
                             struct hm_error *error)
{
    struct packetfs_wire_hello hello = {0};
    uint8_t head[3];
    uint8_t port[4];
    uint64_t len;

    if (body.len > 0 && body.data[0] != PACKETFS_WIRE_VERSION)
        return hm_fail(error, HM_EUNSUPPORTED,
                       "the peer speaks version %u of packetfs's messages, this is version %d",
                       body.data[0], PACKETFS_WIRE_VERSION);
    if (!take_bytes(&body, head, sizeof(head)) || head[1] > PACKETFS_WIRE_SINK ||
        head[2] > HELLO_NEWEST || !take_bytes(&body, hello.volume_id, sizeof(hello.volume_id)) ||
        !take_bytes(&body, hello.replica, sizeof(hello.replica)) ||
        !take_bytes(&body, hello.session, sizeof(hello.session)) ||
        !take_bytes(&body, port, sizeof(port)) || !packetfs_varint_take(&body, &hello.sequence) ||
        !packetfs_varint_take(&body, &len) || len > PACKETFS_LABEL_MAX_BYTES || len != body.len ||
        (len > 0 && memchr(body.data, '\0', body.len) != NULL))
        return malformed(error, "greeting");
    hello.role = (enum packetfs_wire_role)head[1];
    hello.newest_only = head[2] == HELLO_NEWEST;
    hello.pattern_port = (uint16_t)(port[0] << 8 | port[1]);
    hello.bulk_port = (uint16_t)(port[2] << 8 | port[3]);
    hello.label = body;
    *out = hello;
    return 0;
}

/* --- requests for objects ----------------------------------------------------------------------------------------------- */

int packetfs_wire_get_write(const struct packetfs_wire_get *get, struct hm_buf *out)
{
    if (get->count == 0 || get->count > PACKETFS_WIRE_GET_MAX)
        return HM_ELIMIT;
    if (packetfs_varint_append(out, get->count) != 0)
        return HM_ENOMEM;
    for (size_t i = 0; i < get->count; i++) {
        const struct packetfs_wire_want *want = &get->wants[i];
        const uint8_t flag = want->has_base ? 1 : 0;

        if (hm_buf_append(out, &flag, 1) != 0 ||
            hm_buf_append(out, want->id.bytes, PACKETFS_ID_BYTES) != 0 ||
            (want->has_base && hm_buf_append(out, want->base.bytes, PACKETFS_ID_BYTES) != 0))
            return HM_ENOMEM;
    }
    return 0;
}

int packetfs_wire_get_read(struct hm_slice body, struct packetfs_wire_get *out,
                           struct hm_error *error)
{
    size_t count;

    if (!take_count(&body, PACKETFS_WIRE_GET_MAX, &count))
        return malformed(error, "request for objects");
    for (size_t i = 0; i < count; i++) {
        struct packetfs_wire_want *want = &out->wants[i];
        uint8_t flag;

        memset(want, 0, sizeof(*want));
        if (!take_bytes(&body, &flag, 1) || flag > 1 ||
            !take_bytes(&body, want->id.bytes, PACKETFS_ID_BYTES) ||
            (flag == 1 && !take_bytes(&body, want->base.bytes, PACKETFS_ID_BYTES)))
            return malformed(error, "request for objects");
        want->has_base = flag == 1;
    }
    if (body.len != 0)
        return malformed(error, "request for objects");
    out->count = count;
    return 0;
}

/* --- ends --------------------------------------------------------------------------------------------------------------- */

int packetfs_wire_done_write(const struct packetfs_wire_done *done, struct hm_buf *out)
{
    const uint64_t numbers[] = {done->snapshots, done->references,  done->patterns,
                                done->deltas,    done->plain_bytes, done->round_trips};

    for (size_t i = 0; i < HM_COUNT_OF(numbers); i++)
        if (packetfs_varint_append(out, numbers[i]) != 0)
            return HM_ENOMEM;
    return 0;
}

int packetfs_wire_done_read(struct hm_slice body, struct packetfs_wire_done *out,
                            struct hm_error *error)
{
    struct packetfs_wire_done done;
    uint64_t *const numbers[] = {&done.snapshots, &done.references,  &done.patterns,
                                 &done.deltas,    &done.plain_bytes, &done.round_trips};

    for (size_t i = 0; i < HM_COUNT_OF(numbers); i++)
        if (!packetfs_varint_take(&body, numbers[i]))
            return malformed(error, "last word");
    if (body.len != 0)
        return malformed(error, "last word");
    *out = done;
    return 0;
}

int packetfs_wire_fail_write(int code, const char *text, struct hm_buf *out)
{
    size_t len = strnlen(text, PACKETFS_WIRE_TEXT_MAX_BYTES);

    if (packetfs_varint_append(out, code < 0 ? (uint64_t)-code : 0) != 0)
        return HM_ENOMEM;
    return len > 0 ? hm_buf_append(out, text, len) : 0;
}

int packetfs_wire_fail_read(struct hm_slice body, struct hm_error *error)
{
    char text[PACKETFS_WIRE_TEXT_MAX_BYTES + 1];
    uint64_t number;
    int code;

    if (!packetfs_varint_take(&body, &number) || body.len > PACKETFS_WIRE_TEXT_MAX_BYTES)
        return malformed(error, "refusal");
    code = number > 0 && number <= 23 ? -(int)number : HM_EINTERNAL;
    if (body.len > 0)
        memcpy(text, body.data, body.len);
    text[body.len] = '\0';
    hm_text_clean(text);
    return hm_fail(error, code, "the peer says: %s", text[0] != '\0' ? text : "no reason");
}

/* --- snapshots' files ----------------------------------------------------------------------------------------------------- */

int packetfs_wire_fetch_write(const struct packetfs_wire_fetch *fetch, struct hm_buf *out)
{
    if (fetch->count == 0 || fetch->count > PACKETFS_WIRE_IDS_MAX)
        return HM_ELIMIT;
    if (packetfs_varint_append(out, fetch->count) != 0)
        return HM_ENOMEM;
    return hm_buf_append(out, fetch->ids, fetch->count * PACKETFS_SNAPSHOT_ID_BYTES);
}

int packetfs_wire_fetch_read(struct hm_slice body, struct packetfs_wire_fetch *out,
                             struct hm_error *error)
{
    size_t count;

    if (!take_count(&body, PACKETFS_WIRE_IDS_MAX, &count) ||
        body.len != count * PACKETFS_SNAPSHOT_ID_BYTES)
        return malformed(error, "request for snapshots");
    memcpy(out->ids, body.data, body.len);
    out->count = count;
    return 0;
}
