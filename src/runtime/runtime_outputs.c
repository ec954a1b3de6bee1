#include "runtime_outputs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime_path.h"
#include "runtime_tree.h"

#define OUTPUT_DIR_FLAGS  (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define OUTPUT_STEP_BYTES ((size_t)64 << 10)
#define OUTPUT_TEMP_NAME  ".hypermesh-output.tmp"

/* One output while it is copied. */
struct outputs_walk {
    struct runtime_outputs *outputs;
    const char *source;
};

void runtime_outputs_init(struct runtime_outputs *outputs, uint64_t limit_bytes)
{
    outputs->bytes = outputs->files = 0;
    outputs->limit = limit_bytes;
    runtime_result_init(&outputs->result);
}

/* The job is over: what fstat said is what is read, or someone else writes into the job's folder. */
static int output_pour(int in, int out, uint64_t size, uint8_t content[CRYPTO_HASH_BYTES],
                       struct hm_error *error)
{
    HM_AUTOFREE uint8_t *step = hm_malloc(OUTPUT_STEP_BYTES);
    struct crypto_hasher hasher;
    uint64_t left = size;

    if (step == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to copy the outputs");
    crypto_hasher_init(&hasher);
    for (;;) {
        ssize_t got = read(in, step, OUTPUT_STEP_BYTES);
        int rc;

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return hm_fail_errno(error, HM_EIO, "cannot read an output");
        if ((uint64_t)got > left || (got == 0 && left > 0))
            return hm_fail(error, HM_EIO, "an output changed while it was copied");
        if (got == 0) {
            crypto_hasher_final(&hasher, content);
            return 0;
        }
        left -= (uint64_t)got;
        crypto_hasher_update(&hasher, step, (size_t)got);
        rc = hm_write_all(out, step, (size_t)got, error);
        if (rc != 0)
            return rc;
    }
}

static int output_take(struct runtime_outputs *outputs, uint64_t size, struct hm_error *error)
{
    if (size > outputs->limit - outputs->bytes)
        return hm_fail(error, HM_ELIMIT, "the outputs hold more than %llu bytes",
                       (unsigned long long)outputs->limit);
    if (++outputs->files > RUNTIME_OUTPUT_MAX_FILES)
        return hm_fail(error, HM_ELIMIT, "the outputs hold more than %d files",
                       RUNTIME_OUTPUT_MAX_FILES);
    outputs->bytes += size;
    return 0;
}

static int output_file(const struct outputs_walk *walk, int from, int to, const char *name,
                       const char *path, struct hm_error *error)
{
    HM_AUTOCLOSE int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    HM_AUTOCLOSE int out = -1;
    uint8_t content[CRYPTO_HASH_BYTES];
    struct stat info;
    int rc;

    if (in < 0 || fstat(in, &info) != 0 || !S_ISREG(info.st_mode))
        return hm_fail_errno(error, HM_EIO, "cannot read the output \"%s\"", path);
    rc = output_take(walk->outputs, (uint64_t)info.st_size, error);
    if (rc != 0)
        return rc;
    (void)unlinkat(to, OUTPUT_TEMP_NAME, 0);
    out = openat(to, OUTPUT_TEMP_NAME, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (out < 0)
        return hm_fail_errno(error, HM_EIO, "cannot write the output \"%s\"", path);
    rc = output_pour(in, out, (uint64_t)info.st_size, content, error);
    if (rc == 0 && fchmod(out, info.st_mode & RUNTIME_OUTPUT_FILE_MODES) != 0)
        rc = hm_fail_errno(error, HM_EIO, "cannot set the mode of the output \"%s\"", path);
    if (rc == 0 && renameat(to, OUTPUT_TEMP_NAME, to, name) != 0)
        rc = hm_fail_errno(error, HM_EIO, "cannot place the output \"%s\"", path);
    if (rc != 0)
        (void)unlinkat(to, OUTPUT_TEMP_NAME, 0);
    else
        runtime_result_file(&walk->outputs->result, walk->source, path,
                            info.st_mode & RUNTIME_OUTPUT_FILE_MODES, (uint64_t)info.st_size,
                            content);
    return rc;
}

static int output_link(const struct outputs_walk *walk, int from, int to, const char *name,
                       const char *path, struct hm_error *error)
{
    char target[RUNTIME_PATH_MAX_BYTES];
    ssize_t len = readlinkat(from, name, target, sizeof(target));
    int rc;

    if (len <= 0 || (size_t)len >= sizeof(target))
        return hm_fail_errno(error, HM_EIO, "cannot read the link \"%s\"", path);
    target[len] = 0;
    rc = output_take(walk->outputs, 0, error);
    if (rc != 0)
        return rc;
    runtime_result_link(&walk->outputs->result, walk->source, path, target);
    (void)unlinkat(to, OUTPUT_TEMP_NAME, 0);
    if (symlinkat(target, to, OUTPUT_TEMP_NAME) != 0 ||
        renameat(to, OUTPUT_TEMP_NAME, to, name) != 0) {
        rc = hm_fail_errno(error, HM_EIO, "cannot place the link \"%s\"", path);
        (void)unlinkat(to, OUTPUT_TEMP_NAME, 0);
    }
    return rc;
}

static int output_folder(const struct outputs_walk *walk, int from, int to, const char *path,
                         unsigned depth, struct hm_error *error);

static int output_subfolder(const struct outputs_walk *walk, int from, int to, const char *name,
                            const char *path, mode_t mode, unsigned depth, struct hm_error *error)
{
    HM_AUTOCLOSE int in = openat(from, name, OUTPUT_DIR_FLAGS);
    HM_AUTOCLOSE int out = -1;
    int rc = output_take(walk->outputs, 0, error);

    if (rc != 0)
        return rc;
    if (in < 0)
        return hm_fail_errno(error, HM_EIO, "cannot open the output folder \"%s\"", path);
    if (mkdirat(to, name, 0700) != 0 && errno != EEXIST)
        return hm_fail_errno(error, HM_EIO, "cannot make the output folder \"%s\"", path);
    out = openat(to, name, OUTPUT_DIR_FLAGS);
    if (out < 0)
        return hm_fail_errno(error, HM_EIO, "cannot write to the output folder \"%s\"", path);
    runtime_result_folder(&walk->outputs->result, walk->source, path,
                          mode & RUNTIME_OUTPUT_FILE_MODES);
    rc = output_folder(walk, in, out, path, depth + 1, error);
    if (rc == 0 && fchmod(out, mode & RUNTIME_OUTPUT_FILE_MODES) != 0)
        rc = hm_fail_errno(error, HM_EIO, "cannot set the mode of the output folder \"%s\"", path);
    return rc;
}

static int output_entry(const struct outputs_walk *walk, int from, int to, const char *name,
                        const char *above, unsigned depth, struct hm_error *error)
{
    char path[RUNTIME_PATH_MAX_BYTES];
    struct stat info;
    int rc = runtime_path_join(path, sizeof(path), above, name, error);

    if (rc != 0)
        return rc;
    if (fstatat(from, name, &info, AT_SYMLINK_NOFOLLOW) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot look at the output \"%s\"", path);
    if (S_ISDIR(info.st_mode))
        return output_subfolder(walk, from, to, name, path, info.st_mode, depth, error);
    if (S_ISLNK(info.st_mode))
        return output_link(walk, from, to, name, path, error);
    if (S_ISREG(info.st_mode))
        return output_file(walk, from, to, name, path, error);
    return hm_fail(error, HM_EPARSE, "the output \"%s\" is neither a file, a folder nor a link",
                   path);
}

static int output_folder(const struct outputs_walk *walk, int from, int to, const char *path,
                         unsigned depth, struct hm_error *error)
{
    HM_CLEANUP(runtime_names) struct runtime_names names = {0};
    int rc;

    if (depth > RUNTIME_TREE_MAX_DEPTH)
        return hm_fail(error, HM_ELIMIT, "the outputs are nested deeper than %d",
                       RUNTIME_TREE_MAX_DEPTH);
    rc = runtime_names_read(from, &names, error);
    for (size_t i = 0; i < names.count && rc == 0; i++)
        rc = output_entry(walk, from, to, names.names[i], path, depth, error);
    return rc;
}

int runtime_outputs_copy(struct runtime_outputs *outputs, const char *source, const char *from,
                         const char *target, struct hm_error *error)
{
    const struct outputs_walk walk = {.outputs = outputs, .source = source};
    HM_AUTOCLOSE int in = open(from, OUTPUT_DIR_FLAGS);
    HM_AUTOCLOSE int out = -1;
    int rc;

    if (in < 0)
        return hm_fail_errno(error, HM_EIO, "cannot open %s", from);
    rc = hm_mkdir_all(target, 0755, error);
    if (rc != 0)
        return rc;
    out = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (out < 0)
        return hm_fail_errno(error, HM_EIO, "cannot open the output folder %s", target);
    runtime_result_output(&outputs->result, source);
    rc = output_folder(&walk, in, out, "", 0, error);
    if (rc != 0)
        (void)hm_error_prefix(error, rc, "output %s", source);
    return rc;
}
