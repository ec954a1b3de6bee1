/* Whose turn it is to send: strict classes, deficit round robin with weights within one. */
#include "stoq_sched.h"

#define WEIGHT_DEFAULT 16
/* A node that sent more than its share owes at most this, so that a turn comes after a bounded number of rounds. */
#define DEBT_BYTES_MAX 65536

static int64_t quantum(const struct stoq_sched_node *node)
{
    return (int64_t)node->weight * STOQ_SCHED_QUANTUM_BYTES;
}

void stoq_sched_init(struct stoq_sched *sched)
{
    *sched = (struct stoq_sched){0};
}

static void node_set(struct stoq_sched_node *node, uint8_t priority, uint16_t weight)
{
    if (weight == 0)
        weight = WEIGHT_DEFAULT;
    node->weight = weight > STOQ_WEIGHT_MAX ? STOQ_WEIGHT_MAX : weight;
    node->priority = priority < STOQ_PRIORITY_CLASSES ? priority : STOQ_PRIORITY_CLASSES - 1;
}

void stoq_sched_node_init(struct stoq_sched_node *node, uint8_t priority, uint16_t weight)
{
    *node = (struct stoq_sched_node){0};
    node_set(node, priority, weight);
}

void stoq_sched_add(struct stoq_sched *sched, struct stoq_sched_node *node)
{
    if (node->queued)
        return;
    struct stoq_sched_node **head = &sched->heads[node->priority];
    if (*head == NULL) {
        node->before = node->after = node;
        *head = node;
        sched->classes |= 1U << node->priority;
    } else {
        node->after = *head;
        node->before = (*head)->before;
        node->before->after = node;
        (*head)->before = node;
    }
    node->queued = true;
}

void stoq_sched_remove(struct stoq_sched *sched, struct stoq_sched_node *node)
{
    if (!node->queued)
        return;
    struct stoq_sched_node **head = &sched->heads[node->priority];
    if (node->after == node) {
        *head = NULL;
        sched->classes &= ~(1U << node->priority);
    } else {
        node->before->after = node->after;
        node->after->before = node->before;
        if (*head == node)
            *head = node->after;
    }
    node->before = node->after = NULL;
    node->queued = false;
    if (node->deficit > 0) /* what is not used is lost; what is owed stays owed */
        node->deficit = 0;
}

void stoq_sched_set(struct stoq_sched *sched, struct stoq_sched_node *node, uint8_t priority,
                    uint16_t weight)
{
    struct stoq_sched_node wanted = *node;

    node_set(&wanted, priority, weight);
    if (wanted.priority != node->priority && node->queued) {
        stoq_sched_remove(sched, node);
        node_set(node, priority, weight);
        stoq_sched_add(sched, node);
    } else {
        node_set(node, priority, weight);
    }
}

struct stoq_sched_node *stoq_sched_next(struct stoq_sched *sched)
{
    if (sched->classes == 0)
        return NULL;
    struct stoq_sched_node **head = &sched->heads[__builtin_ctz(sched->classes)];
    /* Each visit pays a node at least the smallest quantum of a bounded debt, so this ends. */
    while ((*head)->deficit <= 0) {
        (*head)->deficit += quantum(*head);
        if ((*head)->deficit <= 0)
            *head = (*head)->after;
    }
    return *head;
}

void stoq_sched_spent(struct stoq_sched *sched, struct stoq_sched_node *node, size_t bytes)
{
    node->deficit -= bytes < DEBT_BYTES_MAX ? (int64_t)bytes : DEBT_BYTES_MAX;
    if (node->deficit < -DEBT_BYTES_MAX)
        node->deficit = -DEBT_BYTES_MAX;
    if (!node->queued)
        return;
    if (node->after == node) { /* nobody waits for it: nothing is owed */
        if (node->deficit < 0)
            node->deficit = 0;
    } else if (node->deficit <= 0 && sched->heads[node->priority] == node) {
        sched->heads[node->priority] = node->after;
    }
}
