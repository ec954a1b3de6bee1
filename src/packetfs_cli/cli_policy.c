#include "cli_policy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINK_MAX_MBIT 10000000

int cli_circumstances(struct cli_call *call, struct packetfs_circumstances *out)
{
    const char *store = cli_value(call, "store"), *data = cli_value(call, "data");
    struct packetfs_circumstances c = *out;
    uint64_t link = c.link_mbit;
    int rc = cli_number(call, "link", LINK_MAX_MBIT, &link);

    if (rc == 0)
        rc = cli_size(call, "size", UINT64_MAX, &c.bytes);
    if (rc != 0)
        return rc;
    c.link_mbit = (uint32_t)link;
    if (store != NULL)
        c.trusted = strcmp(store, "trusted") == 0;
    if (data != NULL)
        c.redundancy = strcmp(data, "packed") == 0       ? PACKETFS_DATA_PACKED
                       : strcmp(data, "repetitive") == 0 ? PACKETFS_DATA_REPETITIVE
                                                         : PACKETFS_DATA_MIXED;
    *out = c;
    return 0;
}

void cli_explain(bool json, const struct packetfs_reason reasons[PACKETFS_REASONS])
{
    if (json)
        cli_json_open('[');
    for (size_t i = 0; i < PACKETFS_REASONS; i++) {
        if (!json) {
            (void)printf("%-12s %s: %s\n", reasons[i].what, reasons[i].value, reasons[i].why);
            continue;
        }
        cli_json_open('{');
        cli_json_key("what");
        cli_json_text(reasons[i].what);
        cli_json_key("value");
        cli_json_text(reasons[i].value);
        cli_json_key("why");
        cli_json_text(reasons[i].why);
        cli_json_close();
    }
    if (json)
        cli_json_close();
}

/* --- measuring -------------------------------------------------------------------------------------------------------- */

/* The chance that two bytes are the same, over that of random ones: 1.00 for what is encrypted or well compressed, 1.02 for pictures, over 10 for text. */
bool cli_is_dense(const uint8_t *data, size_t len)
{
    uint32_t counts[256] = {0};
    uint64_t squares = 0;

    for (size_t i = 0; i < len; i++)
        counts[data[i]]++;
    for (size_t i = 0; i < HM_COUNT_OF(counts); i++)
        squares += (uint64_t)counts[i] * counts[i];
    return squares * 2560 < (uint64_t)len * len * 11 + (uint64_t)len * 2560;
}

struct measuring {
    struct cli_measure sum;
    uint8_t *sample;
};

static void measure_file(struct measuring *m, int folder, const char *name, uint64_t size)
{
    HM_AUTOCLOSE int fd = -1;
    uint64_t at = size > CLI_MEASURE_SAMPLE ? (size - CLI_MEASURE_SAMPLE) / 2 : 0;
    ssize_t got;

    m->sum.files++;
    m->sum.bytes += size;
    /* The first, and of every power of two files some: what is looked at grows slower than what there is. */
    if (size < CLI_MEASURE_SAMPLE_MIN || (m->sum.files > 512 && m->sum.files % 64 != 0))
        return;
    fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    got = fd < 0 ? -1 : pread(fd, m->sample, CLI_MEASURE_SAMPLE, (off_t)at);
    if (got < 0)
        m->sum.unread++;
    if (got < (ssize_t)CLI_MEASURE_SAMPLE_MIN)
        return;
    m->sum.sampled += (uint64_t)got;
    if (cli_is_dense(m->sample, (size_t)got))
        m->sum.dense += (uint64_t)got;
}

static int measure_entry(struct cli_call *call, struct measuring *m, int folder, const char *name,
                         unsigned depth);

static int measure_folder(struct cli_call *call, struct measuring *m, int folder, const char *name,
                          unsigned depth)
{
    int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;
    int rc = 0;

    if (list == NULL) {
        if (fd >= 0)
            (void)close(fd);
        m->sum.unread++;
        return 0;
    }
    if (depth == CLI_MEASURE_DEPTH_MAX)
        rc = cli_fail(call, PACKETFS_ELIMIT, "there are more than %d folders in one another",
                      CLI_MEASURE_DEPTH_MAX);
    while (rc == 0 && (entry = readdir(list)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            rc = measure_entry(call, m, fd, entry->d_name, depth + 1);
    (void)closedir(list);
    return rc;
}

static int measure_entry(struct cli_call *call, struct measuring *m, int folder, const char *name,
                         unsigned depth)
{
    struct stat about;

    if (fstatat(folder, name, &about, AT_SYMLINK_NOFOLLOW) != 0) {
        m->sum.unread++;
        return 0;
    }
    if (S_ISDIR(about.st_mode))
        return measure_folder(call, m, folder, name, depth);
    if (!S_ISREG(about.st_mode))
        return 0;
    if (m->sum.files == CLI_MEASURE_FILES_MAX)
        return cli_fail(call, PACKETFS_ELIMIT,
                        "there are more than %d files: say --size and --data",
                        CLI_MEASURE_FILES_MAX);
    measure_file(m, folder, name, (uint64_t)about.st_size);
    return 0;
}

int cli_measure(struct cli_call *call, const char *path, struct cli_measure *out)
{
    struct measuring m = {.sum = *out};
    struct stat about;
    int rc;

    if (lstat(path, &about) != 0)
        return cli_fail(call, errno == ENOENT ? PACKETFS_ENOTFOUND : PACKETFS_EIO,
                        "%s cannot be looked at", path);
    m.sample = hm_malloc(CLI_MEASURE_SAMPLE);
    if (m.sample == NULL)
        return cli_no_memory(call);
    rc = measure_entry(call, &m, AT_FDCWD, path, 0);
    hm_free(m.sample);
    if (rc == 0)
        *out = m.sum;
    return rc;
}
