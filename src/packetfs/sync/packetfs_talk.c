#include "sync/packetfs_talk.h"

#define TALK_SLICE_MS   200 /* how often a wait looks whether to stop */
#define TALK_READ_BYTES ((size_t)65536)

void packetfs_talk_init(struct packetfs_talk *talk, struct packetfs_channel channel,
                        int patience_ms)
{
    *talk = (struct packetfs_talk){.channel = channel, .patience_ms = patience_ms};
}

void packetfs_talk_release(struct packetfs_talk *talk)
{
    hm_buf_release(&talk->in);
    hm_buf_release(&talk->out);
}

static bool talk_stopped(struct packetfs_talk *talk)
{
    return talk->stopped != NULL && talk->stopped(talk->stopped_ctx);
}

static int talk_broke(const struct packetfs_talk *talk, int64_t code, struct hm_error *error)
{
    const char *reason = talk->channel.reason != NULL ? talk->channel.reason(talk->channel.ctx)
                                                      : NULL;

    switch (code) {
    case 0:
        return hm_fail(error, HM_EUNAVAILABLE, "the peer hung up; what arrived is kept: try again");
    case HM_ETIMEOUT:
        return hm_fail(error, HM_ETIMEOUT,
                       "the peer is silent: nothing came for as long as was waited");
    case HM_EAUTH:
        return hm_fail(error, HM_EAUTH, "the peer does not have this volume's key");
    case HM_ENOMEM:
        return hm_fail(error, HM_ENOMEM, "no memory for what the peer sends");
    default:
        return hm_fail(error, HM_EUNAVAILABLE,
                       "the connection broke off%s%s; what arrived is kept: try again",
                       reason != NULL ? ": " : "", reason != NULL ? reason : "");
    }
}

int packetfs_talk_flush(struct packetfs_talk *talk, struct hm_error *error)
{
    int64_t sent;

    if (talk->out.len == 0)
        return 0;
    sent = talk->channel.write(talk->channel.ctx, talk->out.data, talk->out.len, talk->patience_ms);
    hm_buf_clear(&talk->out);
    talk->said = true;
    return sent < 0 ? talk_broke(talk, sent, error) : 0;
}

int packetfs_talk_send(struct packetfs_talk *talk, enum packetfs_wire_type type,
                       struct hm_slice body, struct hm_error *error)
{
    int rc = packetfs_wire_frame(type, body, &talk->out);

    if (rc != 0)
        return hm_fail(error, rc, "a message of %zu bytes cannot be sent", body.len);
    return talk->out.len >= PACKETFS_TALK_SEND_BYTES ? packetfs_talk_flush(talk, error) : 0;
}

/* More bytes into in; what was taken makes room. */
static int talk_read(struct packetfs_talk *talk, struct hm_error *error)
{
    int waited = 0;
    int64_t got;

    if (talk->in_at > 0) {
        memmove(talk->in.data, talk->in.data + talk->in_at, talk->in.len - talk->in_at);
        talk->in.len -= talk->in_at;
        talk->in_at = 0;
    }
    if (hm_buf_reserve(&talk->in, TALK_READ_BYTES) != 0)
        return talk_broke(talk, HM_ENOMEM, error);
    do {
        if (talk_stopped(talk))
            return hm_fail(error, HM_ECANCELLED, "stopped");
        got = talk->channel.read(talk->channel.ctx, talk->in.data + talk->in.len,
                                 talk->in.cap - talk->in.len, TALK_SLICE_MS);
        waited += TALK_SLICE_MS;
    } while (got == HM_ETIMEOUT && waited < talk->patience_ms);
    if (got <= 0)
        return talk_broke(talk, got, error);
    talk->in.len += (size_t)got;
    return 0;
}

int packetfs_talk_receive(struct packetfs_talk *talk, enum packetfs_wire_type *type,
                          struct hm_slice *body, struct hm_error *error)
{
    int rc = packetfs_talk_flush(talk, error);

    while (rc == 0) {
        struct hm_slice rest = hm_buf_slice(&talk->in);

        if (talk->in_at > 0)
            rest = hm_slice_of(rest.data + talk->in_at, rest.len - talk->in_at);
        rc = packetfs_wire_frame_take(&rest, type, body, error);
        if (rc == 0) {
            talk->in_at = talk->in.len - rest.len;
            break;
        }
        if (rc < 0)
            break;
        if (talk->said) {
            talk->said = false;
            talk->round_trips++;
        }
        rc = talk_read(talk, error);
    }
    if (rc == 0 && *type == PACKETFS_WIRE_FAIL) {
        talk->peer_failed = true;
        return packetfs_wire_fail_read(*body, error);
    }
    return rc;
}

int packetfs_talk_expect(struct packetfs_talk *talk, enum packetfs_wire_type type,
                         struct hm_slice *body, struct hm_error *error)
{
    enum packetfs_wire_type came;
    struct hm_slice found;
    int rc = packetfs_talk_receive(talk, &came, &found, error);

    if (rc == 0 && came != type)
        rc = hm_fail(error, HM_EPARSE, "the peer sent message %d where %d belongs", (int)came,
                     (int)type);
    if (rc == 0)
        *body = found;
    return rc;
}

void packetfs_talk_fail(struct packetfs_talk *talk, const struct hm_error *why)
{
    HM_CLEANUP(hm_buf) struct hm_buf body = {0};

    if (talk->peer_failed)
        return;
    hm_buf_clear(&talk->out);
    talk->patience_ms = TALK_SLICE_MS;
    if (packetfs_wire_fail_write(why->code, why->text, &body) == 0 &&
        packetfs_talk_send(talk, PACKETFS_WIRE_FAIL, hm_buf_slice(&body), NULL) == 0)
        (void)packetfs_talk_flush(talk, NULL);
}
