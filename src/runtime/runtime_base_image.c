/* The image that needs no registry: a static busybox, its applets, and the few files programs expect.
 * The same binary gives the same digest: no time, no machine in it. */
#include <archive.h>
#include <archive_entry.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime_images.h"
#include "runtime_spawn.h"

#define BUSYBOX_MAX_BYTES     ((size_t)64 << 20)
#define BUSYBOX_MAX_APPLETS   1024
#define BUSYBOX_LIST_BYTES    ((size_t)64 << 10)
#define BUSYBOX_LIST_LIMIT_MS 5000

/* Static: an ELF file without an interpreter to load it. */
static bool busybox_is_static(struct hm_slice elf)
{
    Elf64_Ehdr head;

    if (elf.len < sizeof(head) || memcmp(elf.data, ELFMAG, SELFMAG) != 0 ||
        elf.data[EI_CLASS] != ELFCLASS64)
        return false;
    memcpy(&head, elf.data, sizeof(head));
    for (size_t i = 0; i < head.e_phnum; i++) {
        Elf64_Phdr part;

        if (head.e_phoff > elf.len || elf.len - head.e_phoff < (i + 1) * sizeof(part))
            return false;
        memcpy(&part, elf.data + head.e_phoff + i * sizeof(part), sizeof(part));
        if (part.p_type == PT_INTERP)
            return false;
    }
    return true;
}

static int busybox_find(const char *wanted, char out[RUNTIME_PATH_MAX_BYTES], struct hm_buf *binary,
                        struct hm_error *error)
{
    static const char *const usual[] = {"/bin/busybox", "/usr/bin/busybox", "/sbin/busybox",
                                        "/usr/sbin/busybox", "/usr/local/bin/busybox"};
    const char *path = getenv("PATH");

    if (wanted == NULL) {
        wanted = getenv("HYPERMESH_BUSYBOX");
        wanted = wanted != NULL && wanted[0] != 0 ? wanted : NULL;
    }
    if (wanted != NULL) {
        if (hm_file_read(wanted, BUSYBOX_MAX_BYTES, binary, error) != 0)
            return HM_ENOTFOUND;
        if (!busybox_is_static(hm_buf_slice(binary)))
            return hm_fail(error, HM_EINVAL, "%s is not a static 64-bit program", wanted);
        snprintf(out, RUNTIME_PATH_MAX_BYTES, "%s", wanted);
        return 0;
    }
    for (size_t i = 0; i < HM_COUNT_OF(usual) || (path != NULL && *path != 0); i++) {
        if (i < HM_COUNT_OF(usual)) {
            snprintf(out, RUNTIME_PATH_MAX_BYTES, "%s", usual[i]);
        } else {
            size_t len = strcspn(path, ":");

            snprintf(out, RUNTIME_PATH_MAX_BYTES, "%.*s/busybox", (int)len, path);
            path += len + (path[len] == ':');
        }
        hm_buf_clear(binary);
        if (out[0] == '/' && hm_file_read(out, BUSYBOX_MAX_BYTES, binary, NULL) == 0 &&
            busybox_is_static(hm_buf_slice(binary)))
            return 0;
    }
    return hm_fail(error, HM_ENOTFOUND,
                   "there is no static busybox on this machine; install the package "
                   "busybox-static, or name one with HYPERMESH_BUSYBOX");
}

static int base_entry(struct archive *tar, const char *path, unsigned type, unsigned mode,
                      const char *link, struct hm_slice data)
{
    struct archive_entry *entry = archive_entry_new();
    int rc = ARCHIVE_FATAL;

    if (entry != NULL) {
        archive_entry_set_pathname(entry, path);
        archive_entry_set_filetype(entry, type);
        archive_entry_set_perm(entry, (mode_t)mode);
        archive_entry_set_size(entry, (la_int64_t)data.len);
        archive_entry_set_mtime(entry, 0, 0);
        if (link != NULL)
            archive_entry_set_symlink(entry, link);
        rc = archive_write_header(tar, entry);
        if (rc == ARCHIVE_OK && data.len > 0 &&
            archive_write_data(tar, data.data, data.len) != (la_ssize_t)data.len)
            rc = ARCHIVE_FATAL;
    }
    archive_entry_free(entry);
    return rc == ARCHIVE_OK ? 0 : HM_EIO;
}

static int base_applets(struct archive *tar, char *list)
{
    size_t count = 0;
    char *save = NULL;

    for (char *name = strtok_r(list, "\n", &save); name != NULL;
         name = strtok_r(NULL, "\n", &save)) {
        char path[96];

        if (strcmp(name, "busybox") == 0 || strlen(name) > 64 || strchr(name, '/') != NULL)
            continue;
        if (++count > BUSYBOX_MAX_APPLETS)
            break;
        snprintf(path, sizeof(path), "bin/%s", name);
        if (base_entry(tar, path, AE_IFLNK, 0777, "busybox", (struct hm_slice){0}) != 0)
            return HM_EIO;
    }
    return 0;
}

static int base_tar(const char *path, struct hm_slice binary, char *applets, struct hm_error *error)
{
    static const char *const folders[] = {"bin",  "etc", "home", "proc",    "dev",
                                          "root", "sys", "usr",  "usr/bin", "var"};
    static const struct {
        const char *path, *text;
    } files[] = {
        {"etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"},
        {"etc/group", "root:x:0:\nnogroup:x:65534:\n"},
        {"etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"},
        {"etc/nsswitch.conf", "hosts: files dns\n"},
    };
    struct archive *tar = archive_write_new();
    int rc = tar == NULL || archive_write_set_format_ustar(tar) != ARCHIVE_OK ||
                     archive_write_open_filename(tar, path) != ARCHIVE_OK
                 ? HM_EIO
                 : 0;

    for (size_t i = 0; rc == 0 && i < HM_COUNT_OF(folders); i++)
        rc = base_entry(tar, folders[i], AE_IFDIR, 0755, NULL, (struct hm_slice){0});
    if (rc == 0)
        rc = base_entry(tar, "tmp", AE_IFDIR, 01777, NULL, (struct hm_slice){0});
    for (size_t i = 0; rc == 0 && i < HM_COUNT_OF(files); i++)
        rc = base_entry(tar, files[i].path, AE_IFREG, 0644, NULL, hm_slice_str(files[i].text));
    if (rc == 0)
        rc = base_entry(tar, "bin/busybox", AE_IFREG, 0755, NULL, binary);
    if (rc == 0)
        rc = base_applets(tar, applets);
    if (rc == 0 && archive_write_close(tar) != ARCHIVE_OK)
        rc = HM_EIO;
    archive_write_free(tar);
    return rc == 0 ? 0 : hm_fail(error, rc, "cannot write the base image's layer");
}

static int base_config(const struct runtime_digest *diff_id, struct hm_buf *out,
                       struct hm_error *error)
{
    RUNTIME_JSON *json = json_pack("{s:s, s:s, s:{s:[s], s:[s], s:s}, s:{s:s, s:[s]}}",
                                   "architecture", runtime_oci_arch(), "os", "linux", "config",
                                   "Env", "PATH=/bin:/usr/bin", "Cmd", "/bin/sh", "WorkingDir", "/",
                                   "rootfs", "type", "layers", "diff_ids", diff_id->text);

    return runtime_json_write(json, out, error);
}

static int base_manifest(const struct runtime_digest *config, size_t config_bytes,
                         const struct runtime_digest *layer, uint64_t layer_bytes,
                         struct hm_buf *out, struct hm_error *error)
{
    RUNTIME_JSON *json = json_pack(
        "{s:i, s:s, s:{s:s, s:s, s:I}, s:[{s:s, s:s, s:I}]}", "schemaVersion", 2, "mediaType",
        "application/vnd.oci.image.manifest.v1+json", "config", "mediaType",
        "application/vnd.oci.image.config.v1+json", "digest", config->text, "size",
        (json_int_t)config_bytes, "layers", "mediaType", "application/vnd.oci.image.layer.v1.tar",
        "digest", layer->text, "size", (json_int_t)layer_bytes);

    return runtime_json_write(json, out, error);
}

static int base_stage(struct runtime_staging *staging, struct hm_slice binary, char *applets,
                      struct runtime_digest *manifest, struct hm_error *error)
{
    HM_CLEANUP(hm_buf) struct hm_buf config_text = {0};
    HM_CLEANUP(hm_buf) struct hm_buf manifest_text = {0};
    struct runtime_digest layer = {0}, config = {0};
    char path[RUNTIME_PATH_MAX_BYTES];
    HM_AUTOCLOSE int tar = -1;
    uint64_t bytes = 0;
    int rc;

    snprintf(path, sizeof(path), "%s/base.tar", staging->dir);
    rc = base_tar(path, binary, applets, error);
    if (rc != 0)
        return rc;
    tar = open(path, O_RDONLY | O_CLOEXEC);
    if (tar < 0)
        return hm_fail_errno(error, HM_EIO, "cannot read the base image's layer");
    rc = runtime_staging_blob_fd(staging, tar, NULL, &layer, &bytes, error);
    if (rc == 0)
        rc = base_config(&layer, &config_text, error);
    if (rc == 0)
        rc = runtime_staging_blob(staging, hm_buf_slice(&config_text), NULL, &config, error);
    if (rc == 0)
        rc = base_manifest(&config, config_text.len, &layer, bytes, &manifest_text, error);
    if (rc == 0)
        rc = runtime_staging_blob(staging, hm_buf_slice(&manifest_text), NULL, manifest, error);
    return rc;
}

int runtime_image_build_base(struct runtime_images *images, const char *busybox,
                             struct runtime_image *out, struct hm_error *error)
{
    HM_CLEANUP(runtime_staging) struct runtime_staging staging = {0};
    HM_CLEANUP(hm_buf) struct hm_buf binary = {0};
    HM_CLEANUP(hm_buf) struct hm_buf list = {0};
    char path[RUNTIME_PATH_MAX_BYTES];
    const char *argv[] = {path, "--list", NULL};
    struct runtime_digest manifest = {0};
    int status = 0;
    int rc = busybox_find(busybox, path, &binary, error);

    if (rc == 0)
        rc = runtime_child_run(argv, BUSYBOX_LIST_LIMIT_MS, &list, BUSYBOX_LIST_BYTES, &status,
                               error);
    if (rc == 0 && (status != 0 || list.len == 0))
        rc = hm_fail(error, HM_EINVAL, "%s does not list its applets (--list)", path);
    if (rc == 0)
        rc = runtime_staging_begin(images, &staging, error);
    if (rc == 0 && hm_buf_append(&list, "", 1) != 0)
        rc = hm_fail(error, HM_ENOMEM, "no memory to build the base image");
    if (rc == 0)
        rc = base_stage(&staging, hm_buf_slice(&binary), (char *)list.data, &manifest, error);
    return rc != 0 ? rc : runtime_staging_commit(&staging, "busybox", &manifest, out, error);
}
