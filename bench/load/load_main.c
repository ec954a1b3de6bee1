/* hm-load: drives an HTTP server on this machine in a closed loop and prints one line of JSON: how many answers a
 * second, how long they took, what went wrong. Templates are described in load_text.h. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "load_watch.h"

#define LOAD_FILE_MAX_BYTES ((size_t)64 << 20)
#define LOAD_LINES_MAX      2000000

static const char usage[] =
    "usage: hm-load --address 127.0.0.1:PORT|unix:PATH --path TEMPLATE [options]\n"
    "\n"
    "  --method M          GET, or POST with a body\n"
    "  --body TEMPLATE     JSON body\n"
    "  --token-file FILE   bearer token for the Authorization header\n"
    "  --lines FILE        what ${line} and ${pick} take\n"
    "  --clients N         connections, one request on its way on each (1)\n"
    "  --threads N         threads they are shared out to (1)\n"
    "  --range N           ${random} is below it (1)\n"
    "  --first N           the first ${n} (0)\n"
    "  --requests N        stop after as many, instead of by time\n"
    "  --warmup SECONDS    not counted (0.3)\n"
    "  --seconds SECONDS   counted (2)\n"
    "  --watchers N        measure watch fan-out: as many watches, --rounds of one put, then puts "
    "for --seconds\n"
    "  --watch-path TEMPLATE --watch-body TEMPLATE --rounds N\n";

struct load_options {
    const char *address, *method, *path, *body, *token_path, *lines_path;
    const char *watch_path, *watch_body;
    uint64_t clients, threads, range, first, requests, watchers, rounds;
    double warmup_s, seconds;
};

enum load_option_kind { OPTION_TEXT, OPTION_NUMBER, OPTION_SECONDS };

static const struct {
    const char *name;
    enum load_option_kind kind;
    size_t offset;
} options_known[] = {
    {"address", OPTION_TEXT, offsetof(struct load_options, address)},
    {"method", OPTION_TEXT, offsetof(struct load_options, method)},
    {"path", OPTION_TEXT, offsetof(struct load_options, path)},
    {"body", OPTION_TEXT, offsetof(struct load_options, body)},
    {"token-file", OPTION_TEXT, offsetof(struct load_options, token_path)},
    {"lines", OPTION_TEXT, offsetof(struct load_options, lines_path)},
    {"watch-path", OPTION_TEXT, offsetof(struct load_options, watch_path)},
    {"watch-body", OPTION_TEXT, offsetof(struct load_options, watch_body)},
    {"clients", OPTION_NUMBER, offsetof(struct load_options, clients)},
    {"threads", OPTION_NUMBER, offsetof(struct load_options, threads)},
    {"range", OPTION_NUMBER, offsetof(struct load_options, range)},
    {"first", OPTION_NUMBER, offsetof(struct load_options, first)},
    {"requests", OPTION_NUMBER, offsetof(struct load_options, requests)},
    {"watchers", OPTION_NUMBER, offsetof(struct load_options, watchers)},
    {"rounds", OPTION_NUMBER, offsetof(struct load_options, rounds)},
    {"warmup", OPTION_SECONDS, offsetof(struct load_options, warmup_s)},
    {"seconds", OPTION_SECONDS, offsetof(struct load_options, seconds)},
};

static int options_set(struct load_options *options, size_t which, const char *value,
                       struct hm_error *error)
{
    void *at = (char *)options + options_known[which].offset;
    uint64_t number = 0;
    int rc = 0;

    switch (options_known[which].kind) {
    case OPTION_TEXT:
        memcpy(at, &value, sizeof(value));
        return 0;
    case OPTION_NUMBER:
        rc = hm_u64_parse(value, &number, error);
        memcpy(at, &number, sizeof(number));
        break;
    case OPTION_SECONDS:
        rc = hm_decimal_parse(value, 3, &number, error);
        double seconds = (double)number / 1e3;
        memcpy(at, &seconds, sizeof(seconds));
        break;
    }
    return rc == 0 ? 0 : hm_error_prefix(error, rc, "--%s", options_known[which].name);
}

static int options_parse(int argc, char **argv, struct load_options *options,
                         struct hm_error *error)
{
    struct option names[HM_COUNT_OF(options_known) + 1] = {{0}};
    int which = 0, found, rc = 0;

    for (size_t i = 0; i < HM_COUNT_OF(options_known); i++)
        names[i] = (struct option){options_known[i].name, required_argument, NULL, 0};
    while (rc == 0 && (found = getopt_long(argc, argv, "", names, &which)) != -1)
        rc = found == 0 ? options_set(options, (size_t)which, optarg, error)
                        : hm_fail(error, HM_EINVAL, "unknown option");
    if (rc != 0)
        return rc;
    if (optind < argc || options->address == NULL || options->path == NULL)
        return hm_fail(error, HM_EINVAL, "--address and --path are needed, and only options");
    if (options->clients == 0 || options->clients > LOAD_CLIENTS_MAX || options->threads == 0 ||
        options->threads > LOAD_THREADS_MAX || options->watchers > LOAD_CLIENTS_MAX ||
        options->range == 0)
        return hm_fail(error, HM_ERANGE, "clients and watchers are 1 to %d, threads 1 to %d",
                       LOAD_CLIENTS_MAX, LOAD_THREADS_MAX);
    return 0;
}

/* --- from options to a plan ------------------------------------------------------------------------- */

static int lines_read(const char *path, struct hm_buf *bytes, struct load_lines *lines,
                      struct hm_error *error)
{
    int rc = hm_file_read(path, LOAD_FILE_MAX_BYTES, bytes, error);
    char *rest = NULL;

    if (rc != 0)
        return rc;
    lines->items = hm_calloc(LOAD_LINES_MAX, sizeof(*lines->items));
    if (lines->items == NULL || hm_buf_append(bytes, "", 1) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for %s", path);
    for (char *line = strtok_r((char *)bytes->data, "\n", &rest);
         line != NULL && lines->count < LOAD_LINES_MAX; line = strtok_r(NULL, "\n", &rest))
        lines->items[lines->count++] = line;
    return lines->count > 0 ? 0 : hm_fail(error, HM_EINVAL, "%s has no lines", path);
}

static int headers_make(const char *token_path, struct hm_buf *out, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf token = {0};

    if (token_path == NULL)
        return 0;
    int rc = hm_file_read(token_path, 4096, &token, error);
    while (rc == 0 && token.len > 0 && token.data[token.len - 1] <= ' ')
        token.len--;
    if (rc == 0 && hm_buf_printf(out, "Authorization: Bearer %.*s\r\n", (int)token.len,
                                 (const char *)token.data) != 0)
        rc = hm_fail(error, HM_ENOMEM, "no memory for a header");
    if (token.data != NULL)
        hm_wipe(token.data, token.cap);
    return rc;
}

static int plan_make(const struct load_options *options, struct load_plan *plan,
                     struct hm_error *error)
{
    plan->method = options->method != NULL ? options->method
                   : options->body != NULL ? "POST"
                                           : "GET";
    plan->has_body = options->body != NULL;
    plan->clients = options->clients;
    plan->threads = options->threads;
    plan->range = options->range;
    plan->first_n = options->first;
    plan->requests = options->requests;
    plan->warmup_s = options->warmup_s;
    plan->seconds = options->seconds;
    int rc = load_address_parse(options->address, &plan->address, error);
    if (rc == 0)
        rc = load_text_parse(options->path, &plan->path, error);
    if (rc == 0 && plan->has_body)
        rc = load_text_parse(options->body, &plan->body, error);
    return rc;
}

/* --- printing ---------------------------------------------------------------------------------------- */

static double cpu_seconds(void)
{
    struct rusage use;

    (void)getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static void print_hist(const char *prefix, const struct load_hist *hist)
{
    (void)printf("\"%sp50_us\":%.1f,\"%sp99_us\":%.1f,\"%sp999_us\":%.1f,\"%smax_us\":%.1f,",
                 prefix, load_hist_quantile_us(hist, 0.5), prefix,
                 load_hist_quantile_us(hist, 0.99), prefix, load_hist_quantile_us(hist, 0.999),
                 prefix, (double)hist->max_ns / 1e3);
}

/* A refusal's text goes into JSON without what would need escapes. */
static void print_text(const char *text)
{
    for (; *text != '\0'; text++)
        (void)putchar(*text == '"' || *text == '\\' || (unsigned char)*text < ' ' ? '\'' : *text);
}

static int run_plain(const struct load_plan *plan, struct hm_error *error)
{
    struct load_result *result = hm_calloc(1, sizeof(*result));

    if (result == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for a histogram");
    int rc = load_run(plan, result, error);
    if (rc == 0) {
        (void)printf("{\"clients\":%zu,\"ops\":%llu,\"seconds\":%.3f,\"ops_s\":%.1f,",
                     plan->clients, (unsigned long long)result->hist.total, result->seconds,
                     (double)result->hist.total / result->seconds);
        print_hist("", &result->hist);
        (void)printf("\"answered\":%llu,\"bytes_in\":%llu,\"reopened\":%llu,\"client_cpu_s\":%.3f,"
                     "\"errors\":%llu,"
                     "\"first_error\":\"",
                     (unsigned long long)result->answered, (unsigned long long)result->bytes_in,
                     (unsigned long long)result->reopened, cpu_seconds(),
                     (unsigned long long)result->errors);
        print_text(result->first_error);
        (void)printf("\"}\n");
    }
    hm_free(result);
    return rc;
}

static int run_watch(const struct load_plan *plan, const struct load_options *options,
                     struct hm_error *error)
{
    struct load_watch_plan watch = {
        .put = plan, .watchers = options->watchers, .rounds = options->rounds};
    struct load_watch_result *result = hm_calloc(1, sizeof(*result));
    int rc = result == NULL ? hm_fail(error, HM_ENOMEM, "no memory for histograms")
             : options->watch_path == NULL || options->watch_body == NULL
                 ? hm_fail(error, HM_EINVAL, "--watchers needs --watch-path and --watch-body")
                 : load_text_parse(options->watch_path, &watch.path, error);

    if (rc == 0)
        rc = load_text_parse(options->watch_body, &watch.body, error);
    if (rc == 0)
        rc = load_watch(&watch, result, error);
    if (rc == 0) {
        (void)printf("{\"watchers\":%zu,\"open_s\":%.3f,", watch.watchers, result->open_seconds);
        print_hist("put_", &result->put);
        print_hist("first_", &result->first);
        print_hist("median_", &result->median);
        print_hist("last_", &result->last);
        (void)printf("\"puts\":%llu,\"events\":%llu,\"missing\":%llu,\"seconds\":%.3f,"
                     "\"events_s\":%.1f,\"client_cpu_s\":%.3f}\n",
                     (unsigned long long)result->puts, (unsigned long long)result->events,
                     (unsigned long long)result->missing, result->seconds,
                     result->seconds > 0 ? (double)result->events / result->seconds : 0.0,
                     cpu_seconds());
    }
    hm_free(result);
    return rc;
}

static void raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int argc, char **argv)
{
    struct load_options options = {
        .clients = 1, .threads = 1, .range = 1, .rounds = 20, .warmup_s = 0.3, .seconds = 2};
    HM_CLEANUP(hm_buf) struct hm_buf headers = {0};
    HM_CLEANUP(hm_buf) struct hm_buf line_bytes = {0};
    struct load_plan plan = {0};
    struct hm_error error = {0};

    int rc = options_parse(argc, argv, &options, &error);
    if (rc != 0) {
        (void)fprintf(stderr, "hm-load: %s\n\n%s", error.text, usage);
        return 2;
    }
    raise_descriptors();
    rc = plan_make(&options, &plan, &error);
    if (rc == 0)
        rc = headers_make(options.token_path, &headers, &error);
    if (rc == 0 && options.lines_path != NULL)
        rc = lines_read(options.lines_path, &line_bytes, &plan.lines, &error);
    plan.headers = hm_buf_slice(&headers);
    if (rc == 0)
        rc = options.watchers > 0 ? run_watch(&plan, &options, &error) : run_plain(&plan, &error);
    hm_free(plan.lines.items);
    if (headers.data != NULL)
        hm_wipe(headers.data, headers.cap);
    if (rc != 0)
        (void)fprintf(stderr, "hm-load: %s\n", error.text);
    return rc != 0;
}
