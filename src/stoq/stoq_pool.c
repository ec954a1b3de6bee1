/* A pool: one live link a peer. Whoever asks first makes it, others that ask meanwhile wait for that handshake; a link
 * that has ended is made again, with the session it left behind. */
#include "stoq_link.h"

/* Peers remembered, for their sessions, beside those that have a link. */
#define PEERS_PER_LINK 4
#define LINKS_MAX      100000

struct peer {
    struct peer *before, *after; /* in order of use, the latest first */
    struct sockaddr_in6 remote;
    char *name;
    struct stoq_link *link; /* the pool is one of its holders; may have ended */
    uint8_t *session;
    size_t session_len;
    bool connecting;
    unsigned waiters;
    uint64_t attempts; /* handshakes that ended */
    struct stoq_error failure; /* of the last one; code 0: it worked */
};

struct stoq_pool {
    pthread_mutex_t lock;
    pthread_cond_t news;
    struct stoq_caller *caller;
    struct peer *first, *last;
    struct stoq_link
        *leaving; /* let go; released without the lock, because that may take a moment */
    size_t peers, links, links_max; /* links: those held, and those being made */
};

int stoq_pool_new(struct stoq_pool **out, struct stoq_caller *caller, size_t links_max,
                  struct stoq_error *error)
{
    if (links_max == 0 || links_max > LINKS_MAX)
        return stoq_fail(error, STOQ_EINVAL, "links_max must lie between 1 and %d", LINKS_MAX);
    struct stoq_pool *pool = hm_calloc(1, sizeof(*pool));
    if (pool == NULL)
        return stoq_fail(error, STOQ_ENOMEM, "no memory for a pool");
    pool->caller = caller;
    stoq_caller_ref(caller);
    pool->links_max = links_max;
    (void)pthread_mutex_init(&pool->lock, NULL);
    stoq_cond_init(&pool->news);
    *out = pool;
    return 0;
}

/* --- peers ------------------------------------------------------------------------------------------------------- */

static void unlink_peer(struct stoq_pool *pool, struct peer *peer)
{
    if (peer->before != NULL)
        peer->before->after = peer->after;
    else
        pool->first = peer->after;
    if (peer->after != NULL)
        peer->after->before = peer->before;
    else
        pool->last = peer->before;
    peer->before = peer->after = NULL;
}

static void push_front(struct stoq_pool *pool, struct peer *peer)
{
    peer->after = pool->first;
    if (pool->first != NULL)
        pool->first->before = peer;
    else
        pool->last = peer;
    pool->first = peer;
}

/* The pool's hold on its link, and the session the link has got. */
static void let_go(struct stoq_pool *pool, struct peer *peer)
{
    size_t len;

    if (peer->link == NULL)
        return;
    uint8_t *session = stoq_link_session(peer->link, &len);
    if (session != NULL) {
        if (peer->session != NULL)
            hm_wipe(peer->session, peer->session_len);
        hm_free(peer->session);
        peer->session = session;
        peer->session_len = len;
    }
    peer->link->after = pool->leaving; /* nobody accepts a link of ours */
    pool->leaving = peer->link;
    peer->link = NULL;
    pool->links--;
}

/* Under the lock, which is let go meanwhile. */
static void release_leaving(struct stoq_pool *pool)
{
    while (pool->leaving != NULL) {
        struct stoq_link *link = pool->leaving;

        pool->leaving = link->after;
        link->after = NULL;
        (void)pthread_mutex_unlock(&pool->lock);
        stoq_link_release(link);
        (void)pthread_mutex_lock(&pool->lock);
    }
}

static void forget(struct stoq_pool *pool, struct peer *peer)
{
    let_go(pool, peer);
    unlink_peer(pool, peer);
    pool->peers--;
    if (peer->session != NULL)
        hm_wipe(peer->session, peer->session_len);
    hm_free(peer->session);
    hm_free(peer->name);
    hm_free(peer);
}

void stoq_pool_free(struct stoq_pool *pool)
{
    if (pool == NULL)
        return;
    (void)pthread_mutex_lock(&pool->lock);
    while (pool->first != NULL)
        forget(pool, pool->first);
    release_leaving(pool);
    (void)pthread_mutex_unlock(&pool->lock);
    stoq_caller_unref(pool->caller);
    (void)pthread_cond_destroy(&pool->news);
    (void)pthread_mutex_destroy(&pool->lock);
    hm_free(pool);
}

static bool is_peer(const struct peer *peer, const struct sockaddr_in6 *remote, const char *name)
{
    return peer->remote.sin6_port == remote->sin6_port &&
           peer->remote.sin6_scope_id == remote->sin6_scope_id &&
           IN6_ARE_ADDR_EQUAL(&peer->remote.sin6_addr, &remote->sin6_addr) &&
           strcmp(peer->name, name) == 0;
}

/* Makes room for one peer more: the longest unused goes; those somebody waits for stay. */
static void trim_peers(struct stoq_pool *pool)
{
    for (struct peer *peer = pool->last, *before; peer != NULL; peer = before) {
        before = peer->before;
        if (pool->peers < pool->links_max * PEERS_PER_LINK)
            return;
        if (!peer->connecting && peer->waiters == 0)
            forget(pool, peer);
    }
}

/* The peer, made if it was not there, first in order of use. NULL: no memory. */
static struct peer *find(struct stoq_pool *pool, const struct sockaddr_in6 *remote,
                         const char *name)
{
    struct peer *peer = pool->first;

    while (peer != NULL && !is_peer(peer, remote, name))
        peer = peer->after;
    if (peer != NULL) {
        unlink_peer(pool, peer);
        push_front(pool, peer);
        return peer;
    }
    trim_peers(pool);
    peer = hm_calloc(1, sizeof(*peer));
    if (peer == NULL || (peer->name = hm_strdup(name)) == NULL) {
        hm_free(peer);
        return NULL;
    }
    peer->remote = *remote;
    push_front(pool, peer);
    pool->peers++;
    return peer;
}

/* Makes room for one link more, if it can: ended ones first, then the longest unused. */
static bool trim_links(struct stoq_pool *pool)
{
    for (struct peer *peer = pool->last; peer != NULL && pool->links >= pool->links_max;
         peer = peer->before) {
        if (peer->link != NULL && !stoq_link_alive(peer->link))
            let_go(pool, peer);
    }
    for (struct peer *peer = pool->last; peer != NULL && pool->links >= pool->links_max;
         peer = peer->before)
        let_go(pool, peer);
    return pool->links < pool->links_max;
}

/* --- get --------------------------------------------------------------------------------------------------------- */

/* Under the lock, which is let go meanwhile. */
static void make(struct stoq_pool *pool, struct peer *peer, int timeout_ms)
{
    struct stoq_bytes session = {peer->session, peer->session_len};
    uint8_t *taken = peer->session;
    struct stoq_error failure = {0};
    struct stoq_link *link = NULL;

    peer->session = NULL; /* a ticket is used once (RFC 8446 appendix C.4) */
    peer->session_len = 0;
    peer->connecting = true;
    pool->links++;
    release_leaving(pool);
    (void)pthread_mutex_unlock(&pool->lock);
    int code = stoq_link_connect_with(pool->caller, &peer->remote, peer->name, session, timeout_ms,
                                      &link, &failure);
    if (taken != NULL)
        hm_wipe(taken, session.len);
    hm_free(taken);
    (void)pthread_mutex_lock(&pool->lock);
    peer->connecting = false;
    peer->attempts++;
    peer->failure = failure;
    peer->failure.code = code;
    if (code == 0)
        peer->link = link;
    else
        pool->links--;
    (void)pthread_cond_broadcast(&pool->news);
}

static int left_ms(const struct stoq_until *until)
{
    struct timespec now;

    if (until->forever)
        return -1;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t ms = (int64_t)(until->at.tv_sec - now.tv_sec) * 1000 +
                 (until->at.tv_nsec - now.tv_nsec) / 1000000;
    return ms < 0 ? 0 : ms > INT32_MAX ? INT32_MAX : (int)ms;
}

/* Under the lock: waits for the handshake that another made; its failure is ours too, unless only its time was over. */
static int wait_other(struct stoq_pool *pool, struct peer *peer, const struct stoq_until *until,
                      struct stoq_error *error)
{
    uint64_t attempts = peer->attempts;

    while (peer->attempts == attempts) {
        if (!stoq_cond_wait(&pool->news, &pool->lock, until) && peer->attempts == attempts)
            return stoq_fail(error, STOQ_ETIMEOUT, "no answer from the peer in time");
    }
    if (peer->failure.code != 0 && peer->failure.code != STOQ_ETIMEOUT)
        return stoq_fail(error, peer->failure.code, "%s", peer->failure.text);
    return 0;
}

/* Under the lock. */
static int get(struct stoq_pool *pool, struct peer *peer, const struct stoq_until *until,
               struct stoq_link **out, struct stoq_error *error)
{
    for (;;) {
        if (peer->link != NULL && stoq_link_alive(peer->link)) {
            stoq_link_hold(peer->link);
            *out = peer->link;
            return 0;
        }
        int code = 0;
        if (peer->connecting) {
            code = wait_other(pool, peer, until, error);
        } else {
            let_go(pool, peer);
            if (!trim_links(pool)) {
                if (stoq_cond_wait(&pool->news, &pool->lock, until))
                    continue;
                if (!trim_links(pool))
                    return stoq_fail(error, STOQ_ELIMIT, "%zu links are being made already",
                                     pool->links_max);
            }
            make(pool, peer, left_ms(until));
            code = peer->failure.code;
            if (code != 0)
                (void)stoq_fail(error, code, "%s", peer->failure.text);
        }
        if (code != 0)
            return code;
    }
}

int stoq_pool_get(struct stoq_pool *pool, const struct sockaddr_in6 *remote, const char *name,
                  int timeout_ms, struct stoq_link **out, struct stoq_error *error)
{
    const struct stoq_until until = stoq_until(timeout_ms);
    int code;

    if (name == NULL)
        return stoq_fail(error, STOQ_EINVAL, "name is not set: whom shall the peer prove to be?");
    (void)pthread_mutex_lock(&pool->lock);
    struct peer *peer = find(pool, remote, name);
    if (peer == NULL) {
        code = stoq_fail(error, STOQ_ENOMEM, "no memory for a peer");
    } else {
        peer->waiters++;
        code = get(pool, peer, &until, out, error);
        peer->waiters--;
    }
    release_leaving(pool);
    (void)pthread_mutex_unlock(&pool->lock);
    return code;
}
