#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "node_private.h"

void node_say_not_ready(struct node *node, const char *format, ...)
{
    va_list args;

    pthread_mutex_lock(&node->state_lock);
    va_start(args, format);
    vsnprintf(node->not_ready, sizeof(node->not_ready), format, args);
    va_end(args);
    pthread_mutex_unlock(&node->state_lock);
}

bool node_say_ready(struct node *node)
{
    pthread_mutex_lock(&node->state_lock);
    bool well = node->failure[0] == '\0';
    if (well)
        atomic_store(&node->ready, true);
    pthread_mutex_unlock(&node->state_lock);
    return well;
}

void node_fail(struct node *node, const char *why)
{
    const uint64_t one = 1;

    hm_log(HM_LOG_ERROR, "node", "the node cannot go on: %s", why);
    pthread_mutex_lock(&node->state_lock);
    if (node->failure[0] == '\0')
        snprintf(node->failure, sizeof(node->failure), "%s", why);
    snprintf(node->not_ready, sizeof(node->not_ready), "the node has failed: %s", why);
    atomic_store(&node->ready, false);
    atomic_store(&node->opened, false);
    pthread_mutex_unlock(&node->state_lock);
    hm_write_all(node->stop_fd, &one, sizeof(one), NULL);
}

int node_path(const struct node *node, const char *name, char out[NODE_PATH_MAX_BYTES],
              struct hm_error *error)
{
    int len = snprintf(out, NODE_PATH_MAX_BYTES, "%s/%s", node->data_dir, name);

    if (len < 0 || len >= NODE_PATH_MAX_BYTES)
        return hm_fail(error, HM_ELIMIT, "the data directory's path is too long for '%s'", name);
    return 0;
}

int node_need_ready(struct node *node, struct hm_error *error)
{
    if (atomic_load(&node->ready))
        return 0;
    pthread_mutex_lock(&node->state_lock);
    int rc = hm_fail(error, HM_EBUSY, "%s", node->not_ready);
    pthread_mutex_unlock(&node->state_lock);
    return rc;
}

int node_need_ledger(struct node *node, struct hm_error *error)
{
    struct ledger_info info;

    if (atomic_load(&node->opened) && ledger_info(node->ledger, &info, NULL) == 0)
        return 0;
    return node_need_ready(node, error);
}

bool node_quitting(const struct node *node)
{
    struct pollfd quit = {.fd = node->quit_fd, .events = POLLIN};

    return poll(&quit, 1, 0) > 0;
}

uint64_t node_now_ms(const struct node *node)
{
    uint64_t now_ms = hm_wall_ms(node->options.clock);
    uint64_t chain_ms = atomic_load_explicit(&node->chain_ms, memory_order_relaxed);

    return now_ms > chain_ms ? now_ms : chain_ms;
}
