/* Takes connections in and hands them to the loops. Here, and not in the library, so
 * that too many are turned away at once, and so that no more come while the server closes. */
#ifndef HM_API_PORTER_H
#define HM_API_PORTER_H

#include <pthread.h>
#include <sys/socket.h>

#include "base.h"

#define API_DOORS_MAX 3

struct api_porter_door {
    int fd; /* listens; the porter's */
    bool (*has_room)(void *ctx); /* asked before each connection; false: it is closed at once */
    /* fd does not block, and is the callee's from here on */
    void (*take)(void *ctx, int fd, const struct sockaddr *address, socklen_t len);
    void *ctx;
};

struct api_porter {
    struct api_porter_door doors[API_DOORS_MAX];
    size_t count;
    int stop_fd;
    pthread_t thread;
    bool running;
};

/* Before api_porter_open. fd is the porter's from here on. */
void api_porter_add(struct api_porter *porter, const struct api_porter_door *door);
int api_porter_open(struct api_porter *porter, struct hm_error *error);
/* After it nothing is taken in. Zero-initialised is fine, and so is a second time. */
void api_porter_close(struct api_porter *porter);

#endif
