/* The applications of the simulation: see stoq_check.h. stoq_check_end.c looks at the outcome. */
#include <stdarg.h>
#include <stdlib.h>

#include "base.h"
#include "stoq_check.h"
#include "stoq_check_parts.h"

#define TAG_FIXED_BYTES 8 /* magic, pair, flow */
#define TAG_MAGIC       0x53u

/* A buffer that was given without a copy. */
struct check_piece {
    struct check_piece *next;
    struct check_flow *flow;
    unsigned way;
    uint64_t end; /* offset after it */
    size_t len;
    unsigned released;
    bool early; /* released before the other end had it */
    uint64_t released_ns;
    uint8_t *data;
};

void check_init(struct check *check, struct stoq_net *net, uint64_t seed)
{
    memset(check, 0, sizeof *check);
    check->net = net;
    check->key = seed * 0x9e3779b97f4a7c15ULL + 1;
}

void check_fail(struct check *check, const char *format, ...)
{
    va_list arguments;

    if (check->why[0] != '\0')
        return;
    va_start(arguments, format);
    (void)vsnprintf(check->why, sizeof check->why, format, arguments);
    va_end(arguments);
}

bool check_failed(const struct check *check)
{
    return check->why[0] != '\0';
}

static void *must(void *memory)
{
    if (memory == NULL)
        abort();
    return memory;
}

/* --- Contents ------------------------------------------------------------------------------------------------------ */

static uint64_t word(const struct check_flow *flow, unsigned way, uint64_t index)
{
    uint64_t x = flow->check->key ^ ((uint64_t)flow->number << 33) ^ ((uint64_t)way << 32);

    x += index * 0x9e3779b97f4a7c15ULL;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    return x ^ (x >> 29);
}

static uint8_t content(const struct check_flow *flow, unsigned way, uint64_t offset)
{
    return (uint8_t)(word(flow, way, offset / 8) >> (8 * (offset % 8)));
}

static void fill(const struct check_flow *flow, unsigned way, uint64_t offset, uint8_t *out,
                 size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[i] = content(flow, way, offset + i);
}

static void compare(struct check_flow *flow, unsigned way, uint64_t offset, const uint8_t *data,
                    size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (data[i] != content(flow, way, offset + i)) {
            check_fail(flow->check, "flow %u way %u: byte %llu is wrong", flow->number, way,
                       (unsigned long long)(offset + i));
            return;
        }
}

static size_t write_tag(const struct check_flow *flow, uint8_t out[STOQ_TAG_BYTES_MAX])
{
    out[0] = TAG_MAGIC;
    out[1] = (uint8_t)flow->pair->number;
    hm_put_be32(out + 2, flow->number);
    out[6] = flow->denied;
    out[7] = (uint8_t)flow->opener;
    for (size_t i = TAG_FIXED_BYTES; i < flow->tag_len; i++)
        out[i] = (uint8_t)(flow->number + i);
    return flow->tag_len;
}

static struct check_flow *read_tag(struct check *check, struct stoq_bytes tag)
{
    uint8_t expected[STOQ_TAG_BYTES_MAX];
    struct check_flow *flow;
    uint32_t number;

    if (tag.len < TAG_FIXED_BYTES || tag.data[0] != TAG_MAGIC)
        return NULL;
    number = hm_get_be32(tag.data + 2);
    if (number >= check->flow_count)
        return NULL;
    flow = &check->flows[number];
    if (write_tag(flow, expected) != tag.len || memcmp(expected, tag.data, tag.len) != 0)
        return NULL;
    return flow;
}

/* --- Sending ------------------------------------------------------------------------------------------------------- */

static void piece_release(void *cookie)
{
    struct check_piece *piece = cookie;
    struct check_flow *flow = piece->flow;
    const struct check_way *way = &flow->way[piece->way];

    if (piece->released++ > 0) {
        check_fail(flow->check, "flow %u: a buffer was released twice", flow->number);
        return;
    }
    piece->released_ns = stoq_net_now(flow->check->net);
    piece->early = way->offered < piece->end && !way->slow && !way->reset_sent && !way->stop_seen &&
                   !way->stop_sent && !flow->denied;
    memset(piece->data, 0xdd, piece->len); /* sent after its release, it would be noticed */
    free(piece->data);
    piece->data = NULL;
}

/* Gives one piece more. False: no room, or the stream is over. */
static bool send_piece(struct check_flow *flow, unsigned end, unsigned number, size_t len, bool fin)
{
    struct check_way *way = &flow->way[number];
    uint8_t *data = must(malloc(len > 0 ? len : 1));
    int64_t taken;

    fill(flow, number, way->sent, data, len);
    if (way->hold && len > 0) {
        struct check_piece *piece = must(calloc(1, sizeof *piece));
        int code;
        *piece = (struct check_piece){.next = flow->check->pieces,
                                      .flow = flow,
                                      .way = number,
                                      .end = way->sent + len,
                                      .len = len,
                                      .data = data};
        code = stoq_stream_write(flow->stream[end], data, len, fin, piece_release, piece);
        if (code != 0) {
            free(data);
            free(piece);
            if (code != STOQ_EBUSY && code != STOQ_ECLOSED)
                check_fail(flow->check, "flow %u: write says %d", flow->number, code);
            return false;
        }
        flow->check->pieces = piece;
        taken = (int64_t)len;
    } else {
        taken = stoq_stream_send(flow->stream[end], data, len, fin);
        memset(data, 0xee, len);
        free(data);
        if (taken < 0) {
            if (taken != STOQ_ECLOSED)
                check_fail(flow->check, "flow %u: send says %lld", flow->number, (long long)taken);
            return false;
        }
    }
    way->sent += (uint64_t)taken;
    flow->check->totals.bytes += (uint64_t)taken;
    if ((size_t)taken == len && fin)
        way->fin_sent = true;
    return (size_t)taken == len && !way->fin_sent;
}

/* The direction that this end of the flow sends, or -1. */
static int sends(const struct check_flow *flow, unsigned end)
{
    if (end == flow->opener)
        return 0;
    return flow->bidirectional ? 1 : -1;
}

static int receives(const struct check_flow *flow, unsigned end)
{
    if (end != flow->opener)
        return 0;
    return flow->bidirectional ? 1 : -1;
}

static void pump(struct check_flow *flow, unsigned end)
{
    int number = sends(flow, end);
    struct check_way *way;

    if (number < 0)
        return;
    way = &flow->way[number];
    while (flow->stream[end] != NULL && !way->fin_sent && !way->reset_sent && !way->stop_seen) {
        uint64_t left = way->planned - way->sent;
        size_t len = 1 + (size_t)stoq_net_below(flow->check->net, CHECK_PIECE_BYTES);
        if (way->sent >= way->reset_at) {
            way->reset_sent = true;
            way->reset_code = 1000 + flow->number;
            flow->check->totals.resets++;
            stoq_stream_reset(flow->stream[end], way->reset_code);
            return;
        }
        len = len < left ? len : (size_t)left;
        if (way->reset_at != CHECK_NEVER && way->sent + len > way->reset_at)
            len = (size_t)(way->reset_at - way->sent);
        if (!send_piece(flow, end, (unsigned)number, len,
                        way->sent + len == way->planned && way->reset_at == CHECK_NEVER))
            return;
    }
}

/* --- Receiving ----------------------------------------------------------------------------------------------------- */

static void saw_fin(struct check_flow *flow, unsigned number)
{
    struct check_way *way = &flow->way[number];

    if (way->fin_seen)
        check_fail(flow->check, "flow %u way %u: its end came twice", flow->number, number);
    way->fin_seen = true;
    if (way->taken != way->planned || !way->fin_sent)
        check_fail(flow->check, "flow %u way %u: ended at %llu of %llu", flow->number, number,
                   (unsigned long long)way->taken, (unsigned long long)way->planned);
}

/* The last bytes; others on the connection wait for their credit too. */
static void took_last(struct check_flow *flow, unsigned number, size_t len)
{
    struct check_way *way = &flow->way[number];

    way->taken += len;
    if (flow->check->manual_credit)
        way->owed += len;
    saw_fin(flow, number);
}

/* Credit for what was taken, and STOP_SENDING where it is planned. */
static void took(struct check_flow *flow, unsigned end, unsigned number, size_t len)
{
    struct check_way *way = &flow->way[number];

    way->taken += len;
    if (way->offered < way->taken)
        way->offered = way->taken;
    if (flow->check->manual_credit) /* inside `received` what it takes is not taken yet: later */
        way->owed += len;
    if (way->taken >= way->stop_at && !way->stop_sent && !way->fin_seen && !way->reset_seen &&
        flow->stream[end] != NULL) {
        way->stop_sent = true;
        way->stop_code = 2000 + flow->number;
        flow->check->totals.stops++;
        stoq_stream_stop(flow->stream[end], way->stop_code);
    }
}

static void read_later(struct check_flow *flow, unsigned end);

static void read_now(void *arg)
{
    const struct check_later *later = arg;
    struct check_flow *flow = later->flow;
    unsigned end = later->end, number = (unsigned)receives(flow, end);
    struct check_way *way = &flow->way[number];
    uint8_t buffer[8192];

    way->timer = false;
    if (way->owed > 0 && flow->stream[end] != NULL) {
        stoq_stream_credit(flow->stream[end], way->owed);
        way->owed = 0;
    }
    while (flow->stream[end] != NULL && !way->fin_seen && !way->stop_sent && !way->reset_seen) {
        bool fin = false;
        size_t want = 1 + (size_t)stoq_net_below(flow->check->net, sizeof buffer);
        size_t len = stoq_stream_read(flow->stream[end], buffer, want, &fin);
        compare(flow, number, way->taken, buffer, len);
        way->waiting = len == want && !fin;
        if (fin)
            took_last(flow, number, len);
        else
            took(flow, end, number, len);
        if (fin || len < want)
            break;
        if (stoq_net_below(flow->check->net, 4) == 0) {
            read_later(flow, end);
            return;
        }
    }
    if (way->owed > 0 && flow->stream[end] != NULL)
        read_later(flow, end);
}

static void read_later(struct check_flow *flow, unsigned end)
{
    struct check_way *way = &flow->way[receives(flow, end)];

    if (way->timer)
        return;
    way->timer = true;
    flow->later[end] = (struct check_later){.flow = flow, .end = end};
    stoq_net_at(flow->check->net,
                stoq_net_now(flow->check->net) + stoq_net_below(flow->check->net, 50000000),
                read_now, &flow->later[end]);
}

static struct check_flow *live(struct check_end *end, struct stoq_stream *stream, const char *what)
{
    struct check_flow *flow = stoq_stream_user(stream);

    if (end->closed)
        check_fail(end->check, "%s after closed", what);
    if (flow == NULL) {
        check_fail(end->check, "%s for a stream that nobody opened", what);
    } else if (flow->stream[end->end] != stream || flow->closed[end->end]) {
        check_fail(end->check, "flow %u: %s for another stream, or after its end", flow->number,
                   what);
        return NULL;
    }
    return flow;
}

static size_t on_received(void *ctx, struct stoq_stream *stream, const uint8_t *data, size_t len,
                          bool fin)
{
    struct check_end *end = check_end_of(ctx, stoq_stream_conn(stream));
    struct check_flow *flow = live(end, stream, "received");
    struct check_way *way;
    int number;
    size_t take = len;

    if (flow == NULL)
        return len;
    number = receives(flow, end->end);
    if (number < 0 || flow->denied || flow->way[number].fin_seen || flow->way[number].reset_seen ||
        flow->way[number].stop_sent) {
        check_fail(end->check, "flow %u: bytes that must not come", flow->number);
        return len;
    }
    way = &flow->way[number];
    if (way->waiting) { /* what waits comes first: by stoq_stream_read */
        read_later(flow, end->end);
        return 0;
    }
    compare(flow, (unsigned)number, way->taken, data, len);
    way->offered = way->taken + len;
    if (way->slow && len > 0 && stoq_net_below(end->check->net, 3) != 0)
        take = (size_t)stoq_net_below(end->check->net, len + 1);
    if (take < len) {
        way->waiting = true;
        read_later(flow, end->end);
    } else if (end->check->manual_credit) {
        read_later(flow, end->end);
    }
    if (fin && take == len)
        took_last(flow, (unsigned)number, take);
    else
        took(flow, end->end, (unsigned)number, take);
    return take;
}

/* --- Streams come and go ---------------------------------------------------------------------------------------------- */

static void adopt(struct check_end *end, struct check_flow *flow, struct stoq_stream *stream)
{
    flow->stream[end->end] = stream;
    flow->known[end->end] = true;
    end->streams++;
    stoq_stream_set_user(stream, flow);
}

static int on_permit(void *ctx, struct stoq_conn *conn, struct stoq_bytes tag, bool bidirectional)
{
    struct check_end *end = check_end_of(ctx, conn);
    struct check_flow *flow = read_tag(end->check, tag);

    if (flow == NULL || flow->bidirectional != bidirectional || flow->opener == end->end) {
        check_fail(end->check, "a tag that nobody sent");
        return -1;
    }
    if (!check_bind(end, flow->pair))
        return -1;
    if (flow->denied)
        end->check->totals.denied++;
    return flow->denied ? STOQ_EPERM : 0;
}

static void on_stream_opened(void *ctx, struct stoq_stream *stream)
{
    struct check_end *end = check_end_of(ctx, stoq_stream_conn(stream));
    struct check_flow *flow = read_tag(end->check, stoq_stream_tag(stream));

    if (end->closed || flow == NULL || flow->denied || flow->known[end->end]) {
        check_fail(end->check, "a stream opened that must not, or twice");
        return;
    }
    adopt(end, flow, stream);
    pump(flow, end->end);
}

static void on_writable(void *ctx, struct stoq_stream *stream)
{
    struct check_end *end = check_end_of(ctx, stoq_stream_conn(stream));
    struct check_flow *flow = live(end, stream, "writable");

    if (flow != NULL)
        pump(flow, end->end);
}

/* The library itself refuses streams: by their tag, or because they were reset before the tag had come. */
static bool refused_with(const struct check_flow *flow, uint64_t code)
{
    return (flow->denied && code == STOQ_APP_DENIED) ||
           (flow->way[0].reset_sent && !flow->known[1 - flow->opener] &&
            code == STOQ_APP_BAD_PREAMBLE);
}

static void on_stream_reset(void *ctx, struct stoq_stream *stream, uint64_t code)
{
    struct check_end *end = check_end_of(ctx, stoq_stream_conn(stream));
    struct check_flow *flow = live(end, stream, "stream_reset");
    struct check_way *way;
    int number;

    if (flow == NULL)
        return;
    number = receives(flow, end->end);
    if (number < 0) {
        check_fail(end->check, "flow %u: reset of a direction that is not", flow->number);
        return;
    }
    way = &flow->way[number];
    if (way->reset_seen || way->fin_seen)
        check_fail(end->check, "flow %u: reset twice or after the end", flow->number);
    way->reset_seen = true;
    if (!refused_with(flow, code) && !(way->reset_sent && code == way->reset_code) &&
        !way->stop_sent) /* what is stopped may be reset with any code */
        check_fail(end->check, "flow %u: reset with code %llu that nobody gave", flow->number,
                   (unsigned long long)code);
}

static void on_stream_stopped(void *ctx, struct stoq_stream *stream, uint64_t code)
{
    struct check_end *end = check_end_of(ctx, stoq_stream_conn(stream));
    struct check_flow *flow = live(end, stream, "stream_stopped");
    struct check_way *way;
    int number;

    if (flow == NULL)
        return;
    number = sends(flow, end->end);
    if (number < 0) {
        check_fail(end->check, "flow %u: stop of a direction that is not", flow->number);
        return;
    }
    way = &flow->way[number];
    if (way->stop_seen)
        check_fail(end->check, "flow %u: stopped twice", flow->number);
    way->stop_seen = true;
    if (!refused_with(flow, code) && !(way->stop_sent && code == way->stop_code))
        check_fail(end->check, "flow %u: stop with code %llu that nobody gave", flow->number,
                   (unsigned long long)code);
}

static void on_stream_closed(void *ctx, struct stoq_stream *stream)
{
    struct check_end *end = check_end_of(ctx, stoq_stream_conn(stream));
    struct check_flow *flow = live(end, stream, "stream_closed");

    if (flow == NULL)
        return;
    flow->closed[end->end] = true;
    flow->closed_ns[end->end] = stoq_net_now(end->check->net);
    flow->stream[end->end] = NULL;
    end->streams--;
}

void check_open_flows(struct check_pair *pair, unsigned end)
{
    struct check *check = pair->check;
    struct check_end *from = pair->end[end];

    if (from == NULL || from->conn == NULL || from->closing)
        return;
    for (unsigned i = 0; i < check->flow_count; i++) {
        struct check_flow *flow = &check->flows[i];
        uint8_t tag[STOQ_TAG_BYTES_MAX];
        struct stoq_stream_options options = {.unidirectional = !flow->bidirectional,
                                              .priority = flow->priority,
                                              .weight = flow->weight,
                                              .replay_safe = flow->replay_safe,
                                              .tag = {tag, 0},
                                              .user = flow};
        struct stoq_stream *stream;
        int code;
        if (flow->pair != pair || flow->opener != end || flow->opened)
            continue;
        options.tag.len = write_tag(flow, tag);
        code = stoq_conn_open(from->conn, &options, &stream, NULL);
        if (code != 0) {
            if (code != STOQ_EBUSY && code != STOQ_ECLOSED)
                check_fail(check, "flow %u: open says %d", i, code);
            if (code == STOQ_ECLOSED)
                return;
            continue; /* one of the other kind may still go */
        }
        flow->opened = true;
        check->totals.flows++;
        adopt(from, flow, stream);
        pump(flow, end);
    }
}

struct stoq_handlers check_stream_handlers(void)
{
    return (struct stoq_handlers){.permit = on_permit,
                                  .stream_opened = on_stream_opened,
                                  .received = on_received,
                                  .writable = on_writable,
                                  .stream_reset = on_stream_reset,
                                  .stream_stopped = on_stream_stopped,
                                  .stream_closed = on_stream_closed};
}

/* --- Buffers, at the end ------------------------------------------------------------------------------------------------ */

/* A buffer may go before the other end had its bytes only together with its stream or connection. */
void check_pieces(struct check *check)
{
    for (struct check_piece *piece = check->pieces; piece != NULL; piece = piece->next) {
        struct check_flow *flow = piece->flow;
        unsigned sender = piece->way == 0 ? flow->opener : 1 - flow->opener;
        const struct check_end *end = flow->pair->end[sender];
        if (piece->released != 1)
            check_fail(check, "flow %u: a buffer was released %u times", flow->number,
                       piece->released);
        else if (piece->early && flow->closed_ns[sender] != piece->released_ns &&
                 (end == NULL || end->closed_ns != piece->released_ns))
            check_fail(check, "flow %u: a buffer was released before the other end had it",
                       flow->number);
    }
}

void check_pieces_free(struct check *check)
{
    while (check->pieces != NULL) {
        struct check_piece *piece = check->pieces;
        check->pieces = piece->next;
        free(piece->data);
        free(piece);
    }
}
