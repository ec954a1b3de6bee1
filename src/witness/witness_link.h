/* How good the way to another node is: does it lose packets, bring them in another order, or twice? While there are blocks each peer gets
 * a short train of questions every half a second, sends each of them back as it came, and here it is kept what came of them. Pure:
 * no socket, no clock.
 *
 *   offset  bytes
 *   0       7     "hmecho1"
 *   7       1     '+' question, '-' answer; else they are the same
 *   8       16    chain (witness_echo_chain)
 *   24      16    nonce of the train
 *   40      1     number in the train, from 0
 *   41      7     zeros
 *
 * Nothing is signed, so a question costs hardly more than its two packets: who does not see the question cannot know the nonce, and who
 * sees it could as well hold it up. An answer is as long as its question, and goes to peers only.
 *
 * When is one lost? Never because it is late: a node that has no processor for a second, or a way of seconds, brings answers late but in
 * their order. It is lost when one that was asked later has been answered WITNESS_LINK_GRACE_NS ago, and of its own train at least one
 * was: where a whole train is gone the peer was away, or one that does not know these packets, which other signs tell.
 *
 * Told is what happened to WITNESS_LINK_MIN packets, and to a twelfth at least, not all within WITNESS_LINK_SPREAD_NS: one short outage is
 * no bad link. How often is that wrong? Where single questions are lost by chance, a share q of them, a node with three peers (48
 * questions a second; 72 are looked at, 6 of them tell) does so 48 q P(5 or more of 71) times a second: q = 0.1 %, once in 50 years;
 * q = 1 %, every 40 minutes, and then it is no mistake. One link (16 a second; 96, 8): 16 q P(7 or more of 95): once in 10^5 years;
 * once a day. Where a tenth is lost each way 19 % of the questions have no answer, and some 40 are decided within a second: three of
 * four nodes have 6 lost ones by then, and of four nodes practically always one (test_link.c). */
#ifndef HM_WITNESS_LINK_H
#define HM_WITNESS_LINK_H

#include "witness_echo.h"

#define WITNESS_LINK_BYTES     48
#define WITNESS_LINK_TRAIN_MAX 8 /* questions of one train */
#define WITNESS_LINK_ALL \
    128 /* of all trains of a round together; with more than half as many peers none is sent */
#define WITNESS_LINK_EVERY_NS \
    (UINT64_C(500) * 1000000) /* a round: between two trains to one peer */
#define WITNESS_LINK_SILENT    10 /* rounds between two to one of whose last train nothing came back */
#define WITNESS_LINK_TRAINS    12 /* the newest, which are looked at */
#define WITNESS_LINK_WINDOW_NS (UINT64_C(6) * 1000000000) /* and those older than this are not */
#define WITNESS_LINK_RECENT_NS \
    (UINT64_C(1500) * 1000000) /* of all links together: faster, as there are more */
#define WITNESS_LINK_GRACE_NS  (UINT64_C(100) * 1000000)
#define WITNESS_LINK_SPREAD_NS (UINT64_C(200) * 1000000)
#define WITNESS_LINK_MIN       6
#define WITNESS_LINK_PART      12 /* one of so many, at least */
#define WITNESS_LINK_CALM_PART 64 /* at most one of so many: it is good again */
#define WITNESS_LINK_ONE_MAX   4 /* that one link counts for all together: two bad ones at least */
#define WITNESS_LINK_TELL_NS   (UINT64_C(10) * 1000000000) /* from bad to good again, at least */
#define WITNESS_LINK_RATE      32 /* questions of one peer sent back a second */
#define WITNESS_LINK_BURST     64

enum witness_link_packet { WITNESS_LINK_ASK = '+', WITNESS_LINK_ANSWER = '-' };

/* What became of a question. */
enum witness_link_fault {
    WITNESS_LINK_LOST,
    WITNESS_LINK_LATE, /* answered after one that was asked later */
    WITNESS_LINK_TWICE,
    WITNESS_LINK_FAULTS
};

struct witness_link_train {
    uint8_t nonce[WITNESS_ECHO_NONCE_BYTES];
    uint64_t sent_ns;
    unsigned size; /* 0: none */
    uint64_t answered_ns[WITNESS_LINK_TRAIN_MAX]; /* 0: not yet */
    uint8_t faults[WITNESS_LINK_TRAIN_MAX]; /* bit: enum witness_link_fault */
};

/* Is it told that something is wrong? */
struct witness_link_told {
    bool bad[WITNESS_LINK_FAULTS];
    uint64_t at_ns[WITNESS_LINK_FAULTS];
};

struct witness_link {
    struct witness_link_train trains[WITNESS_LINK_TRAINS];
    unsigned next; /* the oldest, whose place the next one takes */
    uint64_t round; /* of the newest */
    struct witness_link_told told;
    uint64_t gate_ns; /* of the peer's questions */
};

struct witness_link_count {
    unsigned packets; /* answered or lost */
    struct {
        unsigned count;
        uint64_t first_ns, last_ns; /* when those were sent */
    } of[WITNESS_LINK_FAULTS];
};

/* Since the start; what was taken for lost and came after all is in both. */
struct witness_link_totals {
    uint64_t sent, answered, of[WITNESS_LINK_FAULTS];
};

void witness_link_write(enum witness_link_packet kind,
                        const uint8_t chain[WITNESS_ECHO_CHAIN_BYTES],
                        const uint8_t nonce[WITNESS_ECHO_NONCE_BYTES], unsigned number,
                        uint8_t out[WITNESS_LINK_BYTES]);
/* HM_EPARSE: no such packet; HM_ENOTFOUND: another chain's. */
int witness_link_read(struct hm_slice packet, const uint8_t chain[WITNESS_ECHO_CHAIN_BYTES],
                      enum witness_link_packet *kind, uint8_t nonce[WITNESS_ECHO_NONCE_BYTES],
                      unsigned *number);

/* How many questions a train has where so many peers get one. */
unsigned witness_link_size(size_t peers);
void witness_link_sent(struct witness_link *link, const uint8_t nonce[WITNESS_ECHO_NONCE_BYTES],
                       unsigned size, uint64_t now_ns, struct witness_link_totals *totals);
/* Of the newest train something came back, or there is none. */
bool witness_link_answers(const struct witness_link *link);
/* False: no question of this link. */
bool witness_link_answered(struct witness_link *link, const uint8_t nonce[WITNESS_ECHO_NONCE_BYTES],
                           unsigned number, uint64_t now_ns, struct witness_link_totals *totals);
/* Which are lost by now. */
void witness_link_judge(struct witness_link *link, uint64_t now_ns,
                        struct witness_link_totals *totals);
/* Adds what was sent since then. most: of each fault, that one link counts for. */
void witness_link_add(const struct witness_link *link, uint64_t since_ns, unsigned most,
                      struct witness_link_count *count);
/* Is it news that packets are lost (told->bad is set then) or are not any more? Once each; call until false. recent shows what is bad, calm
 * what is good again. */
bool witness_link_news(struct witness_link_told *told, const struct witness_link_count *recent,
                       const struct witness_link_count *calm, uint64_t now_ns,
                       enum witness_link_fault *fault);

#endif
