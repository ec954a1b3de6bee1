/* A host's life: sockets, endpoints and threads made together or not at all; what any thread may ask of it. */
#include "stoq_host.h"

#include <arpa/inet.h>
#include <signal.h>

#include "stoq_config.h"
#include "stoq_endpoint.h"

void stoq_host_config_default(struct stoq_host_config *config)
{
    *config = (struct stoq_host_config){.workers = 1};
    stoq_config_default(&config->endpoint);
}

static struct stoq_udp_options udp_options(const struct stoq_host *host,
                                           const struct sockaddr_in6 *bind)
{
    return (struct stoq_udp_options){.bind = *bind,
                                     .interface = host->interface,
                                     .buffer = host->socket_buffer,
                                     .shared = host->count > 1,
                                     .ask_local = host->server};
}

static int worker_open(struct stoq_host *host, unsigned index,
                       const struct stoq_host_config *config, const struct sockaddr_in6 *bind,
                       struct stoq_error *error)
{
    struct stoq_worker *worker = &host->workers[index];
    struct stoq_udp_options options = udp_options(host, bind);
    options.first = index == 0;
    struct stoq_config own = config->endpoint;

    worker->outbox = hm_malloc(sizeof(*worker->outbox));
    if (worker->outbox == NULL)
        return stoq_fail(error, STOQ_ENOMEM, "no memory for a worker's buffers");
    worker->outbox->first = worker->outbox->count = worker->outbox->used = 0;
    worker->outbox->again_ns = 0;
    worker->outbox->full = false;
    int code = stoq_udp_open(&worker->udp, &options, error);
    if (code == 0)
        code = stoq_waiter_init(&worker->waiter, worker->udp.fd, worker->posts.wake_fd, error);
    if (code != 0)
        return code;
    own.worker_index = (uint8_t)index;
    own.worker_count = (uint8_t)host->count;
    code = stoq_endpoint_new(&worker->endpoint, &own, &config->handlers, error);
    hm_wipe(own.secret, sizeof(own.secret));
    if (code == 0 && config->endpoint.qlog_folder != NULL)
        code = stoq_qlog_new(&worker->qlog, config->endpoint.qlog_folder, worker->endpoint, error);
    return code;
}

/* What does not belong to the thread, or what it left. */
static void worker_release(struct stoq_worker *worker)
{
    if (!worker->started)
        stoq_endpoint_free(worker->endpoint);
    stoq_qlog_free(worker->qlog);
    stoq_waiter_release(&worker->waiter);
    stoq_udp_close(&worker->udp);
    stoq_posts_release(&worker->posts);
    hm_free(worker->outbox);
}

/* All workers must make the same tokens and tickets: a client's next packet may reach another of them. */
static int draw_secret(struct stoq_config *config, struct stoq_error *error)
{
    static const uint8_t none[sizeof(config->secret)];
    const struct hm_random *system = hm_random_system();
    int code = 0;

    if (!hm_equal_ct(config->secret, none, sizeof(none)))
        return 0;
    if (config->random != NULL)
        code = (config->random)(config->world_ctx, config->secret, sizeof(config->secret));
    else
        code = system->fill(system->ctx, config->secret, sizeof(config->secret));
    return code == 0 ? 0 : stoq_fail(error, STOQ_EIO, "no random bytes for a host's secret");
}

/* Signals of the process are for the threads of the application. */
static int thread_start(struct stoq_worker *worker, struct stoq_error *error)
{
    sigset_t all, before;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&worker->thread, NULL, stoq_worker_run, worker);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code != 0)
        return stoq_fail(error, STOQ_EIO, "cannot start a worker's thread: %s", strerror(code));
    worker->started = true;
    return 0;
}

static int workers_open(struct stoq_host *host, struct stoq_host_config *config,
                        struct stoq_error *error)
{
    struct sockaddr_in6 bind = config->bind;

    for (unsigned i = 0; i < host->count; i++) {
        int code = worker_open(host, i, config, &bind, error);

        if (code != 0)
            return code;
        bind.sin6_port = host->workers[i].udp.local.sin6_port;
    }
    atomic_store(&host->port, ntohs(bind.sin6_port));
    int code = host->count > 1 ? stoq_udp_steer(&host->workers[0].udp, host->count, error) : 0;
    for (unsigned i = 0; i < host->count && code == 0; i++)
        code = thread_start(&host->workers[i], error);
    return code;
}

/* A host whose workers have a list of acts and nothing else yet. */
static int host_new(struct stoq_host **out, const struct stoq_host_config *config,
                    struct stoq_error *error)
{
    struct stoq_host *host = hm_calloc(1,
                                       sizeof(*host) + config->workers * sizeof(host->workers[0]));

    if (host == NULL)
        return stoq_fail(error, STOQ_ENOMEM, "no memory for a host");
    host->server = config->endpoint.server;
    host->socket_buffer = config->socket_buffer;
    if (config->interface != NULL) {
        host->interface = hm_strdup(config->interface);
        if (host->interface == NULL) {
            hm_free(host);
            return stoq_fail(error, STOQ_ENOMEM, "no memory for a host");
        }
    }
    for (; host->count < config->workers; host->count++) {
        struct stoq_worker *worker = &host->workers[host->count];

        worker->host = host;
        worker->index = host->count;
        worker->udp.fd = worker->waiter.epoll_fd = worker->waiter.timer_fd = -1;
        int code = stoq_posts_init(&worker->posts, error);
        if (code != 0) {
            stoq_host_close(host, 0);
            return code;
        }
    }
    *out = host;
    return 0;
}

int stoq_host_open(struct stoq_host **out, const struct stoq_host_config *config,
                   struct stoq_error *error)
{
    struct stoq_host_config own = *config;
    struct stoq_host *host = NULL;

    if (config->workers < 1 || config->workers > STOQ_WORKERS_MAX)
        return stoq_fail(error, STOQ_EINVAL, "workers is %u; it must lie between 1 and %d",
                         config->workers, STOQ_WORKERS_MAX);
    own.endpoint.worker_index = 0;
    own.endpoint.worker_count = (uint8_t)config->workers;
    int code = stoq_config_check(&own.endpoint, error);
    if (code == 0)
        code = draw_secret(&own.endpoint, error);
    if (code == 0)
        code = host_new(&host, config, error);
    if (code == 0) {
        code = workers_open(host, &own, error);
        if (code == 0)
            *out = host;
        else
            stoq_host_close(host, 0);
    }
    hm_wipe(own.endpoint.secret, sizeof(own.endpoint.secret));
    return code;
}

bool stoq_host_within(const struct stoq_host *host)
{
    bool within = false;

    for (unsigned i = 0; i < host->count; i++)
        within = within || (host->workers[i].started &&
                            pthread_equal(host->workers[i].thread, pthread_self()) != 0);
    return within;
}

void stoq_host_close(struct stoq_host *host, uint64_t drain_ns)
{
    if (host == NULL || stoq_host_within(host)) /* a worker cannot wait for its own end */
        return;
    for (unsigned i = 0; i < host->count; i++)
        stoq_posts_close(&host->workers[i].posts, drain_ns);
    for (unsigned i = 0; i < host->count; i++) {
        if (host->workers[i].started)
            (void)pthread_join(host->workers[i].thread, NULL);
    }
    for (unsigned i = 0; i < host->count; i++)
        worker_release(&host->workers[i]);
    hm_free(host->interface);
    hm_free(host);
}

uint16_t stoq_host_port(const struct stoq_host *host)
{
    return atomic_load(&host->port);
}

unsigned stoq_host_workers(const struct stoq_host *host)
{
    return host->count;
}

int stoq_host_post(struct stoq_host *host, unsigned worker,
                   void (*act)(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns),
                   void *arg)
{
    const struct stoq_post post = {.act = act, .arg = arg};

    if (worker >= host->count || act == NULL)
        return STOQ_EINVAL;
    return stoq_posts_add(&host->workers[worker].posts, &post);
}

struct rebinding {
    struct stoq_worker *worker;
    struct stoq_udp udp;
};

/* In the worker: the new socket takes the old one's place, and the connections follow. */
static void rebind(void *arg, struct stoq_endpoint *endpoint, uint64_t now_ns)
{
    struct rebinding *move = arg;
    struct stoq_worker *worker = move->worker;

    if (stoq_waiter_swap(&worker->waiter, worker->udp.fd, move->udp.fd) == 0) {
        stoq_udp_close(&worker->udp);
        worker->udp = move->udp;
        worker->outbox->full = false;
        worker->outbox->again_ns = 0;
        atomic_store(&worker->host->port, ntohs(worker->udp.local.sin6_port));
        stoq_endpoint_migrate(endpoint, &worker->udp.local, now_ns);
    } else { /* out of memory in the kernel: it goes on where it is */
        stoq_udp_close(&move->udp);
    }
    hm_free(move);
}

int stoq_host_rebind(struct stoq_host *host, const struct sockaddr_in6 *bind,
                     struct stoq_error *error)
{
    struct stoq_udp_options options = udp_options(host, bind);

    if (host->server)
        return stoq_fail(error, STOQ_EINVAL,
                         "a server cannot move: its peers would not know where it is; open another "
                         "host there");
    if (host->count > 1)
        return stoq_fail(error, STOQ_EUNSUPPORTED,
                         "a host of %u workers cannot move to another address; use one worker",
                         host->count);
    struct rebinding *move = hm_calloc(1, sizeof(*move));
    if (move == NULL)
        return stoq_fail(error, STOQ_ENOMEM, "no memory to move a host");
    move->worker = &host->workers[0];
    int code = stoq_udp_open(&move->udp, &options, error);
    if (code == 0) {
        code = stoq_host_post(host, 0, rebind, move);
        if (code == 0)
            return 0;
        stoq_udp_close(&move->udp);
        (void)stoq_fail(error, code, "the host is closing, or too much waits for its worker");
    }
    hm_free(move);
    return code;
}

void stoq_host_counters(struct stoq_host *host, uint64_t out[STOQ_COUNTERS])
{
    uint64_t one[STOQ_COUNTERS];

    memset(out, 0, STOQ_COUNTERS * sizeof(out[0]));
    for (unsigned i = 0; i < host->count; i++) {
        stoq_endpoint_counters(host->workers[i].endpoint, one);
        for (size_t c = 0; c < STOQ_COUNTERS; c++)
            out[c] += one[c];
    }
}
