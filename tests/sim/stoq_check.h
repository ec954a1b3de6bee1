/* Applications at both ends of simulated connections, and what must hold for them:
 * - the bytes of every stream arrive whole, once and in order; their content follows from the stream and the offset;
 * - every buffer given without a copy is released exactly once, and not before the other end had its bytes;
 * - callbacks come in the promised order: nothing after `stream_closed` of a stream or `closed` of a connection;
 * - both ends agree how each stream and each connection ended;
 * - nothing grows past the windows.
 * A stream is planned here before it is opened; its tag names the plan, so that the other end knows what must come. */
#ifndef STOQ_CHECK_H
#define STOQ_CHECK_H

#include "stoq_net.h"

#define CHECK_PAIRS_MAX     8
#define CHECK_FLOWS_MAX     160
#define CHECK_DATAGRAMS_MAX 64 /* of one end of a connection */
#define CHECK_PIECE_BYTES   65536 /* given in one call at most */
#define CHECK_NEVER         UINT64_MAX

struct check;
struct check_pair;

/* One direction of a stream: what its sender will do, what has happened. Index 0: from who opens it. */
struct check_way {
    uint64_t planned; /* bytes */
    uint64_t reset_at,
        stop_at; /* the sender gives up, the receiver stops it, at that offset; CHECK_NEVER */
    bool hold; /* sends without copies */
    bool slow; /* the receiver takes parts, later */
    uint64_t sent, taken, offered;
    bool fin_sent, fin_seen, reset_sent, reset_seen, stop_sent, stop_seen, waiting, timer;
    uint64_t reset_code, stop_code;
    uint64_t owed; /* credit not given back yet */
};
struct check_later { /* argument of a timer: this end of the flow reads */
    struct check_flow *flow;
    unsigned end;
};
struct check_flow {
    struct check *check;
    struct check_pair *pair;
    unsigned number; /* in check->flows */
    unsigned opener; /* which end of the pair: 0 client, 1 server */
    bool bidirectional, replay_safe, denied, opened;
    uint8_t priority;
    uint16_t weight;
    size_t tag_len;
    struct check_way way[2];
    struct stoq_stream *stream[2]; /* at the client, at the server */
    bool known[2], closed[2];
    uint64_t closed_ns[2];
    struct check_later later[2];
};
/* One end of a connection. */
struct check_end {
    struct check *check;
    struct check_pair *pair; /* NULL: the server does not know yet which it is */
    unsigned end, node;
    struct stoq_conn *conn; /* NULL: gone */
    bool ready, accepted, closed, closing; /* closing: we called stoq_conn_close */
    uint64_t ready_ns, closed_ns, close_code;
    struct stoq_close why;
    unsigned streams; /* open now, that we know of */
    unsigned datagrams_planned, datagrams_sent;
    uint64_t datagrams_seen; /* bits */
    struct check_end *next;
};
struct check_pair {
    struct check *check;
    unsigned number, client, server; /* nodes */
    struct check_end *end[2];
    bool started, disturbed; /* disturbed: its fate is open: crash, abrupt close, moved too early */
    bool cut, moved; /* now; ever: a goodbye may go to where nobody is any more */
    bool again; /* its client was taken for a new one: see comes_again */
    uint64_t rebound_ns; /* when a NAT moved the client last, which is not told; 0: never */
    bool finished; /* somebody called close after all was done */
};
struct check_totals {
    uint64_t connections, flows, bytes, resets, stops, denied, datagrams, updates, migrations,
        rebindings, partitions, abrupt, crashes, early, resumed, failed_handshakes, packets;
};
struct check_place { /* ctx of an endpoint's handlers */
    struct check *check;
    unsigned node;
};
struct check {
    struct stoq_net *net;
    uint64_t key; /* of contents */
    size_t window, send_queue, memory_max; /* what the configuration promises */
    uint64_t idle_ns;
    bool manual_credit, hard_network, early_data, keep_alive;
    struct check_pair pairs[CHECK_PAIRS_MAX];
    unsigned pair_count;
    struct check_flow flows[CHECK_FLOWS_MAX];
    unsigned flow_count;
    struct check_place places[STOQ_NET_NODES_MAX];
    struct check_end *ends;
    struct check_piece *pieces;
    struct stoq_bytes session[STOQ_NET_NODES_MAX][STOQ_NET_NODES_MAX]; /* by client and server */
    struct check_totals totals;
    char why[512]; /* what went wrong first; "" */
};

void check_init(struct check *check, struct stoq_net *net, uint64_t seed);
void check_release(struct check *check); /* after the endpoints are gone */
void check_fail(struct check *check, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool check_failed(const struct check *check);
/* Handlers for the endpoint of a node; ctx lives as long as check. */
struct stoq_handlers check_handlers(struct check *check, unsigned node);

/* The pair connects now. */
void check_connect(struct check_pair *pair);
/* The planned streams of a pair that may be opened, are. */
void check_open_flows(struct check_pair *pair, unsigned end);
void check_send_datagram(struct check_end *end);
bool check_pair_quiet(const struct check_pair *pair); /* all streams have ended at both ends */
void check_close(struct check_pair *pair, unsigned end, uint64_t code);
bool check_pair_over(const struct check_pair *pair); /* both ends are closed */
/* Limits that must hold at any moment. */
void check_limits(struct check *check);
bool check_flow_fits(const struct check_flow *flow); /* each direction has ended as it was to */
/* What must hold when all is over. */
void check_outcome(struct check *check);

#endif
