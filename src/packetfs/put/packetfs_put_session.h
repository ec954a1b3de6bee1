/* One put from its beginning to its snapshot, whatever the files come from: a walk (packetfs_put.c) or a stream of
 * entries (packetfs_stream.c). */
#ifndef HM_PACKETFS_PUT_SESSION_H
#define HM_PACKETFS_PUT_SESSION_H

#include "put/packetfs_put.h"

struct packetfs_put_session {
    struct packetfs_put put;
    struct packetfs_volume *volume;
    struct packetfs_writer *writer;
    struct packetfs_snapshot snapshot;
};

/* label NULL: the last name of path. threads 0: as many as processors. HM_EPERM: the volume is for reading only. */
int packetfs_put_session_new(struct packetfs_volume *volume, const char *label, const char *path,
                             unsigned threads, const struct packetfs_watch *watch,
                             struct packetfs_put_session **out, struct hm_error *error);
/* Makes what was put durable, and then the snapshot of put.root. */
int packetfs_put_session_finish(struct packetfs_put_session *session, struct hm_error *error);
void packetfs_put_session_result(struct packetfs_put_session *session,
                                 struct packetfs_put_result *out);
/* Before finish: what was stored stays for a prune, and there is no snapshot. NULL is fine. */
void packetfs_put_session_free(struct packetfs_put_session *session);

#endif
