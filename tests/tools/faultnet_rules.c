#include "faultnet_rules.h"

#define WORDS_MAX 8
#define PPM       1000000U

int faultnet_init(struct faultnet *net, unsigned nodes, uint64_t seed, struct hm_error *error)
{
    if (nodes < 2 || nodes > FAULTNET_NODES_MAX)
        return hm_fail(error, HM_EINVAL, "%u nodes: a network has 2 to %d", nodes,
                       FAULTNET_NODES_MAX);
    memset(net, 0, sizeof *net);
    net->nodes = nodes;
    for (unsigned a = 0; a < nodes; a++)
        for (unsigned b = 0; b < nodes; b++)
            net->pair[a][b].chance = hm_random_seeded_source(
                &net->pair[a][b].dice, seed * 1000003U + a * FAULTNET_NODES_MAX + b);
    return 0;
}

bool faultnet_connected(const struct faultnet *net, unsigned from, unsigned to)
{
    return net->group[from] == net->group[to];
}

static uint64_t draw(const struct faultnet_pair *pair)
{
    return hm_random_u64(&pair->chance);
}

void faultnet_decide(struct faultnet *net, unsigned from, unsigned to, size_t len, uint64_t now_ns,
                     struct faultnet_fate *out)
{
    struct faultnet_pair *pair = &net->pair[from][to];
    const struct faultnet_rule *rule = &pair->rule;
    uint64_t loss = draw(pair) % PPM, twice = draw(pair) % PPM, late = draw(pair) % PPM,
             jitter = draw(pair), at;

    out->copies = 0;
    pair->count.packets++;
    pair->count.bytes += len;
    if (!faultnet_connected(net, from, to)) {
        pair->count.cut++;
        return;
    }
    if (loss < rule->loss_ppm) {
        pair->count.lost++;
        return;
    }
    at = now_ns + (uint64_t)rule->delay_us * 1000 + jitter % ((uint64_t)rule->jitter_us + 1) * 1000;
    if (late < rule->reorder_ppm) {
        pair->count.reordered++;
        at += (uint64_t)rule->reorder_us * 1000;
    } else {
        at = at < pair->last_ns ? pair->last_ns : at;
        pair->last_ns = at;
    }
    out->at_ns[out->copies++] = at;
    if (twice < rule->duplicate_ppm) {
        pair->count.duplicated++;
        out->at_ns[out->copies++] = at;
    }
}

void faultnet_arrived(struct faultnet *net, unsigned from, unsigned to, size_t len, bool taken)
{
    struct faultnet_count *count = &net->pair[from][to].count;

    if (!taken) {
        count->dropped++;
        return;
    }
    count->delivered++;
    count->delivered_bytes += len;
}

void faultnet_was_cut(struct faultnet *net, unsigned from, unsigned to)
{
    net->pair[from][to].count.cut++;
}

int faultnet_target(const struct faultnet *net, const uint8_t *packet, size_t len)
{
    static const uint8_t net4[3] = {10, 66, 0};
    static const uint8_t net6[15] = {0xfd, 0x00, 0x00, 0x06};
    unsigned last;

    if (len >= 20 && packet[0] >> 4 == 4 && memcmp(packet + 16, net4, sizeof net4) == 0)
        last = packet[19];
    else if (len >= 40 && packet[0] >> 4 == 6 && memcmp(packet + 24, net6, sizeof net6) == 0)
        last = packet[39];
    else
        return -1;
    return last >= 1 && last <= net->nodes ? (int)last - 1 : -1;
}

/* --- commands -------------------------------------------------------------------------------------- */

struct words {
    char text[FAULTNET_LINE_MAX + 1];
    char *word[WORDS_MAX];
    unsigned count;
};

static int words_split(const char *line, struct words *out, struct hm_error *error)
{
    size_t len = strlen(line);
    char *rest = NULL;

    if (len > FAULTNET_LINE_MAX)
        return hm_fail(error, HM_ELIMIT, "a command has at most %d bytes", FAULTNET_LINE_MAX);
    memcpy(out->text, line, len + 1);
    out->count = 0;
    for (char *word = strtok_r(out->text, " \t\r", &rest); word != NULL;
         word = strtok_r(NULL, " \t\r", &rest)) {
        if (out->count == WORDS_MAX)
            return hm_fail(error, HM_EINVAL, "no command has more than %d words", WORDS_MAX);
        out->word[out->count++] = word;
    }
    return 0;
}

/* "3" or "*" -> first..last. */
static int nodes_parse(const struct faultnet *net, const char *word, unsigned *first,
                       unsigned *last, struct hm_error *error)
{
    uint64_t value;

    if (strcmp(word, "*") == 0) {
        *first = 0;
        *last = net->nodes - 1;
        return 0;
    }
    if (hm_u64_parse(word, &value, NULL) != 0 || value >= net->nodes)
        return hm_fail(error, HM_EINVAL, "%s is no node: they are 0 to %u, or *", word,
                       net->nodes - 1);
    *first = *last = (unsigned)value;
    return 0;
}

static int number_parse(const char *word, unsigned digits, uint32_t max, uint32_t *out,
                        struct hm_error *error)
{
    uint64_t value;

    if (hm_decimal_parse(word, digits, &value, NULL) != 0 || value > max)
        return hm_fail(error, HM_ERANGE, "%s is no number, or too large", word);
    *out = (uint32_t)value;
    return 0;
}

static int milliseconds(const char *word, uint32_t *us, struct hm_error *error)
{
    return number_parse(word, 3, FAULTNET_DELAY_MAX_US, us, error);
}

static int percent(const char *word, uint32_t *ppm, struct hm_error *error)
{
    return number_parse(word, 4, PPM, ppm, error);
}

/* Reads "VERB FROM TO A [B]" into a rule; only what the verb names changes. */
static int rule_change(const struct words *words, struct faultnet_rule *rule,
                       struct hm_error *error)
{
    const char *verb = words->word[0], *a = words->word[3],
               *b = words->count == 5 ? words->word[4] : NULL;

    if (strcmp(verb, "delay") == 0) {
        rule->jitter_us = 0;
        if (b != NULL && milliseconds(b, &rule->jitter_us, error) != 0)
            return HM_ERANGE;
        return milliseconds(a, &rule->delay_us, error);
    }
    if (strcmp(verb, "reorder") == 0) {
        rule->reorder_us = 20000;
        if (b != NULL && milliseconds(b, &rule->reorder_us, error) != 0)
            return HM_ERANGE;
        return percent(a, &rule->reorder_ppm, error);
    }
    if (b != NULL)
        return hm_fail(error, HM_EINVAL, "%s takes one number", verb);
    return percent(a, strcmp(verb, "loss") == 0 ? &rule->loss_ppm : &rule->duplicate_ppm, error);
}

static int command_rule(struct faultnet *net, const struct words *words, struct hm_error *error)
{
    unsigned from_first, from_last, to_first, to_last;
    struct faultnet_rule probe = {0};
    int status;

    if (words->count != 4 && words->count != 5)
        return hm_fail(error, HM_EINVAL, "say: %s FROM TO NUMBER", words->word[0]);
    if ((status = nodes_parse(net, words->word[1], &from_first, &from_last, error)) != 0 ||
        (status = nodes_parse(net, words->word[2], &to_first, &to_last, error)) != 0 ||
        (status = rule_change(words, &probe, error)) != 0)
        return status;
    for (unsigned a = from_first; a <= from_last; a++)
        for (unsigned b = to_first; b <= to_last; b++)
            (void)rule_change(words, &net->pair[a][b].rule, NULL);
    return 0;
}

/* "0,1|2,3": who is not named is in one more group. */
static int command_cut(struct faultnet *net, const struct words *words, struct hm_error *error)
{
    unsigned group[FAULTNET_NODES_MAX] = {0}, current = 1;
    const char *at;

    if (words->count != 2)
        return hm_fail(error, HM_EINVAL, "say: cut 0,1|2,3");
    at = words->word[1];
    for (;;) {
        char digits[4] = {0};
        unsigned first, last, used = 0;
        while (*at >= '0' && *at <= '9' && used < 3)
            digits[used++] = *at++;
        if (nodes_parse(net, digits, &first, &last, error) != 0)
            return HM_EINVAL;
        if (group[first] != 0)
            return hm_fail(error, HM_EINVAL, "node %u is named twice", first);
        group[first] = current;
        if (*at == '\0')
            break;
        if (*at != ',' && *at != '|')
            return hm_fail(error, HM_EINVAL, "say: cut 0,1|2,3 (found \"%s\")", at);
        current += *at++ == '|';
    }
    memcpy(net->group, group, sizeof group);
    return 0;
}

static int command_count(const struct faultnet *net, struct hm_buf *answer)
{
    for (unsigned a = 0; a < net->nodes; a++) {
        for (unsigned b = 0; b < net->nodes; b++) {
            const struct faultnet_count *c = &net->pair[a][b].count;
            if (a == b)
                continue;
            if (hm_buf_printf(answer,
                              "%u %u packets=%llu bytes=%llu delivered=%llu delivered_bytes=%llu "
                              "lost=%llu cut=%llu duplicated=%llu reordered=%llu dropped=%llu\n",
                              a, b, (unsigned long long)c->packets, (unsigned long long)c->bytes,
                              (unsigned long long)c->delivered,
                              (unsigned long long)c->delivered_bytes, (unsigned long long)c->lost,
                              (unsigned long long)c->cut, (unsigned long long)c->duplicated,
                              (unsigned long long)c->reordered,
                              (unsigned long long)c->dropped) != 0)
                return HM_ENOMEM;
        }
    }
    return 0;
}

static void command_clear(struct faultnet *net)
{
    memset(net->group, 0, sizeof net->group);
    for (unsigned a = 0; a < net->nodes; a++)
        for (unsigned b = 0; b < net->nodes; b++)
            net->pair[a][b].rule = (struct faultnet_rule){0};
}

static int command_do(struct faultnet *net, const struct words *words, struct hm_buf *answer,
                      bool *quit, struct hm_error *error)
{
    const char *verb = words->count == 0 ? "" : words->word[0];
    static const char *const rules[] = {"delay", "loss", "duplicate", "reorder"};

    for (size_t i = 0; i < HM_COUNT_OF(rules); i++)
        if (strcmp(verb, rules[i]) == 0)
            return command_rule(net, words, error);
    if (strcmp(verb, "cut") == 0)
        return command_cut(net, words, error);
    if (words->count != 1)
        return hm_fail(error, HM_EINVAL, "no such command");
    if (strcmp(verb, "count") == 0)
        return command_count(net, answer);
    if (strcmp(verb, "heal") == 0) {
        memset(net->group, 0, sizeof net->group);
    } else if (strcmp(verb, "clear") == 0) {
        command_clear(net);
    } else if (strcmp(verb, "zero") == 0) {
        for (unsigned a = 0; a < net->nodes; a++)
            for (unsigned b = 0; b < net->nodes; b++)
                net->pair[a][b].count = (struct faultnet_count){0};
    } else if (strcmp(verb, "quit") == 0) {
        *quit = true;
    } else {
        return hm_fail(error, HM_EINVAL, "no such command");
    }
    return 0;
}

int faultnet_command(struct faultnet *net, const char *line, struct hm_buf *answer, bool *quit)
{
    struct words words;
    struct hm_error error = {0};
    int status = words_split(line, &words, &error);

    if (status == 0)
        status = command_do(net, &words, answer, quit, &error);
    if (status == HM_ENOMEM)
        return status;
    if (status != 0)
        return hm_buf_printf(answer, "error: %s\n", error.text);
    return hm_buf_append_str(answer, "ok\n");
}
