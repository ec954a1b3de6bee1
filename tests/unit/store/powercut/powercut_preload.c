/* A library for LD_PRELOAD that writes down, in order, what a program does to the files of one folder, and
 * fails chosen calls. With the log every state of the disk that a power cut could leave is made again
 * (powercut_image.h).
 *
 *   POWERCUT_FOLDER       the folder (absolute, no link in it); what lies below it is followed
 *   POWERCUT_LOG          where records are appended; unset: none are
 *   POWERCUT_FAULTS       kind:nth:error, separated by commas; nth counts the calls of that kind on followed
 *                         files from 1, and `3+` means the third and every later one
 *   POWERCUT_FAULTS_FILE  a file with the same list, looked at before each call: a test that writes it into
 *                         place makes a running program's disk fail. There nth must be `1+`
 * kind: open, write, sync, length, rename. error: EIO, ENOSPC, EDQUOT, EROFS, EFBIG, EINTR, or `short` (a
 * write is done in half).
 *
 * Every call goes straight to the kernel, so it matters not which other library stands in between. Not
 * seen: stores through a shared mapping, stdio's own calls (fopen, fwrite), io_uring, descriptors made by
 * dup. A followed file's call and its record are one step for all threads of the process. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "powercut_log.h"

#define FILES_MAX      65536
#define FAULTS_BYTES   512
#define PATH_BYTES     4096
#define PIECES_MAX     1024 /* IOV_MAX of Linux */
#define RECORDS_FOLDER UINT64_MAX

enum fault_kind { FAULT_OPEN, FAULT_WRITE, FAULT_SYNC, FAULT_LENGTH, FAULT_RENAME, FAULT_KINDS };

static const char *const fault_names[] = {"open", "write", "sync", "length", "rename"};

struct followed {
    uint64_t file; /* inode; 0: not followed */
    bool folder;
    bool durable; /* O_DSYNC or O_SYNC */
    bool append;
};

#define SHORT_WRITE (-1)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct followed files[FILES_MAX];
static unsigned long counts[FAULT_KINDS];
static const char *folder;
static size_t folder_len;
static int log_fd = -1;
static bool ready;

/* --- set-up and names --- */

static void set_up(void)
{
    const char *log = getenv("POWERCUT_LOG");

    if (ready)
        return;
    ready = true;
    folder = getenv("POWERCUT_FOLDER");
    if (!folder || folder[0] != '/')
        folder = NULL;
    folder_len = folder ? strlen(folder) : 0;
    while (folder_len > 1 && folder[folder_len - 1] == '/')
        folder_len--;
    if (folder && log)
        log_fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
                              0600);
}

/* The part of an absolute path below the folder; "" for the folder itself; NULL outside. */
static const char *below(const char *path)
{
    if (!folder || strncmp(path, folder, folder_len) != 0)
        return NULL;
    if (path[folder_len] == '\0')
        return path + folder_len;
    return path[folder_len] == '/' ? path + folder_len + 1 : NULL;
}

/* The real name of the folder that holds `path`, with the last part of the name behind it. */
static bool full_name(int dir, const char *path, char out[PATH_BYTES])
{
    const char *last = strrchr(path, '/');
    char parent[PATH_BYTES];
    char link[64];
    ssize_t len;
    int fd;

    last = last ? last + 1 : path;
    if (last == path)
        snprintf(parent, sizeof(parent), ".");
    else if (snprintf(parent, sizeof(parent), "%.*s", (int)(last - path), path) >= PATH_BYTES)
        return false;
    fd = (int)syscall(SYS_openat, dir, parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    len = readlink(link, out, PATH_BYTES - 1);
    syscall(SYS_close, fd);
    if (len <= 0 || (size_t)len + strlen(last) + 2 > PATH_BYTES)
        return false;
    out[len] = '\0';
    if (last[0] && strcmp(last, ".") != 0)
        snprintf(out + len, (size_t)(PATH_BYTES - len), "/%s", last);
    return true;
}

static void record(enum powercut_kind kind, uint64_t file, uint64_t offset,
                   const struct iovec *pieces, int count)
{
    struct iovec all[PIECES_MAX + 1];
    struct powercut_record head = {
        .magic = POWERCUT_MAGIC, .kind = kind, .file = file, .offset = offset};

    if (log_fd < 0)
        return;
    for (int i = 0; i < count; i++) {
        all[i + 1] = pieces[i];
        head.len += pieces[i].iov_len;
    }
    all[0] = (struct iovec){.iov_base = &head, .iov_len = sizeof(head)};
    if (syscall(SYS_writev, log_fd, all, count + 1) != (ssize_t)(sizeof(head) + (size_t)head.len)) {
        static const char text[] = "powercut: the log cannot be written\n";

        syscall(SYS_write, 2, text, sizeof(text) - 1);
        abort(); /* a log with a hole would prove nothing */
    }
}

static void record_name(enum powercut_kind kind, uint64_t file, const char *name)
{
    struct iovec piece = {.iov_base = (void *)(uintptr_t)name, .iov_len = strlen(name) + 1};

    record(kind, file, 0, &piece, 1);
}

__attribute__((visibility("default"))) powercut_mark_fn powercut_mark;

void powercut_mark(uint64_t number)
{
    pthread_mutex_lock(&lock);
    set_up();
    record(POWERCUT_MARK, 0, number, NULL, 0);
    pthread_mutex_unlock(&lock);
}

/* --- faults --- */

static int error_of(const char *name, size_t len)
{
    static const struct {
        const char *name;
        int number;
    } errors[] = {{"EIO", EIO},     {"ENOSPC", ENOSPC}, {"EDQUOT", EDQUOT},    {"EROFS", EROFS},
                  {"EFBIG", EFBIG}, {"EINTR", EINTR},   {"short", SHORT_WRITE}};

    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
        if (strlen(errors[i].name) == len && strncmp(errors[i].name, name, len) == 0)
            return errors[i].number;
    return EIO;
}

static int fault_in(const char *list, enum fault_kind kind, unsigned long nth)
{
    size_t name_len = strlen(fault_names[kind]);

    while (list && *list) {
        size_t len = strcspn(list, ",\n");

        if (len > name_len + 1 && strncmp(list, fault_names[kind], name_len) == 0 &&
            list[name_len] == ':') {
            char *end = NULL;
            unsigned long at = strtoul(list + name_len + 1, &end, 10);
            bool lasting = *end == '+';

            end += lasting;
            if ((nth == at || (lasting && nth > at)) && *end == ':')
                return error_of(end + 1, (size_t)(list + len - end - 1));
        }
        list += len;
        list += *list != '\0';
    }
    return 0;
}

/* 0, an errno, or SHORT_WRITE. */
static int fault(enum fault_kind kind)
{
    const char *name = getenv("POWERCUT_FAULTS_FILE");
    char text[FAULTS_BYTES];
    ssize_t len = 0;
    int rc = fault_in(getenv("POWERCUT_FAULTS"), kind, ++counts[kind]);
    int fd;

    if (rc || !name)
        return rc;
    fd = (int)syscall(SYS_openat, AT_FDCWD, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    len = syscall(SYS_read, fd, text, sizeof(text) - 1);
    syscall(SYS_close, fd);
    text[len > 0 ? len : 0] = '\0';
    return fault_in(text, kind, 1);
}

static int refuse(int error)
{
    errno = error == SHORT_WRITE ? EIO : error;
    return -1;
}

/* --- open and close --- */

static void follow(int fd, int flags, bool existed, const char *name)
{
    struct stat info;

    if (fd >= FILES_MAX || fstat(fd, &info) || (!S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode)))
        return;
    files[fd] = (struct followed){.file = info.st_ino,
                                  .folder = S_ISDIR(info.st_mode),
                                  .durable = (flags & O_DSYNC) != 0,
                                  .append = (flags & O_APPEND) != 0};
    if (files[fd].folder)
        return;
    record_name(existed ? POWERCUT_OPEN : POWERCUT_CREATE, info.st_ino, name);
    if (existed && (flags & O_TRUNC))
        record(POWERCUT_LENGTH, info.st_ino, 0, NULL, 0);
}

static int do_open(int dir, const char *path, int flags, mode_t mode)
{
    char full[PATH_BYTES];
    const char *name;
    struct stat info;
    bool existed;
    int error;
    int fd;

    pthread_mutex_lock(&lock);
    set_up();
    name = folder && full_name(dir, path, full) ? below(full) : NULL;
    if (!name || (flags & O_PATH)) {
        pthread_mutex_unlock(&lock);
        return (int)syscall(SYS_openat, dir, path, flags, mode);
    }
    existed = fstatat(dir, path, &info, 0) == 0;
    error = (flags & O_ACCMODE) != O_RDONLY ? fault(FAULT_OPEN) : 0;
    fd = error ? refuse(error) : (int)syscall(SYS_openat, dir, path, flags, mode);
    if (fd >= 0)
        follow(fd, flags, existed, name);
    pthread_mutex_unlock(&lock);
    return fd;
}

static mode_t mode_of(int flags, va_list args)
{
    return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(args, mode_t) : 0;
}

#define DEFINE_OPEN(name)                            \
    int name(const char *path, int flags, ...);      \
    int name(const char *path, int flags, ...)       \
    {                                                \
        va_list args;                                \
        mode_t mode;                                 \
        va_start(args, flags);                       \
        mode = mode_of(flags, args);                 \
        va_end(args);                                \
        return do_open(AT_FDCWD, path, flags, mode); \
    }
#define DEFINE_OPENAT(name)                              \
    int name(int dir, const char *path, int flags, ...); \
    int name(int dir, const char *path, int flags, ...)  \
    {                                                    \
        va_list args;                                    \
        mode_t mode;                                     \
        va_start(args, flags);                           \
        mode = mode_of(flags, args);                     \
        va_end(args);                                    \
        return do_open(dir, path, flags, mode);          \
    }
DEFINE_OPEN(open)
DEFINE_OPEN(open64)
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)

/* What open becomes in programs built with _FORTIFY_SOURCE. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dir, const char *path, int flags);
int __openat64_2(int dir, const char *path, int flags);

int __open_2(const char *path, int flags)
{
    return do_open(AT_FDCWD, path, flags, 0);
}

int __open64_2(const char *path, int flags)
{
    return do_open(AT_FDCWD, path, flags, 0);
}

int __openat_2(int dir, const char *path, int flags)
{
    return do_open(dir, path, flags, 0);
}

int __openat64_2(int dir, const char *path, int flags)
{
    return do_open(dir, path, flags, 0);
}

int creat(const char *path, mode_t mode)
{
    return do_open(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int close(int fd)
{
    int rc;

    pthread_mutex_lock(&lock);
    if (fd >= 0 && fd < FILES_MAX)
        files[fd] = (struct followed){0};
    rc = (int)syscall(SYS_close, fd);
    pthread_mutex_unlock(&lock);
    return rc;
}

/* --- writes --- */

static struct followed *followed_file(int fd)
{
    return fd >= 0 && fd < FILES_MAX && files[fd].file && !files[fd].folder ? &files[fd] : NULL;
}

static int64_t place_of(int fd, const struct followed *file)
{
    struct stat info;

    if (file->append)
        return fstat(fd, &info) ? 0 : (int64_t)info.st_size;
    return syscall(SYS_lseek, fd, (off_t)0, SEEK_CUR);
}

/* Cuts a list of pieces to len bytes; how many are left. */
static int cut_to(struct iovec *pieces, int count, size_t len)
{
    for (int i = 0; i < count; i++) {
        if (pieces[i].iov_len >= len) {
            pieces[i].iov_len = len;
            return i + 1;
        }
        len -= pieces[i].iov_len;
    }
    return count;
}

/* offset -1: where the file stands. */
static ssize_t do_write(int fd, const struct iovec *pieces, int count, off_t offset)
{
    struct iovec done[PIECES_MAX];
    const struct followed *file;
    int64_t place;
    size_t all = 0;
    ssize_t len;
    int error = 0;

    if (count < 0 || count > PIECES_MAX)
        return refuse(EINVAL);
    pthread_mutex_lock(&lock);
    file = followed_file(fd);
    if (file) {
        place = offset < 0 ? place_of(fd, file) : offset;
        error = fault(FAULT_WRITE);
        memcpy(done, pieces, (size_t)count * sizeof(*pieces));
        for (int i = 0; i < count; i++)
            all += pieces[i].iov_len;
        if (error == SHORT_WRITE)
            count = cut_to(done, count, all / 2);
        if (error && error != SHORT_WRITE)
            len = refuse(error);
        else
            len = offset < 0 ? syscall(SYS_writev, fd, done, count)
                             : syscall(SYS_pwritev, fd, done, count, offset, (off_t)0);
        if (len > 0)
            record(file->durable ? POWERCUT_WRITE_SYNC : POWERCUT_WRITE, file->file,
                   (uint64_t)place, done, cut_to(done, count, (size_t)len));
    }
    pthread_mutex_unlock(&lock);
    if (file)
        return len;
    return offset < 0 ? syscall(SYS_writev, fd, pieces, count)
                      : syscall(SYS_pwritev, fd, pieces, count, offset, (off_t)0);
}

ssize_t write(int fd, const void *data, size_t len)
{
    struct iovec piece = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};

    return do_write(fd, &piece, 1, -1);
}

ssize_t writev(int fd, const struct iovec *pieces, int count)
{
    return do_write(fd, pieces, count, -1);
}

#define DEFINE_PWRITE(name)                                                         \
    ssize_t name(int fd, const void *data, size_t len, off_t offset);               \
    ssize_t name(int fd, const void *data, size_t len, off_t offset)                \
    {                                                                               \
        struct iovec piece = {.iov_base = (void *)(uintptr_t)data, .iov_len = len}; \
        return offset < 0 ? refuse(EINVAL) : do_write(fd, &piece, 1, offset);       \
    }
#define DEFINE_PWRITEV(name)                                                      \
    ssize_t name(int fd, const struct iovec *pieces, int count, off_t offset);    \
    ssize_t name(int fd, const struct iovec *pieces, int count, off_t offset)     \
    {                                                                             \
        return offset < 0 ? refuse(EINVAL) : do_write(fd, pieces, count, offset); \
    }
DEFINE_PWRITE(pwrite)
DEFINE_PWRITE(pwrite64)
DEFINE_PWRITEV(pwritev)
DEFINE_PWRITEV(pwritev64)

static int do_length(int fd, off_t len)
{
    const struct followed *file;
    int error;
    int rc;

    pthread_mutex_lock(&lock);
    file = followed_file(fd);
    error = file ? fault(FAULT_LENGTH) : 0;
    rc = error ? refuse(error) : (int)syscall(SYS_ftruncate, fd, len);
    if (file && rc == 0)
        record(POWERCUT_LENGTH, file->file, (uint64_t)len, NULL, 0);
    pthread_mutex_unlock(&lock);
    return rc;
}

int ftruncate(int fd, off_t len)
{
    return do_length(fd, len);
}

int ftruncate64(int fd, off_t len);
int ftruncate64(int fd, off_t len)
{
    return do_length(fd, len);
}

/* Room only: a file that becomes longer by it is recorded as longer. */
static int do_allocate(int fd, int mode, off_t offset, off_t len)
{
    const struct followed *file;
    struct stat info;
    int error;
    int rc;

    pthread_mutex_lock(&lock);
    file = followed_file(fd);
    error = file ? fault(FAULT_LENGTH) : 0;
    rc = error ? refuse(error) : (int)syscall(SYS_fallocate, fd, mode, offset, len);
    if (file && rc == 0 && fstat(fd, &info) == 0)
        record(POWERCUT_LENGTH, file->file, (uint64_t)info.st_size, NULL, 0);
    pthread_mutex_unlock(&lock);
    return rc;
}

int fallocate(int fd, int mode, off_t offset, off_t len)
{
    return do_allocate(fd, mode, offset, len);
}

int posix_fallocate(int fd, off_t offset, off_t len)
{
    int before = errno;
    int rc = do_allocate(fd, 0, offset, len) ? errno : 0;

    errno = before;
    return rc;
}

/* --- syncs and names --- */

static int do_sync(int fd, long call)
{
    const struct followed *file;
    char link[64];
    char path[PATH_BYTES];
    int error;
    int rc;

    pthread_mutex_lock(&lock);
    file = fd >= 0 && fd < FILES_MAX && files[fd].file ? &files[fd] : NULL;
    error = file ? fault(FAULT_SYNC) : 0;
    rc = error ? refuse(error) : (int)syscall(call, fd);
    if (file && !file->folder) {
        int saved = errno;

        record(rc ? POWERCUT_SYNC_FAILED : POWERCUT_SYNC, file->file, 0, NULL, 0);
        errno = saved;
    } else if (file && rc == 0) {
        ssize_t len;

        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        len = readlink(link, path, sizeof(path) - 1);
        path[len > 0 ? len : 0] = '\0';
        if (below(path))
            record_name(POWERCUT_SYNC_FOLDER, RECORDS_FOLDER, below(path));
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

int fsync(int fd)
{
    return do_sync(fd, SYS_fsync);
}

int fdatasync(int fd)
{
    return do_sync(fd, SYS_fdatasync);
}

static int do_rename(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    char a[PATH_BYTES];
    char b[PATH_BYTES];
    int error;
    int rc;

    pthread_mutex_lock(&lock);
    set_up();
    if (!folder || !full_name(from_dir, from, a) || !full_name(to_dir, to, b) || !below(a) ||
        !below(b)) {
        pthread_mutex_unlock(&lock);
        return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
    }
    error = fault(FAULT_RENAME);
    rc = error ? refuse(error) : (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
    if (rc == 0) {
        struct iovec names[2] = {
            {.iov_base = (void *)(uintptr_t)below(a), .iov_len = strlen(below(a)) + 1},
            {.iov_base = (void *)(uintptr_t)below(b), .iov_len = strlen(below(b)) + 1}};

        record(POWERCUT_RENAME, 0, 0, names, 2);
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

int rename(const char *from, const char *to)
{
    return do_rename(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return do_rename(from_dir, from, to_dir, to, 0);
}

static int do_name(int dir, const char *path, long call, int flags, enum powercut_kind kind)
{
    char full[PATH_BYTES];
    const char *name;
    int rc;

    pthread_mutex_lock(&lock);
    set_up();
    name = folder && full_name(dir, path, full) ? below(full) : NULL;
    rc = (int)syscall(call, dir, path, flags);
    if (name && rc == 0)
        record_name(kind, 0, name);
    pthread_mutex_unlock(&lock);
    return rc;
}

int unlink(const char *path)
{
    return do_name(AT_FDCWD, path, SYS_unlinkat, 0, POWERCUT_UNLINK);
}

int unlinkat(int dir, const char *path, int flags)
{
    return do_name(dir, path, SYS_unlinkat, flags, POWERCUT_UNLINK);
}

int rmdir(const char *path)
{
    return do_name(AT_FDCWD, path, SYS_unlinkat, AT_REMOVEDIR, POWERCUT_UNLINK);
}

int mkdir(const char *path, mode_t mode)
{
    return do_name(AT_FDCWD, path, SYS_mkdirat, (int)mode, POWERCUT_MKDIR);
}

int mkdirat(int dir, const char *path, mode_t mode)
{
    return do_name(dir, path, SYS_mkdirat, (int)mode, POWERCUT_MKDIR);
}
