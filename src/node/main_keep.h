/* hypermeshd --keep: a small process that starts the daemon as its child, and again when that has crashed. It reads no secret and
 * has no thread. */
#ifndef HM_NODE_MAIN_KEEP_H
#define HM_NODE_MAIN_KEEP_H

/* DATA/hypermeshd.keep is locked (fcntl, so that its owner can be asked for) as long as there is a keeper, and says how the
 * daemon ended last: "signal 9", "exit status 1", or nothing. */
#define MAIN_KEEP_NAME "hypermeshd.keep"

/* The process's exit status. SIGTERM and SIGINT are handed through and end both, SIGHUP ends a pause. argv: the daemon's. */
int main_keep(char **argv, const char *data_dir);
/* In the daemon that it started: from now on it is told to end when its keeper dies. -1: that has died already. */
int main_kept(long keeper);

#endif
