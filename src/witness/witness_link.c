#include "witness_link.h"

#define LINK_MAGIC     "hmecho1"
#define LINK_AT_KIND   7
#define LINK_AT_CHAIN  8
#define LINK_AT_NONCE  24
#define LINK_AT_NUMBER 40

/* --- packets --------------------------------------------------------------------------------------------- */

void witness_link_write(enum witness_link_packet kind,
                        const uint8_t chain[WITNESS_ECHO_CHAIN_BYTES],
                        const uint8_t nonce[WITNESS_ECHO_NONCE_BYTES], unsigned number,
                        uint8_t out[WITNESS_LINK_BYTES])
{
    memset(out, 0, WITNESS_LINK_BYTES);
    memcpy(out, LINK_MAGIC, LINK_AT_KIND);
    out[LINK_AT_KIND] = (uint8_t)kind;
    memcpy(out + LINK_AT_CHAIN, chain, WITNESS_ECHO_CHAIN_BYTES);
    memcpy(out + LINK_AT_NONCE, nonce, WITNESS_ECHO_NONCE_BYTES);
    out[LINK_AT_NUMBER] = (uint8_t)number;
}

int witness_link_read(struct hm_slice packet, const uint8_t chain[WITNESS_ECHO_CHAIN_BYTES],
                      enum witness_link_packet *kind, uint8_t nonce[WITNESS_ECHO_NONCE_BYTES],
                      unsigned *number)
{
    static const uint8_t zeros[WITNESS_LINK_BYTES - LINK_AT_NUMBER - 1];

    if (packet.len != WITNESS_LINK_BYTES || memcmp(packet.data, LINK_MAGIC, LINK_AT_KIND) != 0 ||
        (packet.data[LINK_AT_KIND] != WITNESS_LINK_ASK &&
         packet.data[LINK_AT_KIND] != WITNESS_LINK_ANSWER) ||
        packet.data[LINK_AT_NUMBER] >= WITNESS_LINK_TRAIN_MAX ||
        memcmp(packet.data + LINK_AT_NUMBER + 1, zeros, sizeof(zeros)) != 0)
        return HM_EPARSE;
    if (memcmp(packet.data + LINK_AT_CHAIN, chain, WITNESS_ECHO_CHAIN_BYTES) != 0)
        return HM_ENOTFOUND;
    *kind = (enum witness_link_packet)packet.data[LINK_AT_KIND];
    memcpy(nonce, packet.data + LINK_AT_NONCE, WITNESS_ECHO_NONCE_BYTES);
    *number = packet.data[LINK_AT_NUMBER];
    return 0;
}

/* --- what came of them ------------------------------------------------------------------------------------ */

/* The newest for 0, and so on to the oldest. */
static unsigned train_at(const struct witness_link *link, unsigned age)
{
    return (link->next + WITNESS_LINK_TRAINS - 1 - age) % WITNESS_LINK_TRAINS;
}

static bool train_answers(const struct witness_link_train *train)
{
    bool any = false;

    for (unsigned i = 0; i < train->size; i++)
        any = any || train->answered_ns[i] != 0;
    return any;
}

static bool train_has(const struct witness_link_train *train, unsigned number,
                      enum witness_link_fault fault)
{
    return (train->faults[number] & 1U << fault) != 0;
}

static void train_mark(struct witness_link_train *train, unsigned number,
                       enum witness_link_fault fault, struct witness_link_totals *totals)
{
    if (train_has(train, number, fault))
        return;
    train->faults[number] |= (uint8_t)(1U << fault);
    totals->of[fault]++;
}

unsigned witness_link_size(size_t peers)
{
    size_t size = peers > 0 ? WITNESS_LINK_ALL / peers : 0;

    if (size < 2) /* one alone never shows a loss */
        return 0;
    return size < WITNESS_LINK_TRAIN_MAX ? (unsigned)size : WITNESS_LINK_TRAIN_MAX;
}

void witness_link_sent(struct witness_link *link, const uint8_t nonce[WITNESS_ECHO_NONCE_BYTES],
                       unsigned size, uint64_t now_ns, struct witness_link_totals *totals)
{
    struct witness_link_train *train = &link->trains[link->next];

    *train = (struct witness_link_train){.sent_ns = now_ns, .size = size};
    memcpy(train->nonce, nonce, WITNESS_ECHO_NONCE_BYTES);
    link->next = (link->next + 1) % WITNESS_LINK_TRAINS;
    totals->sent += size;
}

bool witness_link_answers(const struct witness_link *link)
{
    const struct witness_link_train *newest = &link->trains[train_at(link, 0)];

    return newest->size == 0 || train_answers(newest);
}

/* Was one answered that was asked later? */
static bool link_is_overtaken(const struct witness_link *link, unsigned age, unsigned number)
{
    const struct witness_link_train *train = &link->trains[train_at(link, age)];
    bool overtaken = false;

    for (unsigned i = number + 1; i < train->size; i++)
        overtaken = overtaken || train->answered_ns[i] != 0;
    for (unsigned i = 0; i < age && !overtaken; i++)
        overtaken = train_answers(&link->trains[train_at(link, i)]);
    return overtaken;
}

bool witness_link_answered(struct witness_link *link, const uint8_t nonce[WITNESS_ECHO_NONCE_BYTES],
                           unsigned number, uint64_t now_ns, struct witness_link_totals *totals)
{
    for (unsigned age = 0; age < WITNESS_LINK_TRAINS; age++) {
        struct witness_link_train *train = &link->trains[train_at(link, age)];

        if (number >= train->size || memcmp(train->nonce, nonce, WITNESS_ECHO_NONCE_BYTES) != 0)
            continue;
        if (train->answered_ns[number] != 0) {
            train_mark(train, number, WITNESS_LINK_TWICE, totals);
            return true;
        }
        if (link_is_overtaken(link, age, number))
            train_mark(train, number, WITNESS_LINK_LATE, totals);
        train->faults[number] &= (uint8_t) ~(1U << WITNESS_LINK_LOST);
        train->answered_ns[number] = now_ns;
        totals->answered++;
        return true;
    }
    return false;
}

void witness_link_judge(struct witness_link *link, uint64_t now_ns,
                        struct witness_link_totals *totals)
{
    uint64_t later_ns = UINT64_MAX; /* when the first one was answered that was asked later */

    for (unsigned age = 0; age < WITNESS_LINK_TRAINS; age++) {
        struct witness_link_train *train = &link->trains[train_at(link, age)];
        bool any = train_answers(train);

        for (unsigned i = train->size; i-- > 0;)
            if (train->answered_ns[i] != 0)
                later_ns = train->answered_ns[i] < later_ns ? train->answered_ns[i] : later_ns;
            else if (any && later_ns <= now_ns && now_ns - later_ns >= WITNESS_LINK_GRACE_NS)
                train_mark(train, i, WITNESS_LINK_LOST, totals);
    }
}

/* --- what it means ---------------------------------------------------------------------------------------- */

static void count_one(struct witness_link_count *count, unsigned fault, uint64_t sent_ns)
{
    if (count->of[fault].count++ == 0) {
        count->of[fault].first_ns = count->of[fault].last_ns = sent_ns;
        return;
    }
    if (sent_ns < count->of[fault].first_ns)
        count->of[fault].first_ns = sent_ns;
    if (sent_ns > count->of[fault].last_ns)
        count->of[fault].last_ns = sent_ns;
}

void witness_link_add(const struct witness_link *link, uint64_t since_ns, unsigned most,
                      struct witness_link_count *count)
{
    unsigned counted[WITNESS_LINK_FAULTS] = {0};

    for (unsigned age = 0; age < WITNESS_LINK_TRAINS; age++) {
        const struct witness_link_train *train = &link->trains[train_at(link, age)];

        for (unsigned i = 0; i < train->size && train->sent_ns >= since_ns; i++) {
            count->packets += train->answered_ns[i] != 0 || train_has(train, i, WITNESS_LINK_LOST);
            for (unsigned fault = 0; fault < WITNESS_LINK_FAULTS; fault++)
                if (train_has(train, i, fault) && counted[fault]++ < most)
                    count_one(count, fault, train->sent_ns);
        }
    }
}

static bool count_is_bad(const struct witness_link_count *count, unsigned fault)
{
    return count->of[fault].count >= WITNESS_LINK_MIN &&
           count->of[fault].count * WITNESS_LINK_PART >= count->packets &&
           count->of[fault].last_ns - count->of[fault].first_ns >= WITNESS_LINK_SPREAD_NS;
}

static bool count_is_good(const struct witness_link_count *count, unsigned fault)
{
    return count->packets >= 2 * WITNESS_LINK_MIN &&
           count->of[fault].count * WITNESS_LINK_CALM_PART <= count->packets;
}

bool witness_link_news(struct witness_link_told *told, const struct witness_link_count *recent,
                       const struct witness_link_count *calm, uint64_t now_ns,
                       enum witness_link_fault *fault)
{
    for (unsigned i = 0; i < WITNESS_LINK_FAULTS; i++) {
        if (told->bad[i] ? now_ns - told->at_ns[i] < WITNESS_LINK_TELL_NS || !count_is_good(calm, i)
                         : !count_is_bad(recent, i))
            continue;
        told->bad[i] = !told->bad[i];
        told->at_ns[i] = now_ns;
        *fault = (enum witness_link_fault)i;
        return true;
    }
    return false;
}
