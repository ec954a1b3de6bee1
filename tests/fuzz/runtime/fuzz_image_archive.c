/* Any bytes as an image layer or archive: read to the end or refused, within the budget, and every
 * path that a visitor sees is one that may be opened below a root. */
#include <stdlib.h>

#include "runtime_archive.h"

#define FUZZ_BYTES ((uint64_t)1 << 20)
#define FUZZ_FILES 256

struct seen {
    uint64_t bytes;
    uint64_t files;
    uint64_t size; /* of the file being read */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void check_normal(const char *path)
{
    char again[RUNTIME_PATH_MAX_BYTES];

    must(path[0] != '/');
    must(runtime_path_normal(path, again, NULL) == 0);
    must(strcmp(path, again) == 0);
}

static int seen_entry(void *ctx, const struct runtime_entry *entry, struct hm_error *error)
{
    struct seen *seen = ctx;

    (void)error;
    check_normal(entry->path);
    must(entry->path[0] != 0 || entry->type == RUNTIME_ENTRY_DIR);
    if (entry->type == RUNTIME_ENTRY_HARDLINK)
        check_normal(entry->link);
    must((entry->mode & ~01777U) == 0);
    must(entry->uid <= RUNTIME_ARCHIVE_MAX_ID && entry->gid <= RUNTIME_ARCHIVE_MAX_ID);
    seen->size = entry->size;
    must(++seen->files <= FUZZ_FILES);
    return 0;
}

static int seen_data(void *ctx, const void *data, size_t len, uint64_t offset,
                     struct hm_error *error)
{
    struct seen *seen = ctx;

    (void)data;
    (void)error;
    seen->bytes += len;
    must(len <= seen->size && offset <= seen->size - len);
    return 0;
}

static int seen_end(void *ctx, struct hm_error *error)
{
    (void)ctx;
    (void)error;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct seen seen = {0};
    const struct runtime_archive_visitor visitor = {seen_entry, seen_data, seen_end, &seen};
    const struct runtime_archive_source source = {.fd = -1, .memory = hm_slice_of(data, len)};
    struct runtime_archive_budget budget = {FUZZ_BYTES, FUZZ_FILES};
    struct hm_error error = {0};
    uint8_t hash[CRYPTO_SHA256_BYTES];
    int rc = runtime_archive_walk(&source, &visitor, &budget, hash, &error);

    must(rc == 0 || (rc < 0 && error.code == rc && error.text[0] != 0));
    return 0;
}
