/* The specification folders. What lies there decides what a job gets of this machine, so only files that
 * nobody but root (or the node's own user) could have written are read. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime_cdi.h"
#include "runtime_path.h"
#include "runtime_tree.h"

struct cdi_file {
    struct runtime_cdi_spec spec;
    char path[RUNTIME_PATH_MAX_BYTES];
    size_t folder; /* place in the list: the later one wins */
    bool used; /* its edits for all devices are in */
};

struct cdi_files {
    struct cdi_file *files[RUNTIME_CDI_MAX_FILES];
    size_t count;
    struct hm_error first; /* of a file that cannot be used */
    const char *folders;
};

static void cdi_files_release(struct cdi_files *files)
{
    while (files->count > 0) {
        struct cdi_file *file = files->files[--files->count];

        runtime_cdi_spec_release(&file->spec);
        hm_free(file);
    }
}

static bool find_format(const char *name, enum runtime_cdi_format *out)
{
    const char *dot = strrchr(name, '.');

    if (name[0] == '.' || dot == NULL)
        return false;
    *out = strcmp(dot, ".json") == 0 ? RUNTIME_CDI_JSON : RUNTIME_CDI_YAML;
    return strcmp(dot, ".json") == 0 || strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0;
}

static int find_check_owner(int fd, const char *path, mode_t kind, struct hm_error *error)
{
    struct stat info;

    if (fstat(fd, &info) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot read %s", path);
    if ((info.st_mode & S_IFMT) != kind)
        return hm_fail(error, HM_EINVAL, "%s is no %s", path, kind == S_IFDIR ? "folder" : "file");
    if ((info.st_uid != 0 && info.st_uid != geteuid()) || (info.st_mode & 022) != 0)
        return hm_fail(error, HM_EPERM,
                       "%s is not used: others than root may write to it (chown root, chmod go-w)",
                       path);
    return 0;
}

static int find_read(int dir, const char *name, const char *path, enum runtime_cdi_format format,
                     struct runtime_cdi_spec *out, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf text = {0};
    HM_AUTOCLOSE int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    char by_number[64];
    int rc;

    if (fd < 0)
        return hm_fail_errno(error, HM_EIO, "cannot read %s", path);
    rc = find_check_owner(fd, path, S_IFREG, error);
    if (rc != 0)
        return rc;
    snprintf(by_number, sizeof(by_number), "/proc/self/fd/%d", fd);
    rc = hm_file_read(by_number, RUNTIME_CDI_MAX_BYTES, &text, error);
    return rc != 0 ? rc : runtime_cdi_spec_parse(hm_buf_slice(&text), format, path, out, error);
}

static void find_note(struct cdi_files *files, const struct hm_error *why)
{
    if (files->first.code == 0)
        files->first = *why;
}

static int find_file(struct cdi_files *files, int dir, const char *folder, const char *name,
                     size_t folder_at, struct hm_error *error)
{
    enum runtime_cdi_format format;
    struct hm_error why = {0};
    struct cdi_file *file;
    int rc;

    if (!find_format(name, &format))
        return 0;
    if (files->count == RUNTIME_CDI_MAX_FILES)
        return hm_fail(error, HM_ELIMIT, "there are more than %d CDI specifications",
                       RUNTIME_CDI_MAX_FILES);
    file = hm_calloc(1, sizeof(*file));
    if (file == NULL)
        return hm_fail(error, HM_ENOMEM, "no memory to read CDI specifications");
    file->folder = folder_at;
    rc = runtime_path_join(file->path, sizeof(file->path), folder, name, &why);
    if (rc == 0)
        rc = find_read(dir, name, file->path, format, &file->spec, &why);
    if (rc != 0) {
        hm_free(file);
        if (rc == HM_ENOMEM)
            return hm_fail(error, rc, "%s", why.text);
        find_note(files, &why);
        return 0;
    }
    files->files[files->count++] = file;
    return 0;
}

static int find_folder(struct cdi_files *files, const char *folder, size_t at,
                       struct hm_error *error)
{
    HM_CLEANUP(runtime_names) struct runtime_names names = {0};
    HM_AUTOCLOSE int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct hm_error why = {0};
    int rc;

    if (dir < 0) /* missing, mostly; what is looked for is then not found */
        return 0;
    if (find_check_owner(dir, folder, S_IFDIR, &why) != 0) {
        find_note(files, &why);
        return 0;
    }
    rc = runtime_names_read(dir, &names, error);
    for (size_t i = 0; rc == 0 && i < names.count; i++)
        rc = find_file(files, dir, folder, names.names[i], at, error);
    return rc;
}

static int find_folders(struct cdi_files *files, struct hm_error *error)
{
    const char *at = files->folders;
    int rc = 0;

    for (size_t i = 0; rc == 0 && *at != 0; i++) {
        char folder[RUNTIME_PATH_MAX_BYTES];
        size_t len = strcspn(at, ":");

        if (i == RUNTIME_CDI_MAX_FOLDERS || len >= sizeof(folder))
            return hm_fail(error, HM_ELIMIT, "at most %d CDI folders, each at most %zu bytes",
                           RUNTIME_CDI_MAX_FOLDERS, sizeof(folder) - 1);
        memcpy(folder, at, len);
        folder[len] = 0;
        at += len + (at[len] == ':');
        if (len > 0)
            rc = find_folder(files, folder, i, error);
    }
    return rc;
}

static int find_missing(const struct cdi_files *files, const char *name, struct hm_error *error)
{
    static const char *const makers[][2] = {
        {"nvidia.com/", "make one as root: nvidia-ctk cdi generate --device-name-strategy=uuid "
                        "--output=/etc/cdi/nvidia.yaml"},
        {"amd.com/", "make one as root: amd-ctk cdi generate --output=/etc/cdi/amd.json"}};
    const char *how = "install the maker's CDI generator and run it as root";

    if (files->first.code != 0)
        return hm_fail(error, HM_EUNAVAILABLE,
                       "no CDI specification describes %.100s, and one could not be used: %s", name,
                       files->first.text);
    for (size_t i = 0; i < HM_COUNT_OF(makers); i++) {
        if (strncmp(name, makers[i][0], strlen(makers[i][0])) == 0)
            how = makers[i][1];
    }
    return hm_fail(error, HM_EUNAVAILABLE, "no CDI specification in %.100s describes %.100s; %s",
                   files->folders, name, how);
}

static int find_device(struct cdi_files *files, const char *name, struct runtime_cdi_edits *edits,
                       struct hm_error *error)
{
    size_t kind = runtime_cdi_name_check(name);
    const json_t *device = NULL;
    struct cdi_file *from = NULL;
    int rc;

    if (kind == 0)
        return hm_fail(error, HM_EINVAL, "\"%.200s\" is no CDI device name (vendor/class=name)",
                       name);
    for (size_t i = 0; i < files->count; i++) {
        struct cdi_file *file = files->files[i];
        const json_t *found = NULL;

        if (strlen(file->spec.kind) == kind && memcmp(file->spec.kind, name, kind) == 0)
            found = runtime_cdi_spec_device(&file->spec, name + kind + 1);
        if (found == NULL)
            continue;
        if (from != NULL && from->folder == file->folder)
            return hm_fail(error, HM_ECONFLICT, "%.100s is described by both %.100s and %.100s",
                           name, from->path, file->path);
        device = found;
        from = file;
    }
    if (from == NULL)
        return find_missing(files, name, error);
    rc = from->used ? 0 : runtime_cdi_edits_add(edits, from->spec.json, error);
    if (rc == 0)
        rc = runtime_cdi_edits_add(edits, device, error);
    from->used = true;
    return rc != 0 ? hm_error_prefix(error, rc, "%.160s", from->path) : 0;
}

int runtime_cdi_find(const char *folders, char *const *names, size_t count,
                     struct runtime_cdi_edits *edits, struct hm_error *error)
{
    HM_CLEANUP(cdi_files)
    struct cdi_files files = {.folders = folders != NULL ? folders : RUNTIME_CDI_FOLDERS};
    int rc;

    if (count > RUNTIME_CDI_MAX_NAMES)
        return hm_fail(error, HM_ELIMIT, "a job has at most %d devices", RUNTIME_CDI_MAX_NAMES);
    rc = find_folders(&files, error);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = find_device(&files, names[i], edits, error);
    return rc;
}
