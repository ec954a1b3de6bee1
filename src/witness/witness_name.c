#include "witness_name.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define NAME_TEXT_BYTES 320 /* of an address */
#define NAME_HOST_BYTES 256
#define MS_A_S          1000

struct witness_name {
    uint8_t id[WITNESS_ECHO_ID_BYTES];
    char text[NAME_TEXT_BYTES]; /* set before the thread starts, never after */
    enum { NAME_SOUGHT, NAME_FOUND, NAME_TAKEN } state;
    struct sockaddr_storage address; /* found */
};

struct witness_names {
    pthread_mutex_t lock; /* guards states, addresses, and what follows */
    pthread_cond_t changed;
    unsigned holders; /* who made it, and its thread: the last one frees it */
    bool quit;
    int family;
    int wake_fd; /* its own; -1: not started */
    size_t count, max;
    struct witness_name list[];
};

/* --- addresses ------------------------------------------------------------------------------------------- */

/* "HOST:PORT" or "[HOST]:PORT". */
static int name_split(const char *text, char host[NAME_HOST_BYTES], const char **port)
{
    const char *colon = strrchr(text, ':');
    size_t len = colon != NULL ? (size_t)(colon - text) : 0;

    if (len > 1 && text[0] == '[' && text[len - 1] == ']') {
        text++;
        len -= 2;
    }
    if (len == 0 || len >= NAME_HOST_BYTES)
        return HM_EPARSE;
    memcpy(host, text, len);
    host[len] = '\0';
    *port = colon + 1;
    return 0;
}

int witness_address(const char *text, int family, bool by_name, struct sockaddr_storage *out,
                    socklen_t *out_len)
{
    struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_DGRAM};
    struct addrinfo *found = NULL;
    char host[NAME_HOST_BYTES];
    const char *port;

    if (name_split(text, host, &port) != 0)
        return HM_EPARSE;
    hints.ai_flags = AI_NUMERICSERV | (by_name ? 0 : AI_NUMERICHOST) |
                     (family == AF_INET6 ? AI_V4MAPPED : 0);
    if (getaddrinfo(host, port, &hints, &found) != 0)
        return HM_ENOTFOUND;
    memcpy(out, found->ai_addr, found->ai_addrlen);
    *out_len = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

/* --- the thread ------------------------------------------------------------------------------------------- */

/* One holder less. */
static void names_let_go(struct witness_names *names)
{
    pthread_mutex_lock(&names->lock);
    bool last = --names->holders == 0;
    pthread_mutex_unlock(&names->lock);
    if (!last)
        return;
    hm_fd_release(&names->wake_fd);
    pthread_cond_destroy(&names->changed);
    pthread_mutex_destroy(&names->lock);
    hm_free(names);
}

static bool names_seek(struct witness_names *names, const struct witness_name *name)
{
    pthread_mutex_lock(&names->lock);
    bool seek = !names->quit && name->state == NAME_SOUGHT;
    pthread_mutex_unlock(&names->lock);
    return seek;
}

static void names_found(struct witness_names *names, struct witness_name *name,
                        const struct sockaddr_storage *address)
{
    const uint64_t one = 1;

    pthread_mutex_lock(&names->lock);
    name->address = *address;
    name->state = NAME_FOUND;
    if (!names->quit)
        (void)!write(names->wake_fd, &one, sizeof(one));
    pthread_mutex_unlock(&names->lock);
}

/* Once through all that are sought; how many are not found. */
static size_t names_look(struct witness_names *names)
{
    struct sockaddr_storage address;
    socklen_t len;
    size_t missing = 0;

    for (size_t i = 0; i < names->count; i++) {
        struct witness_name *name = &names->list[i];

        if (!names_seek(names, name))
            continue;
        if (witness_address(name->text, names->family, true, &address, &len) == 0)
            names_found(names, name, &address);
        else
            missing++;
    }
    return missing;
}

/* Until it is time to try again; false: no more. */
static bool names_rest(struct witness_names *names)
{
    struct timespec until;
    int rc = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += WITNESS_NAME_AGAIN_MS / MS_A_S;
    pthread_mutex_lock(&names->lock);
    while (!names->quit && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&names->changed, &names->lock, &until);
    bool quit = names->quit;
    pthread_mutex_unlock(&names->lock);
    return !quit;
}

static void *names_main(void *arg)
{
    struct witness_names *names = arg;

    pthread_setname_np(pthread_self(), "hm-names");
    while (names_look(names) > 0 && names_rest(names))
        ;
    names_let_go(names);
    return NULL;
}

/* --- life ------------------------------------------------------------------------------------------------- */

int witness_names_new(size_t max, int family, struct witness_names **out, struct hm_error *error)
{
    struct witness_names *names = hm_calloc(1, sizeof(*names) + max * sizeof(names->list[0]));
    pthread_condattr_t attr;

    if (names == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory for the cluster's peers");
    names->family = family;
    names->wake_fd = -1;
    names->holders = 1;
    names->max = max;
    pthread_mutex_init(&names->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&names->changed, &attr);
    pthread_condattr_destroy(&attr);
    *out = names;
    return 0;
}

void witness_names_add(struct witness_names *names, const uint8_t id[WITNESS_ECHO_ID_BYTES],
                       const char *text)
{
    struct witness_name *name;

    if (names->count == names->max)
        return;
    name = &names->list[names->count++];
    memcpy(name->id, id, WITNESS_ECHO_ID_BYTES);
    snprintf(name->text, sizeof(name->text), "%s", text);
}

int witness_names_start(struct witness_names *names, int wake_fd, struct hm_error *error)
{
    pthread_t thread;

    if (names->count == 0)
        return 0;
    names->wake_fd = fcntl(wake_fd, F_DUPFD_CLOEXEC, 0);
    if (names->wake_fd < 0)
        return hm_fail_errno(error, HM_EIO, "no descriptor to find the cluster's peers");
    names->holders++;
    if (pthread_create(&thread, NULL, names_main, names) != 0) {
        names->holders--;
        return hm_fail(error, HM_ENOMEM, "no thread to find the cluster's peers");
    }
    pthread_detach(thread);
    return 0;
}

bool witness_names_take(struct witness_names *names, uint8_t id[WITNESS_ECHO_ID_BYTES],
                        struct sockaddr_storage *out)
{
    bool found = false;

    pthread_mutex_lock(&names->lock);
    for (size_t i = 0; i < names->count && !found; i++) {
        struct witness_name *name = &names->list[i];

        if (name->state != NAME_FOUND)
            continue;
        name->state = NAME_TAKEN;
        memcpy(id, name->id, WITNESS_ECHO_ID_BYTES);
        *out = name->address;
        found = true;
    }
    pthread_mutex_unlock(&names->lock);
    return found;
}

void witness_names_free(struct witness_names *names)
{
    if (names == NULL)
        return;
    pthread_mutex_lock(&names->lock);
    names->quit = true;
    pthread_cond_broadcast(&names->changed);
    pthread_mutex_unlock(&names->lock);
    names_let_go(names);
}
