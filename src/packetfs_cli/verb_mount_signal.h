/* A signal ends the mount, whenever it comes.
 *
 * FUSE's own handler only marks the session as over: its loop looks at the mark and then sleeps, and a signal between
 * the two is lost until somebody uses the mount again. Here a thread marks the session and keeps waking the loop until
 * it has returned. */
#ifndef HM_PACKETFS_VERB_MOUNT_SIGNAL_H
#define HM_PACKETFS_VERB_MOUNT_SIGNAL_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "packetfs.h"

struct fuse_session;

#define MOUNT_SIGNALS 4 /* INT, TERM, HUP end the mount; USR1 wakes its loop */

struct mount_signals {
    struct fuse_session *session;
    pthread_t loop; /* sleeps in the loop of FUSE */
    pthread_t watcher;
    bool watched;
    atomic_bool over; /* the loop has returned */
    struct sigaction before[MOUNT_SIGNALS];
};

/* From here on a signal is remembered; before anything is mounted. One mount a process; holds across a fork. 0, or PACKETFS_EIO. */
int mount_signals_init(struct mount_signals *signals, struct packetfs_error *error);
/* What was remembered, and what comes, ends the loop that this thread will run. 0, or PACKETFS_EIO. */
int mount_signals_watch(struct mount_signals *signals, struct fuse_session *session,
                        struct packetfs_error *error);
/* After the loop; where nothing was watched, too. */
void mount_signals_release(struct mount_signals *signals);

#endif
