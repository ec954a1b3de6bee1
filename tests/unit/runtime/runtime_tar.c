#include "runtime_tar.h"

#include <archive.h>
#include <archive_entry.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "crypto.h"

static la_ssize_t tar_write(struct archive *tar, void *ctx, const void *data, size_t len)
{
    (void)tar;
    return hm_buf_append(ctx, data, len) == 0 ? (la_ssize_t)len : -1;
}

static struct archive *tar_open(enum tar_filter filter, struct hm_buf *out)
{
    struct archive *tar = archive_write_new();

    assert_non_null(tar);
    assert_int_equal(archive_write_set_format_pax_restricted(tar), ARCHIVE_OK);
    if (filter == TAR_GZIP)
        assert_int_equal(archive_write_add_filter_gzip(tar), ARCHIVE_OK);
    if (filter == TAR_ZSTD)
        assert_int_equal(archive_write_add_filter_zstd(tar), ARCHIVE_OK);
    assert_int_equal(archive_write_set_bytes_in_last_block(tar, 1), ARCHIVE_OK); /* no padding */
    assert_int_equal(archive_write_open(tar, out, NULL, tar_write, NULL), ARCHIVE_OK);
    return tar;
}

static unsigned tar_type(char type)
{
    switch (type) {
    case 'd':
        return AE_IFDIR;
    case 'l':
        return AE_IFLNK;
    case 'c':
        return AE_IFCHR;
    case 'p':
        return AE_IFIFO;
    default:
        return AE_IFREG;
    }
}

void tar_make(const struct tar_item *items, size_t count, enum tar_filter filter,
              struct hm_buf *out)
{
    struct archive *tar = tar_open(filter, out);

    for (size_t i = 0; i < count; i++) {
        struct archive_entry *entry = archive_entry_new();
        const struct tar_item *item = &items[i];
        size_t len = item->type == 'f' && item->text != NULL ? strlen(item->text) : 0;

        archive_entry_set_pathname(entry, item->path);
        archive_entry_set_filetype(entry, tar_type(item->type));
        archive_entry_set_perm(entry, (mode_t)(item->mode != 0 ? item->mode : 0755));
        archive_entry_set_uid(entry, item->uid);
        archive_entry_set_mtime(entry, 1000, 0);
        archive_entry_set_size(entry, (la_int64_t)len);
        if (item->type == 'l')
            archive_entry_set_symlink(entry, item->text);
        if (item->type == 'h')
            archive_entry_set_hardlink(entry, item->text);
        assert_int_equal(archive_write_header(tar, entry), ARCHIVE_OK);
        if (len > 0)
            assert_int_equal(archive_write_data(tar, item->text, len), len);
        archive_entry_free(entry);
    }
    assert_int_equal(archive_write_close(tar), ARCHIVE_OK);
    archive_write_free(tar);
}

void tar_make_zeros(uint64_t size, enum tar_filter filter, struct hm_buf *out)
{
    static const uint8_t zeros[65536];
    struct archive *tar = tar_open(filter, out);
    struct archive_entry *entry = archive_entry_new();

    archive_entry_set_pathname(entry, "zeros");
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_size(entry, (la_int64_t)size);
    assert_int_equal(archive_write_header(tar, entry), ARCHIVE_OK);
    for (uint64_t done = 0; done < size; done += sizeof(zeros))
        assert_true(archive_write_data(tar, zeros, sizeof(zeros)) > 0);
    archive_entry_free(entry);
    assert_int_equal(archive_write_close(tar), ARCHIVE_OK);
    archive_write_free(tar);
}

/* POSIX.1-1988 ustar: offsets of name, mode, owner, group, size, time, checksum, type, link, magic. */
void tar_raw(const char *name, char typeflag, uint64_t size, const char *link, struct hm_slice data,
             struct hm_buf *out)
{
    uint8_t header[512] = {0};
    unsigned sum = 0;
    char text[16];

    memcpy(header, name, strnlen(name, 100));
    memcpy(header + 100, "0000644", 7);
    memcpy(header + 108, "0000000", 7);
    memcpy(header + 116, "0000000", 7);
    if (size < UINT64_C(1) << 33) {
        snprintf(text, sizeof(text), "%011llo", (unsigned long long)size);
        memcpy(header + 124, text, 11);
    } else {
        header[124] = 0x80;
        hm_put_be64(header + 128, size);
    }
    memcpy(header + 136, "00000001750", 11);
    memset(header + 148, ' ', 8);
    header[156] = (uint8_t)typeflag;
    memcpy(header + 157, link, strnlen(link, 100));
    memcpy(header + 257, "ustar\00000", 8);
    for (size_t i = 0; i < sizeof(header); i++)
        sum += header[i];
    snprintf(text, sizeof(text), "%06o", sum);
    memcpy(header + 148, text, 7);
    assert_int_equal(hm_buf_append(out, header, sizeof(header)), 0);
    memset(header, 0, sizeof(header));
    assert_int_equal(hm_buf_append(out, data.data, data.len), 0);
    assert_int_equal(hm_buf_append(out, header, (512 - data.len % 512) % 512), 0);
}

void tar_raw_end(struct hm_buf *out)
{
    static const uint8_t zeros[1024];

    assert_int_equal(hm_buf_append(out, zeros, sizeof(zeros)), 0);
}

void sha256_text(struct hm_slice data, char out[72])
{
    struct crypto_sha256 *state = NULL;
    uint8_t hash[CRYPTO_SHA256_BYTES];

    assert_int_equal(crypto_sha256_new(&state), 0);
    crypto_sha256_update(state, data.data, data.len);
    crypto_sha256_final(state, hash);
    crypto_sha256_free(state);
    memcpy(out, "sha256:", 7);
    hm_hex_encode(hash, sizeof(hash), out + 7);
}

void put_file(const char *path, struct hm_slice data)
{
    assert_int_equal(hm_file_replace(path, data.data, data.len, 0644, NULL), 0);
}

void make_dir(char out[256])
{
    const char *base = getenv("TMPDIR");

    snprintf(out, 256, "%s/hm-runtime-XXXXXX", base != NULL && base[0] == '/' ? base : "/tmp");
    assert_non_null(mkdtemp(out));
}

static void put_blob(const char *dir, struct hm_slice data, char digest[72])
{
    char path[512];

    sha256_text(data, digest);
    snprintf(path, sizeof(path), "%s/blobs/sha256/%s", dir, digest + 7);
    put_file(path, data);
}

static void make_config(const char *diff_id, struct hm_buf *out)
{
    assert_int_equal(
        hm_buf_printf(
            out,
            "{\"architecture\":\"%s\",\"os\":\"linux\",\"config\":{\"Cmd\":[\"/hello\"],\"Env\":"
            "[\"A=b\"],\"WorkingDir\":\"/w\",\"User\":\"7:8\"},\"rootfs\":{\"type\":\"layers\","
            "\"diff_ids\":[\"%s\"]}}",
#if defined(__aarch64__)
            "arm64",
#else
            "amd64",
#endif
            diff_id),
        0);
}

void layout_make(const char *dir, struct hm_slice layer, struct hm_slice plain, int wrong)
{
    HM_CLEANUP(hm_buf) struct hm_buf config = {0};
    HM_CLEANUP(hm_buf) struct hm_buf manifest = {0};
    HM_CLEANUP(hm_buf) struct hm_buf index = {0};
    char layer_digest[72], config_digest[72], manifest_digest[72], diff_id[72], path[512];

    snprintf(path, sizeof(path), "%s/blobs/sha256", dir);
    assert_int_equal(hm_mkdir_all(path, 0755, NULL), 0);
    snprintf(path, sizeof(path), "%s/oci-layout", dir);
    put_file(path, hm_slice_str("{\"imageLayoutVersion\":\"1.0.0\"}"));
    sha256_text(plain, diff_id);
    if (wrong == 2)
        diff_id[70] = diff_id[70] == 'a' ? 'b' : 'a';
    put_blob(dir, layer, layer_digest);
    if (wrong == 3 || wrong == 1) {
        snprintf(path, sizeof(path), "%s/blobs/sha256/%s", dir, layer_digest + 7);
        assert_int_equal(remove(path), 0);
        if (wrong == 1)
            put_file(path, hm_slice_str("something else"));
    }
    make_config(diff_id, &config);
    put_blob(dir, hm_buf_slice(&config), config_digest);
    assert_int_equal(
        hm_buf_printf(&manifest,
                      "{\"schemaVersion\":2,\"config\":{\"digest\":\"%s\",\"size\":%zu},"
                      "\"layers\":[{\"digest\":\"%s\",\"size\":%zu}]}",
                      config_digest, config.len, layer_digest, layer.len),
        0);
    put_blob(dir, hm_buf_slice(&manifest), manifest_digest);
    assert_int_equal(
        hm_buf_printf(
            &index,
            "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":"
            "\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"%s\",\"size\":%s%zu,"
            "\"annotations\":{\"org.opencontainers.image.ref.name\":\"tested:1\"}}]}",
            manifest_digest, wrong == 4 ? "-" : "", manifest.len),
        0);
    snprintf(path, sizeof(path), "%s/index.json", dir);
    put_file(path, hm_buf_slice(&index));
}

void docker_make(struct hm_slice layer, struct hm_buf *out)
{
    HM_CLEANUP(hm_buf) struct hm_buf config = {0};
    struct archive *tar = tar_open(TAR_PLAIN, out);
    char diff_id[72];
    struct {
        const char *path;
        struct hm_slice data;
    } files[3] = {{"abc/layer.tar", layer}, {"config.json", {0}}, {"manifest.json", {0}}};

    sha256_text(layer, diff_id);
    make_config(diff_id, &config);
    files[1].data = hm_buf_slice(&config);
    files[2].data = hm_slice_str(
        "[{\"Config\":\"config.json\",\"RepoTags\":[\"saved:2\"],\"Layers\":[\""
        "abc/layer.tar\"]}]");
    for (size_t i = 0; i < HM_COUNT_OF(files); i++) {
        struct archive_entry *entry = archive_entry_new();

        archive_entry_set_pathname(entry, files[i].path);
        archive_entry_set_filetype(entry, AE_IFREG);
        archive_entry_set_perm(entry, 0644);
        archive_entry_set_size(entry, (la_int64_t)files[i].data.len);
        assert_int_equal(archive_write_header(tar, entry), ARCHIVE_OK);
        assert_int_equal(archive_write_data(tar, files[i].data.data, files[i].data.len),
                         files[i].data.len);
        archive_entry_free(entry);
    }
    assert_int_equal(archive_write_close(tar), ARCHIVE_OK);
    archive_write_free(tar);
}
