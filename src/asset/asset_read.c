/* Bounded reads of kernel files. Whatever cannot be read is the caller's note, never a failure of the scan. */
#include "asset_build.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define READ_SMALL_BYTES 4096

static int read_code(int err)
{
    if (err == ENOENT || err == ENOTDIR || err == ENODEV || err == ENXIO)
        return HM_ENOTFOUND;
    return err == EACCES || err == EPERM ? HM_EPERM : HM_EIO;
}

/* O_NONBLOCK: a FIFO where a file should be must not stop the scan. */
static ssize_t read_into(const char *path, void *out, size_t limit)
{
    HM_AUTOCLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    size_t used = 0;

    if (fd < 0)
        return read_code(errno);
    while (used < limit) {
        ssize_t got = read(fd, (uint8_t *)out + used, limit - used);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return read_code(errno);
        if (got == 0)
            break;
        used += (size_t)got;
    }
    return (ssize_t)used;
}

__attribute__((format(printf, 2, 0))) static bool read_path(char path[ASSET_PATH_BYTES],
                                                            const char *format, va_list args)
{
    int len = vsnprintf(path, ASSET_PATH_BYTES, format, args);

    return len > 0 && len < ASSET_PATH_BYTES;
}

int asset_read_prefix(struct asset_builder *build, struct hm_buf *out, size_t limit,
                      const char *format, ...)
{
    char path[ASSET_PATH_BYTES];
    size_t start = out->len, step = 16384;
    va_list args;
    bool good;

    va_start(args, format);
    good = read_path(path, format, args);
    va_end(args);
    if (!good)
        return HM_ELIMIT;
    /* One read as large as the guess; a file that fills it is read again with more room. */
    for (;; step *= 4) {
        size_t room = step < limit ? step : limit;
        ssize_t got;

        if (hm_buf_reserve(out, room) != 0) {
            if (build != NULL)
                build->failed = true;
            return HM_ENOMEM;
        }
        got = read_into(path, out->data + start, room);
        if (got < 0)
            return (int)got;
        if ((size_t)got == room && room < limit)
            continue;
        out->len = start + (size_t)got;
        return 0;
    }
}

bool asset_read_text(char *out, size_t out_bytes, const char *format, ...)
{
    char path[ASSET_PATH_BYTES], raw[READ_SMALL_BYTES];
    ssize_t got;
    va_list args;
    bool good;

    out[0] = '\0';
    va_start(args, format);
    good = read_path(path, format, args);
    va_end(args);
    got = good ? read_into(path, raw, sizeof(raw)) : -1;
    if (got > 0)
        asset_text_clean(hm_slice_of(raw, (size_t)got), out, out_bytes);
    return out[0] != '\0';
}

bool asset_read_u64(uint64_t *out, const char *format, ...)
{
    char path[ASSET_PATH_BYTES], raw[READ_SMALL_BYTES];
    ssize_t got;
    va_list args;
    bool good;

    va_start(args, format);
    good = read_path(path, format, args);
    va_end(args);
    got = good ? read_into(path, raw, sizeof(raw)) : -1;
    return got > 0 && asset_text_u64(hm_slice_of(raw, (size_t)got), out);
}

bool asset_read_exists(const char *format, ...)
{
    char path[ASSET_PATH_BYTES];
    va_list args;
    bool good;

    va_start(args, format);
    good = read_path(path, format, args);
    va_end(args);
    return good && access(path, F_OK) == 0;
}

static int read_compare_names(const void *a, const void *b)
{
    const char *const *left = a, *const *right = b;

    return strcmp(*left, *right);
}

int asset_read_folder(struct asset_builder *build, const char *path, const char ***names,
                      size_t *count)
{
    const char *found[ASSET_MAX_FOLDER];
    const char **list = NULL;
    DIR *folder = opendir(path);
    struct dirent *entry = NULL;
    size_t used = 0;

    if (folder == NULL)
        return read_code(errno);
    while (used < ASSET_MAX_FOLDER && (entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        found[used] = hm_arena_strdup(build->arena, entry->d_name);
        if (found[used] == NULL)
            break;
        used++;
    }
    if (used == ASSET_MAX_FOLDER)
        asset_build_note(build, "%s holds more than %d entries: the rest is not looked at", path,
                         ASSET_MAX_FOLDER);
    if (used == ASSET_MAX_FOLDER || entry == NULL)
        list = hm_arena_alloc(build->arena, (used + 1) * sizeof(*list));
    closedir(folder);
    if (list == NULL) {
        build->failed = true;
        return HM_ENOMEM;
    }
    memcpy(list, found, used * sizeof(*list));
    qsort(list, used, sizeof(*list), read_compare_names);
    *names = list;
    *count = used;
    return 0;
}
