/* Standard output behind a queue: whoever reads slowly costs datagrams, as a slow network does, and nothing else. */
#include "cat_output.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#define QUEUE_BYTES_MAX (8U << 20)

struct block {
    struct block *after;
    size_t len;
    uint8_t bytes[];
};

struct cat_output {
    pthread_mutex_t lock;
    pthread_cond_t news;
    pthread_t thread;
    struct block *first, *last;
    size_t bytes; /* that wait, what the list costs included */
    bool closing, failed;
    uint64_t lost;
    int broken_fd;
};

static size_t cost_of(const struct block *block)
{
    return sizeof(*block) + block->len;
}

/* The next block, the caller's to free; NULL: closed, and nothing waits. */
static struct block *take(struct cat_output *output)
{
    (void)pthread_mutex_lock(&output->lock);
    while (output->first == NULL && !output->closing)
        (void)pthread_cond_wait(&output->news, &output->lock);
    struct block *block = output->first;
    if (block != NULL) {
        output->first = block->after;
        if (output->first == NULL)
            output->last = NULL;
        output->bytes -= cost_of(block);
    }
    (void)pthread_mutex_unlock(&output->lock);
    return block;
}

static void *write_all(void *arg)
{
    struct cat_output *output = arg;
    struct block *block;
    uint64_t one = 1;

    while ((block = take(output)) != NULL) {
        bool written = hm_write_all(STDOUT_FILENO, block->bytes, block->len, NULL) == 0;

        hm_free(block);
        if (written)
            continue;
        (void)pthread_mutex_lock(&output->lock);
        output->failed = true; /* no more are taken; those that wait are thrown away below */
        (void)pthread_mutex_unlock(&output->lock);
        (void)!write(output->broken_fd, &one, sizeof(one));
        break;
    }
    return NULL;
}

int cat_output_open(struct cat_output **out, int broken_fd, struct stoq_error *error)
{
    struct cat_output *output = hm_calloc(1, sizeof(*output));

    if (output == NULL) {
        (void)snprintf(error->text, sizeof(error->text), "no memory for standard output");
        return STOQ_ENOMEM;
    }
    output->broken_fd = broken_fd;
    (void)pthread_mutex_init(&output->lock, NULL);
    (void)pthread_cond_init(&output->news, NULL);
    if (pthread_create(&output->thread, NULL, write_all, output) != 0) {
        (void)snprintf(error->text, sizeof(error->text), "cannot start a thread");
        hm_free(output);
        return STOQ_EIO;
    }
    *out = output;
    return 0;
}

bool cat_output_add(struct cat_output *output, const uint8_t *data, size_t len)
{
    struct block *block = hm_malloc(sizeof(*block) + len);

    if (block != NULL) {
        *block = (struct block){.len = len};
        memcpy(block->bytes, data, len);
    }
    (void)pthread_mutex_lock(&output->lock);
    bool taken = block != NULL && !output->failed &&
                 cost_of(block) <= QUEUE_BYTES_MAX - output->bytes;
    if (taken) {
        if (output->last != NULL)
            output->last->after = block;
        else
            output->first = block;
        output->last = block;
        output->bytes += cost_of(block);
        (void)pthread_cond_signal(&output->news);
    } else {
        output->lost++;
    }
    (void)pthread_mutex_unlock(&output->lock);
    if (!taken)
        hm_free(block);
    return taken;
}

uint64_t cat_output_close(struct cat_output *output, bool *failed)
{
    if (output == NULL)
        return 0;
    (void)pthread_mutex_lock(&output->lock);
    output->closing = true;
    (void)pthread_cond_signal(&output->news);
    (void)pthread_mutex_unlock(&output->lock);
    (void)pthread_join(output->thread, NULL);
    while (output->first != NULL) {
        struct block *after = output->first->after;

        hm_free(output->first);
        output->first = after;
    }
    uint64_t lost = output->lost;
    *failed = output->failed;
    (void)pthread_cond_destroy(&output->news);
    (void)pthread_mutex_destroy(&output->lock);
    hm_free(output);
    return lost;
}
