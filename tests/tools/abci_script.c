/* abci_script: an application for a real engine that answers some calls wrongly.
 *
 *     abci_script SOCKET [--app SOCKET2 | --state FILE [--snapshots N] [--optimistic]] [--while FILE] [RULE...]
 *                 [-- PROGRAM [ARGUMENT...]]
 *
 * listens at SOCKET for the engine (proxy_app = "unix://SOCKET") and prints "ready". Behind it stands an honest application:
 * with --app the one that listens at SOCKET2 (a daemon's, whose server must let this process connect), else one of its own
 * (script_app.h: transactions "add:TEXT", "val:KEY:POWER"; query "/has", "/count"), which keeps its state in FILE, or in memory
 * only. Every answer passes through here, and the first rule that fits changes it:
 *
 *     CALL[@HEIGHT[+]]=ACTION[:MS]      prepare@5=oversize   process@4+=reject   extend=wrong   commit@9=close
 *
 * With --while the rules hold as long as FILE exists. @5: at that height only, @5+: from then on. :MS waits that long first (delay: and then answers as it should). Calls and their
 * actions are shown by --help. Answers that would stop the engine go out all the same: that is what this is for; the honest
 * application's own are checked before as ever. "CALL HEIGHT: ACTION" is printed for each that was changed. Ends by SIGTERM, or
 * when the process that started it does. With PROGRAM it stands in that one's place (beside.h): a daemon that takes it for its
 * engine lets it connect. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "abci_script_rules.h"
#include "beside.h"
#include "script_app.h"

#define ASKED_MAX     8192 /* requests that wait for their answers on one connection */
#define HEADER_MAX    10
#define READ_BYTES    65536
#define SNAPSHOTS_MAX 1000000
#define STATE_MAX     ((size_t)1 << 30)

static struct {
    struct abci_script script;
    struct sockaddr_un app;
    int listener;
    pthread_mutex_t lock; /* guards the fields below */
    int64_t finalized; /* height of the last block that was */
    /* The application of our own. */
    struct script_disk disk;
    struct script_app *own;
    struct abci_server *server;
    const char *state_path;
    const char *while_path; /* the rules hold while it is there; NULL: always */
} self = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* --- frames ------------------------------------------------------------------------------------------- */

struct stream {
    int fd;
    uint8_t bytes[READ_BYTES];
    size_t at, have;
    struct hm_buf message;
};

static int stream_read(struct stream *stream, uint8_t *out, size_t len)
{
    while (len > 0) {
        size_t part = stream->have - stream->at;
        if (part == 0) {
            ssize_t got = read(stream->fd, stream->bytes, sizeof stream->bytes);
            if (got < 0 && errno == EINTR)
                continue;
            if (got <= 0)
                return HM_EIO;
            stream->at = 0;
            stream->have = part = (size_t)got;
        }
        part = part < len ? part : len;
        memcpy(out, stream->bytes + stream->at, part);
        stream->at += part;
        out += part;
        len -= part;
    }
    return 0;
}

/* One whole message, in stream->message. */
static int message_read(struct stream *stream)
{
    uint64_t len = 0;
    uint8_t byte;

    for (unsigned shift = 0;; shift += 7) {
        if (shift > 28 || stream_read(stream, &byte, 1) != 0)
            return HM_EIO;
        len |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            break;
    }
    hm_buf_clear(&stream->message);
    if (len > ABCI_MESSAGE_MAX_BYTES || hm_buf_reserve(&stream->message, (size_t)len) != 0)
        return HM_ELIMIT;
    stream->message.len = (size_t)len;
    return stream_read(stream, stream->message.data, (size_t)len);
}

static int message_write(int fd, struct hm_slice message)
{
    uint8_t header[HEADER_MAX];
    size_t used = 0;
    uint64_t left = message.len;

    do {
        header[used++] = (uint8_t)((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
        left >>= 7;
    } while (left > 0);
    if (hm_write_all(fd, header, used, NULL) != 0)
        return HM_EIO;
    return hm_write_all(fd, message.data, message.len, NULL);
}

/* --- one connection: a thread for requests, one for answers --------------------------------------------- */

struct link {
    struct stream engine, app;
    pthread_mutex_t lock; /* guards the fields below */
    struct abci_script_asked asked[ASKED_MAX]; /* a ring */
    size_t first, count;
    bool silent;
};

static void link_shut(const struct link *link)
{
    (void)shutdown(link->engine.fd, SHUT_RDWR);
    (void)shutdown(link->app.fd, SHUT_RDWR);
}

static int asked_push(struct link *link, const struct abci_script_asked *asked)
{
    int status = HM_ELIMIT;

    (void)pthread_mutex_lock(&link->lock);
    if (link->count < ASKED_MAX) {
        link->asked[(link->first + link->count++) % ASKED_MAX] = *asked;
        status = 0;
    }
    (void)pthread_mutex_unlock(&link->lock);
    return status;
}

static int asked_pop(struct link *link, struct abci_script_asked *out)
{
    int status = HM_EPARSE; /* an answer that nobody asked for */

    (void)pthread_mutex_lock(&link->lock);
    if (link->count > 0) {
        *out = link->asked[link->first];
        link->first = (link->first + 1) % ASKED_MAX;
        link->count--;
        status = 0;
    }
    (void)pthread_mutex_unlock(&link->lock);
    return status;
}

static int64_t finalized_swap(const struct abci_script_asked *asked)
{
    int64_t height;

    (void)pthread_mutex_lock(&self.lock);
    if (asked != NULL && asked->call == HYPERMESH__ABCI__REQUEST__VALUE_FINALIZE_BLOCK)
        self.finalized = asked->height;
    height = self.finalized;
    (void)pthread_mutex_unlock(&self.lock);
    return height;
}

static void *requests_run(void *arg)
{
    struct link *link = arg;
    struct abci_script_asked asked;

    while (message_read(&link->engine) == 0 && abci_script_ask(hm_buf_slice(&link->engine.message),
                                                               finalized_swap(NULL), &asked) == 0) {
        (void)finalized_swap(&asked);
        if (asked_push(link, &asked) != 0 ||
            message_write(link->app.fd, hm_buf_slice(&link->engine.message)) != 0)
            break;
    }
    link_shut(link);
    return NULL;
}

static const char *call_name(const struct abci_script_asked *asked)
{
    const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(
        &hypermesh__abci__request__descriptor, (unsigned)asked->call);

    return field == NULL ? "?" : field->name;
}

static void wait_ms(uint64_t ms)
{
    struct timespec left = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000 * 1000000)};

    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

static bool rules_hold(void)
{
    return self.while_path == NULL || access(self.while_path, F_OK) == 0;
}

/* Passes on, changes or swallows one answer; negative: the connection is over. */
static int answer_pass(struct link *link, bool *silent)
{
    HM_CLEANUP(hm_buf) struct hm_buf changed = {0};
    static const struct abci_script no_rules = {.count = 0};
    struct abci_script_asked asked;
    enum abci_script_act act;
    uint64_t delay_ms;
    const char *name;
    int status = asked_pop(link, &asked);

    if (status == 0)
        status = abci_script_apply(rules_hold() ? &self.script : &no_rules, &asked,
                                   hm_buf_slice(&link->app.message), &changed, &act, &delay_ms,
                                   &name);
    if (status != 0)
        return status;
    if (name != NULL && !*silent) {
        (void)printf("%s %lld: %s\n", call_name(&asked), (long long)asked.height, name);
        (void)fflush(stdout);
        wait_ms(delay_ms);
    }
    *silent = *silent || act == ABCI_SCRIPT_SILENT;
    if (act == ABCI_SCRIPT_CLOSE)
        return HM_EIO;
    if (*silent)
        return 0;
    return message_write(link->engine.fd,
                         hm_buf_slice(act == ABCI_SCRIPT_CHANGED ? &changed : &link->app.message));
}

static void *link_run(void *arg)
{
    struct link *link = arg;
    pthread_t requests;
    bool silent = false;

    if (pthread_create(&requests, NULL, requests_run, link) == 0) {
        while (message_read(&link->app) == 0 && answer_pass(link, &silent) == 0)
            ;
        link_shut(link);
        (void)pthread_join(requests, NULL);
    }
    (void)close(link->engine.fd);
    (void)close(link->app.fd);
    hm_buf_release(&link->engine.message);
    hm_buf_release(&link->app.message);
    (void)pthread_mutex_destroy(&link->lock);
    hm_free(link);
    return NULL;
}

static void link_begin(int fd)
{
    HM_AUTOCLOSE int engine = fd;
    HM_AUTOCLOSE int app = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct link *link = hm_calloc(1, sizeof *link);
    pthread_t thread;

    if (link == NULL || app < 0 ||
        connect(app, (const struct sockaddr *)&self.app, sizeof self.app) != 0) {
        (void)fprintf(stderr, "abci_script: no application at %s\n", self.app.sun_path);
        hm_free(link);
        return;
    }
    (void)pthread_mutex_init(&link->lock, NULL);
    link->engine.fd = engine;
    link->app.fd = app;
    if (pthread_create(&thread, NULL, link_run, link) != 0) {
        (void)pthread_mutex_destroy(&link->lock);
        hm_free(link);
        return;
    }
    (void)pthread_detach(thread);
    engine = app = -1; /* the thread's now */
}

/* --- the application of our own -------------------------------------------------------------------------- */

static int state_load(struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};
    int status = hm_file_read(self.state_path, STATE_MAX, &bytes, error);

    if (status == HM_ENOTFOUND)
        return 0;
    if (status == 0 && script_state_unpack(hm_buf_slice(&bytes), &self.disk.state) != 0)
        status = hm_fail(error, HM_ECORRUPT, "%s holds no state", self.state_path);
    return status;
}

static int state_saved(void *ctx, const struct script_disk *disk, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf bytes = {0};

    (void)ctx;
    if (script_state_pack(&disk->state, &bytes) != 0)
        return hm_fail(error, HM_ENOMEM, "no memory for the state");
    return hm_file_replace(self.state_path, bytes.data, bytes.len, 0600, error);
}

static void server_says(void *ctx, const struct hm_error *error)
{
    (void)ctx;
    (void)fprintf(stderr, "abci_script: %s\n", error->text);
}

static int own_open(struct script_options *options, struct hm_error *error)
{
    const struct abci_server_options server = {.log = server_says};
    struct abci_handlers handlers;
    int status = self.state_path == NULL ? 0 : state_load(error);

    options->clock = hm_clock_system();
    options->saved = self.state_path == NULL ? NULL : state_saved;
    if (status == 0)
        status = script_app_open(&self.disk, options, &self.own, error);
    if (status != 0)
        return status;
    script_app_handlers(self.own, &handlers);
    handlers.failed = server_says;
    return abci_server_open(self.app.sun_path, &handlers, &server, &self.server, error);
}

/* --- start ------------------------------------------------------------------------------------------------ */

struct arguments {
    const char *listen, *app;
    struct script_options own;
};

static int argument(int argc, char **argv, int *at, struct arguments *out, struct hm_error *error)
{
    const char *word = argv[*at], *next = *at + 1 < argc ? argv[*at + 1] : NULL;
    uint64_t number;

    if (strcmp(word, "--optimistic") == 0) {
        out->own.optimistic = true;
        return 0;
    }
    if (word[0] != '-')
        return abci_script_add(&self.script, word, error);
    if (next == NULL)
        return hm_fail(error, HM_EINVAL, "%s needs something after it, or is unknown", word);
    (*at)++;
    if (strcmp(word, "--app") == 0) {
        out->app = next;
    } else if (strcmp(word, "--state") == 0) {
        self.state_path = next;
    } else if (strcmp(word, "--while") == 0) {
        self.while_path = next;
    } else if (strcmp(word, "--snapshots") == 0) {
        if (hm_u64_parse(next, &number, error) != 0 || number > SNAPSHOTS_MAX)
            return hm_fail(error, HM_EINVAL, "--snapshots needs a number of blocks");
        out->own.snapshot_every = (unsigned)number;
    } else {
        return hm_fail(error, HM_EINVAL, "%s is unknown", word);
    }
    return 0;
}

static int address_of(const char *path, const char *end, struct sockaddr_un *out,
                      struct hm_error *error)
{
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) + strlen(end) >= sizeof out->sun_path)
        return hm_fail(error, HM_ELIMIT, "a socket's path has at most %zu bytes: %s%s",
                       sizeof out->sun_path - 1, path, end);
    memcpy(out->sun_path, path, strlen(path));
    memcpy(out->sun_path + strlen(path), end, strlen(end) + 1);
    return 0;
}

static int start(int argc, char **argv, struct hm_error *error)
{
    struct arguments arguments = {0};
    struct sockaddr_un address;
    int status = 0;

    if (argc < 2)
        return hm_fail(error, HM_EINVAL, "say: abci_script SOCKET [OPTION...] [RULE...]");
    arguments.listen = argv[1];
    for (int i = 2; i < argc && status == 0; i++)
        status = argument(argc, argv, &i, &arguments, error);
    if (status == 0)
        status = address_of(arguments.listen, "", &address, error);
    if (status == 0)
        status = arguments.app != NULL ? address_of(arguments.app, "", &self.app, error)
                                       : address_of(arguments.listen, ".app", &self.app, error);
    if (status == 0 && arguments.app == NULL)
        status = own_open(&arguments.own, error);
    if (status != 0)
        return status;
    (void)unlink(arguments.listen);
    self.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (self.listener < 0 ||
        bind(self.listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(self.listener, 16) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot listen at %s", arguments.listen);
    return 0;
}

int main(int argc, char **argv)
{
    struct hm_error error = {0};
    int own = 1;

    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    (void)signal(SIGPIPE, SIG_IGN);
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        HM_CLEANUP(hm_buf) struct hm_buf help = {0};
        if (abci_script_help(&help) != 0)
            return 1;
        (void)fputs(hm_buf_cstr(&help), stdout);
        return 0;
    }
    while (own < argc && strcmp(argv[own], "--") != 0)
        own++;
    if (start(own, argv, &error) != 0 ||
        (own + 1 < argc && beside_start(argv + own + 1, &error) != 0)) {
        (void)fprintf(stderr, "abci_script: %s\n", error.text);
        return 1;
    }
    (void)puts("ready");
    (void)fflush(stdout);
    for (;;) {
        int fd = accept4(self.listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            link_begin(fd);
    }
}
