/*
 * Runs a fuzz target over its corpus, without a fuzzer: the main function of every target in ordinary builds.
 *
 * Each file is given as it is, then cut short and with single bytes changed, at positions and to values that
 * depend only on the file. What is shown here is that no seed and no near neighbour of one crashes, trips a
 * sanitizer or an assertion; finding new inputs is libFuzzer's work (scripts/test, meson option `fuzz`).
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define REPLAY_FILE_MAX_BYTES      (16u << 20)
#define REPLAY_NEIGHBOURS_PER_FILE 256u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t inputs_run;

/* The target gets a buffer of exactly its size, so that a sanitizer sees the first byte read past the end. */
static void run_copy(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);
    if (copy == NULL) {
        (void)fprintf(stderr, "out of memory\n");
        exit(1);
    }
    if (size > 0)
        memcpy(copy, data, size);
    (void)LLVMFuzzerTestOneInput(copy, size);
    free(copy);
    inputs_run++;
}

static void run_neighbours(uint8_t *data, size_t size)
{
    uint64_t state = 0x9e3779b97f4a7c15u ^ size;
    for (unsigned i = 0; i < REPLAY_NEIGHBOURS_PER_FILE && size > 0; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        size_t at = (size_t)((state >> 33) % size);
        if (i % 2 == 0) {
            run_copy(data, at);
            continue;
        }
        uint8_t kept = data[at];
        data[at] = (uint8_t)(state >> 24);
        run_copy(data, size);
        data[at] = kept;
    }
}

static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        (void)fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return -1;
    }
    uint8_t *data = malloc(REPLAY_FILE_MAX_BYTES);
    size_t size = data != NULL ? fread(data, 1, REPLAY_FILE_MAX_BYTES, file) : 0;
    int bad = data == NULL || ferror(file) != 0 || fgetc(file) != EOF;
    (void)fclose(file);
    if (bad) {
        (void)fprintf(stderr, "%s: cannot be read whole (limit %u bytes)\n", path,
                      REPLAY_FILE_MAX_BYTES);
    } else {
        (void)fprintf(stderr, "input %s\n", path);
        run_copy(data, size);
        run_neighbours(data, size);
    }
    free(data);
    return bad ? -1 : 0;
}

static int run_folder(const char *folder, size_t *files)
{
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, NULL, alphasort);
    int result = count < 0 ? -1 : 0;
    if (count < 0)
        (void)fprintf(stderr, "%s: %s\n", folder, strerror(errno));
    for (int i = 0; i < count; i++) {
        char path[4096];
        struct stat info;
        int length = snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
        free(entries[i]);
        if (length < 0 || (size_t)length >= sizeof(path) || stat(path, &info) != 0 ||
            !S_ISREG(info.st_mode))
            continue;
        (*files)++;
        if (run_file(path) != 0)
            result = -1;
    }
    free(entries);
    return result;
}

int main(int argc, char **argv)
{
    size_t files = 0;
    int result = 0;
    run_copy((const uint8_t *)"", 0);
    for (int i = 1; i < argc; i++)
        if (run_folder(argv[i], &files) != 0)
            result = 1;
    if (files == 0) {
        (void)fprintf(stderr, "the corpus is empty: put a few real inputs into it\n");
        result = 1;
    }
    (void)printf("%zu files, %zu inputs\n", files, inputs_run);
    return result;
}
