/* cluster-load: accounts of its own that sign transactions of many operations and hand them to a node with POST /txs, each
 * account its next one when the last is in a block. Prints one line of JSON, as hm-load does.
 *
 *   cluster-load accounts --seed TEXT --clients N       prints the accounts, one a line: pay them first
 *   cluster-load grant --api PATH --seed TEXT --clients N   lets their session keys sign, once; PATH: the node's api.sock
 *   cluster-load run --api PATH --seed TEXT ...
 *
 * What is counted are operations; times are those of transactions, from before they are sent until they are answered.
 * Signing is part of the client's work while the clock runs, as it is for any client (about 60 us for 64 operations). */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include "load_conn.h"
#include "load_hist.h"
#include "sign_tx.h"

#define SIGN_CLIENTS_MAX 64
#define SIGN_ERRORS_MAX  100
#define SIGN_WAIT_MS     60000
#define SIGN_SECOND_NS   UINT64_C(1000000000)
#define SIGN_ID_TEXT     WIRE_ID_TEXT_MAX

struct sign_options {
    const char *api, *seed, *kind;
    uint64_t clients, ops, value_bytes, keys, operations, first;
    double warmup_s, seconds;
};

struct sign_client {
    struct load_conn conn;
    struct sign_account account;
};

struct sign_run {
    const struct sign_options *options;
    bool grants; /* each client signs one grant by its root keys, and no more */
    struct sign_work work;
    struct sign_chain chain;
    struct load_address address;
    struct sign_client *clients;
    int epoll_fd;
    uint64_t next; /* operation */
    uint64_t start_ns, from_ns, to_ns, last_ns;
    size_t waiting;
    struct load_hist hist;
    uint64_t counted, answered, errors;
    char first_error[LOAD_BODY_KEPT + 64];
};

static const char usage[] =
    "usage: cluster-load accounts|grant|run --seed TEXT [--clients N (1)] [--api PATH]\n"
    "  [--kind put|transfer (put)] [--ops N (64)] [--value-bytes N (256)] [--keys N (100000)]\n"
    "  [--first N (0)] [--warmup SECONDS (0.3)] [--seconds SECONDS (2)]\n"
    "  [--operations N: as many, instead of by time]\n";

/* --- one request ------------------------------------------------------------------------------------------- */

static int sign_request(struct sign_client *client, const char *method, const char *path,
                        struct hm_slice body, struct hm_error *error)
{
    struct hm_buf *out = &client->conn.out;

    hm_buf_clear(out);
    int rc = hm_buf_printf(out,
                           "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                           "application/octet-stream\r\nContent-Length: %zu\r\n\r\n",
                           method, path, body.len);
    if (rc == 0 && body.len > 0)
        rc = hm_buf_append(out, body.data, body.len);
    return rc != 0 ? hm_fail(error, HM_ENOMEM, "no memory for a request")
                   : load_conn_send(&client->conn, error);
}

/* Sends and waits, for what comes before the clock runs and after a refusal. */
static int sign_ask(struct sign_run *run, struct sign_client *client, const char *method,
                    const char *path, struct hm_slice body, struct hm_error *error)
{
    struct hm_slice kept;
    int rc = sign_request(client, method, path, body, error);

    for (uint64_t end_ns = load_now_ns() + SIGN_WAIT_MS * 1000000U;
         rc == 0 && client->conn.waiting && load_now_ns() < end_ns;) {
        struct epoll_event events[SIGN_CLIENTS_MAX];

        (void)epoll_wait(run->epoll_fd, events, 1, 10);
        rc = load_conn_step(&client->conn, error);
        rc = rc < 0 ? rc : 0;
    }
    if (rc != 0)
        return rc;
    kept = hm_slice_of(client->conn.body, client->conn.kept);
    if (client->conn.waiting || client->conn.http.status / 100 != 2)
        return hm_fail(error, HM_EIO, "%s %s: %u %.400s", method, path, client->conn.http.status,
                       client->conn.waiting ? "no answer" : client->conn.body);
    return strcmp(method, "GET") == 0 ? sign_chain_read(kept, &run->chain, &client->account, error)
                                      : 0;
}

/* What the next transaction of the account must name. */
static int sign_look(struct sign_run *run, struct sign_client *client, struct hm_error *error)
{
    char id[SIGN_ID_TEXT], path[SIGN_ID_TEXT + 32];

    wire_account_text(client->account.id, id);
    snprintf(path, sizeof(path), "/accounts/%s/signing", id);
    return sign_ask(run, client, "GET", path, (struct hm_slice){0}, error);
}

static int sign_client_open(struct sign_run *run, size_t number, struct hm_error *error)
{
    struct sign_client *client = &run->clients[number];

    client->conn.number = number;
    int rc = sign_account_init(&client->account, run->options->seed, number, error);
    if (rc == 0)
        rc = load_conn_open(&client->conn, &run->address, run->epoll_fd, error);
    return rc == 0 ? sign_look(run, client, error) : rc;
}

/* --- the loop ---------------------------------------------------------------------------------------------- */

static bool sign_over(const struct sign_run *run)
{
    if (run->errors > SIGN_ERRORS_MAX)
        return true;
    if (run->grants)
        return run->next >= run->options->clients;
    return run->options->operations > 0
               ? run->next >= run->options->first + run->options->operations
               : load_now_ns() >= run->to_ns;
}

static int sign_next(struct sign_run *run, struct sign_client *client, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf tx = {0};

    if (sign_over(run))
        return 0;
    int rc = run->grants
                 ? sign_grant(&run->chain, &client->account, &tx, error)
                 : sign_work(&run->chain, &client->account, &run->work, run->next, &tx, error);
    run->next += run->work.ops;
    if (rc == 0)
        rc = sign_request(client, "POST", "/txs", hm_buf_slice(&tx), error);
    run->waiting += rc == 0;
    return rc;
}

static int sign_answered(struct sign_run *run, struct sign_client *client, struct hm_error *error)
{
    uint64_t now_ns = load_now_ns();

    run->waiting--;
    run->answered++;
    run->last_ns = now_ns;
    if (client->conn.http.status / 100 != 2) {
        if (run->errors++ == 0)
            snprintf(run->first_error, sizeof(run->first_error), "%u %s", client->conn.http.status,
                     client->conn.body);
        int rc = sign_look(run, client, error);
        return rc != 0 ? rc : sign_next(run, client, error);
    }
    if (run->options->operations > 0 || (now_ns >= run->from_ns && now_ns <= run->to_ns)) {
        load_hist_record(&run->hist, now_ns - client->conn.began_ns);
        run->counted += run->work.ops;
    }
    return sign_next(run, client, error);
}

static int sign_loop(struct sign_run *run, struct hm_error *error)
{
    const struct sign_options *options = run->options;
    int rc = 0;

    run->start_ns = load_now_ns();
    run->from_ns = run->start_ns + (uint64_t)(options->warmup_s * (double)SIGN_SECOND_NS);
    run->to_ns = run->from_ns + (uint64_t)(options->seconds * (double)SIGN_SECOND_NS);
    for (size_t i = 0; rc == 0 && i < options->clients; i++)
        rc = sign_next(run, &run->clients[i], error);
    while (rc == 0 && run->waiting > 0) {
        struct epoll_event events[SIGN_CLIENTS_MAX];
        int ready = epoll_wait(run->epoll_fd, events, SIGN_CLIENTS_MAX, SIGN_WAIT_MS);

        if (ready == 0)
            return hm_fail(error, HM_ETIMEOUT, "%zu answers are missing", run->waiting);
        for (int i = 0; rc == 0 && i < ready; i++) {
            /* The connection is the client's first member. */
            struct sign_client *client = events[i].data.ptr;
            bool due = client->conn.waiting;

            rc = load_conn_step(&client->conn, error);
            if (rc == 1 && due)
                rc = sign_answered(run, client, error);
            rc = rc < 0 ? rc : 0;
        }
    }
    return rc;
}

static void sign_print(const struct sign_run *run)
{
    const struct load_hist *hist = &run->hist;
    struct rusage use;
    double seconds = run->options->operations > 0
                         ? (double)(run->last_ns - run->start_ns) / (double)SIGN_SECOND_NS
                         : run->options->seconds;

    (void)getrusage(RUSAGE_SELF, &use);
    (void)printf("{\"clients\":%llu,\"ops\":%llu,\"seconds\":%.3f,\"ops_s\":%.1f,",
                 (unsigned long long)run->options->clients, (unsigned long long)run->counted,
                 seconds, (double)run->counted / seconds);
    (void)printf("\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f,",
                 load_hist_quantile_us(hist, 0.5), load_hist_quantile_us(hist, 0.99),
                 (double)hist->max_ns / 1e3);
    (void)printf("\"answered\":%llu,\"next\":%llu,\"client_cpu_s\":%.3f,\"errors\":%llu,"
                 "\"first_error\":\"",
                 (unsigned long long)run->answered, (unsigned long long)run->next,
                 (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
                     (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6,
                 (unsigned long long)run->errors);
    for (const char *at = run->first_error; *at != '\0'; at++)
        (void)putchar(*at == '"' || *at == '\\' || (unsigned char)*at < ' ' ? '\'' : *at);
    (void)printf("\"}\n");
}

static int sign_run(const struct sign_options *options, bool grants, struct sign_run *run,
                    struct hm_error *error)
{
    HM_AUTOFREE char *where = hm_asprintf("unix:%s", options->api != NULL ? options->api : "");
    int rc = where != NULL ? load_address_parse(where, &run->address, error) : HM_ENOMEM;

    run->options = options;
    run->grants = grants;
    run->work = (struct sign_work){.kind = strcmp(options->kind, "transfer") == 0 ? SIGN_TRANSFER
                                                                                  : SIGN_PUT,
                                   .ops = grants ? 1 : options->ops,
                                   .value_bytes = options->value_bytes,
                                   .keys = options->keys,
                                   .seed = options->seed};
    run->next = grants ? 0 : options->first;
    run->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (size_t i = 0; i < options->clients; i++)
        run->clients[i].conn.fd = -1;
    for (size_t i = 0; rc == 0 && i < options->clients; i++)
        rc = sign_client_open(run, i, error);
    if (rc == 0)
        rc = sign_loop(run, error);
    if (rc == 0)
        sign_print(run);
    for (size_t i = 0; i < options->clients; i++) {
        load_conn_release(&run->clients[i].conn);
        sign_account_release(&run->clients[i].account);
    }
    hm_fd_release(&run->epoll_fd);
    return rc;
}

static int sign_accounts(const struct sign_options *options, struct hm_error *error)
{
    int rc = 0;

    for (uint64_t i = 0; rc == 0 && i < options->clients; i++) {
        struct sign_account account;
        char id[SIGN_ID_TEXT];

        rc = sign_account_init(&account, options->seed, i, error);
        if (rc != 0)
            break;
        wire_account_text(account.id, id);
        (void)printf("%s\n", id);
        sign_account_release(&account);
    }
    return rc;
}

/* --- options ----------------------------------------------------------------------------------------------- */

static int sign_number(const char *text, uint64_t *out, struct hm_error *error)
{
    return hm_u64_parse(text, out, error);
}

static int sign_seconds(const char *text, double *out, struct hm_error *error)
{
    uint64_t ms = 0;
    int rc = hm_decimal_parse(text, 3, &ms, error);

    *out = (double)ms / 1e3;
    return rc;
}

static int sign_option(struct sign_options *options, int which, const char *value,
                       struct hm_error *error)
{
    switch (which) {
    case 'a':
        options->api = value;
        return 0;
    case 's':
        options->seed = value;
        return 0;
    case 'k':
        options->kind = value;
        return 0;
    case 'c':
        return sign_number(value, &options->clients, error);
    case 'o':
        return sign_number(value, &options->ops, error);
    case 'v':
        return sign_number(value, &options->value_bytes, error);
    case 'n':
        return sign_number(value, &options->keys, error);
    case 'O':
        return sign_number(value, &options->operations, error);
    case 'f':
        return sign_number(value, &options->first, error);
    case 'w':
        return sign_seconds(value, &options->warmup_s, error);
    case 't':
        return sign_seconds(value, &options->seconds, error);
    default:
        return hm_fail(error, HM_EINVAL, "unknown option");
    }
}

static int sign_parse(int argc, char **argv, struct sign_options *options, struct hm_error *error)
{
    static const struct option names[] = {
        {"api", required_argument, NULL, 'a'},     {"seed", required_argument, NULL, 's'},
        {"kind", required_argument, NULL, 'k'},    {"clients", required_argument, NULL, 'c'},
        {"ops", required_argument, NULL, 'o'},     {"value-bytes", required_argument, NULL, 'v'},
        {"keys", required_argument, NULL, 'n'},    {"operations", required_argument, NULL, 'O'},
        {"first", required_argument, NULL, 'f'},   {"warmup", required_argument, NULL, 'w'},
        {"seconds", required_argument, NULL, 't'}, {0}};
    int found, rc = 0;

    while (rc == 0 && (found = getopt_long(argc, argv, "", names, NULL)) != -1)
        rc = sign_option(options, found, optarg, error);
    if (rc == 0 &&
        (options->seed == NULL || options->clients == 0 || options->clients > SIGN_CLIENTS_MAX ||
         options->ops == 0 || options->ops > SIGN_OPS_MAX ||
         options->value_bytes > SIGN_VALUE_MAX || options->keys == 0))
        rc = hm_fail(error, HM_ERANGE,
                     "--seed is needed; clients are 1 to %d, operations of a transaction 1 to %d",
                     SIGN_CLIENTS_MAX, SIGN_OPS_MAX);
    return rc;
}

int main(int argc, char **argv)
{
    struct sign_options options = {.kind = "put",
                                   .clients = 1,
                                   .ops = SIGN_OPS_MAX,
                                   .value_bytes = 256,
                                   .keys = 100000,
                                   .warmup_s = 0.3,
                                   .seconds = 2};
    struct hm_error error = {0};
    bool accounts = argc > 1 && strcmp(argv[1], "accounts") == 0;
    bool grants = argc > 1 && strcmp(argv[1], "grant") == 0;

    if (argc < 2 || (!accounts && !grants && strcmp(argv[1], "run") != 0) ||
        sign_parse(argc - 1, argv + 1, &options, &error) != 0) {
        (void)fprintf(stderr, "cluster-load: %s\n%s", error.text, usage);
        return 2;
    }
    struct sign_run *run = hm_calloc(1, sizeof(*run));
    int rc = crypto_setup(&error);
    if (rc == 0 && run != NULL)
        run->clients = hm_calloc(options.clients, sizeof(*run->clients));
    if (rc == 0 && (run == NULL || run->clients == NULL))
        rc = hm_fail(&error, HM_ENOMEM, "no memory for %llu clients",
                     (unsigned long long)options.clients);
    if (rc == 0)
        rc = accounts ? sign_accounts(&options, &error) : sign_run(&options, grants, run, &error);
    if (run != NULL)
        hm_free(run->clients);
    hm_free(run);
    if (rc != 0)
        (void)fprintf(stderr, "cluster-load: %s\n", error.text);
    return rc != 0;
}
