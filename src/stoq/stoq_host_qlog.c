/* qlog files (draft-ietf-quic-qlog-main-schema): one a connection, named for its id, private, never over another file. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "stoq_core.h" /* conn->server: the first text comes while the connection is being made */
#include "stoq_endpoint.h"
#include "stoq_host.h"
#include "stoq_table.h"

#define CID_MAX 20

struct file {
    struct file *before, *after;
    struct stoq_conn *conn;
    int fd;
};

struct stoq_qlog {
    int folder_fd;
    size_t open; /* files, at most STOQ_QLOG_FILES_MAX */
    uint64_t number; /* tells connections apart whose ids are the same: clients choose them */
    struct stoq_table files; /* by the connection's address */
    struct file *first;
};

static int file_open(struct stoq_qlog *qlog, struct stoq_conn *conn)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t id[CID_MAX];
    char hex[2 * CID_MAX + 1], name[128];
    size_t len = stoq_conn_trace_id(conn, id);

    for (size_t i = 0; i < len; i++) {
        hex[2 * i] = digits[id[i] >> 4];
        hex[2 * i + 1] = digits[id[i] & 15];
    }
    hex[2 * len] = '\0';
    (void)snprintf(name, sizeof(name), "%s-%s-%d-%llu.sqlog", hex,
                   conn->server ? "server" : "client", (int)getpid(),
                   (unsigned long long)qlog->number++);
    return openat(qlog->folder_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                  0600);
}

/* NULL: this connection has no file, and gets none. */
static struct file *file_of(struct stoq_qlog *qlog, struct stoq_conn *conn)
{
    const uint8_t *key = (const uint8_t *)&conn;
    struct file *file = stoq_table_get(&qlog->files, key, sizeof(conn));

    if (file != NULL)
        return file;
    file = hm_malloc(sizeof(*file));
    if (file == NULL || stoq_table_put(&qlog->files, key, sizeof(conn), file) != 0) {
        hm_free(file);
        return NULL;
    }
    /* -1 is kept: one that began later would lack its head. */
    *file = (struct file){.after = qlog->first, .conn = conn, .fd = -1};
    if (qlog->open < STOQ_QLOG_FILES_MAX)
        file->fd = file_open(qlog, conn);
    qlog->open += file->fd >= 0;
    if (qlog->first != NULL)
        qlog->first->before = file;
    qlog->first = file;
    return file;
}

static void descriptor_close(struct stoq_qlog *qlog, struct file *file)
{
    if (file->fd < 0)
        return;
    (void)close(file->fd);
    file->fd = -1;
    qlog->open--;
}

static void file_close(struct stoq_qlog *qlog, struct file *file)
{
    stoq_table_remove(&qlog->files, (const uint8_t *)&file->conn, sizeof(file->conn));
    if (file->before != NULL)
        file->before->after = file->after;
    else
        qlog->first = file->after;
    if (file->after != NULL)
        file->after->before = file->before;
    descriptor_close(qlog, file);
    hm_free(file);
}

static void text_written(void *ctx, struct stoq_conn *conn, struct stoq_bytes text, bool last)
{
    struct stoq_qlog *qlog = ctx;
    struct file *file = file_of(qlog, conn);

    if (file == NULL)
        return;
    /* A full disk ends the file; the connection has nothing to do with it. */
    if (file->fd >= 0 && text.len > 0 && hm_write_all(file->fd, text.data, text.len, NULL) != 0)
        descriptor_close(qlog, file);
    if (last)
        file_close(qlog, file);
}

int stoq_qlog_new(struct stoq_qlog **out, const char *folder, struct stoq_endpoint *endpoint,
                  struct stoq_error *error)
{
    const struct hm_random *random_source = hm_random_system();
    struct stoq_qlog *qlog = hm_calloc(1, sizeof(*qlog));
    uint8_t key[16] = {0};

    if (qlog == NULL)
        return stoq_fail(error, STOQ_ENOMEM, "no memory for qlog");
    (void)random_source->fill(random_source->ctx, key, sizeof(key));
    qlog->folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int code = 0;
    if (qlog->folder_fd < 0)
        code = stoq_fail_errno(error, STOQ_EIO, "cannot open the qlog folder %.200s", folder);
    else if (stoq_table_init(&qlog->files, key) != 0)
        code = stoq_fail(error, STOQ_ENOMEM, "no memory for qlog");
    if (code != 0) {
        stoq_qlog_free(qlog);
        return code;
    }
    stoq_endpoint_qlog_to(endpoint, text_written, qlog);
    *out = qlog;
    return 0;
}

void stoq_qlog_free(struct stoq_qlog *qlog)
{
    if (qlog == NULL)
        return;
    while (qlog->first != NULL)
        file_close(qlog, qlog->first);
    if (qlog->folder_fd >= 0)
        (void)close(qlog->folder_fd);
    stoq_table_release(&qlog->files);
    hm_free(qlog);
}
