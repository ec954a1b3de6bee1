/* The watches of one stream of etcd's. */
#ifndef HM_API_ETCD_WATCH_H
#define HM_API_ETCD_WATCH_H

#include "api_etcd.h"
#include "api_feed.h"

#define API_ETCD_WATCHES_MAX 128 /* of one stream */
#define API_ETCD_NO_WATCH    (-1) /* what has an answer that is no watch's as its watch_id */

enum { API_ETCD_FILTER_NOPUT, API_ETCD_FILTER_NODELETE, API_ETCD_FILTER_COUNT };

struct api_etcd_watch {
    struct hm_slice key, end; /* own memory */
    int64_t id;
    uint64_t revision; /* where to go on */
    uint32_t sub;
    bool prev, progress;
    bool without[API_ETCD_FILTER_COUNT];
    uint64_t spoke_ns; /* for progress */
};

struct api_etcd_watches {
    char *account;
    struct api_etcd_ids ids;
    struct api_etcd_watch *list[API_ETCD_WATCHES_MAX];
    size_t count;
    size_t turn; /* whose turn it is; they are read one after another */
    int64_t next_id; /* the first that was not given to anyone by itself */
    unsigned asked; /* progress requests that wait until all have told what there is */
};

void api_etcd_watch_free(struct api_etcd_watch *watch); /* NULL is fine */
void api_etcd_watches_free(void *watches);
/* Takes it out of the list and frees it. */
void api_etcd_watches_drop(struct api_etcd_watches *watches, size_t index);

/* One line: {"result": {header, watch_id, and what is put between open and close. */
void api_etcd_frame_open(const struct api_etcd_watches *watches, struct json_out *json,
                         struct hm_buf *out, uint64_t revision, int64_t watch_id);
int api_etcd_frame_close(struct json_out *json);

/* Does what the requests of the body say, in their order: the watches, and in `out` the lines that answer the
 * requests. HM_EINVAL: none of them makes a watch. */
int api_etcd_watches_read(struct api_call *call, struct api_etcd_watches *watches,
                          struct hm_buf *out, struct hm_error *error);

#endif
