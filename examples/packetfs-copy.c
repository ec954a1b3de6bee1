/* A volume in under 60 lines: what is in FROM is stored in VOLUME (made when missing) and restored to TO, from there alone.
 *
 *   cc packetfs-copy.c $(pkg-config --cflags --libs packetfs) -o packetfs-copy
 *   ./packetfs-copy VOLUME FROM TO
 *
 * Run it again after changing a file: only what is new is read and stored. */
#include <packetfs.h>
#include <stdio.h>

static bool show(void *ctx, const struct packetfs_progress *progress)
{
    (void)ctx;
    (void)fprintf(stderr, "\r%s: %llu files, %llu bytes", progress->stage,
                  (unsigned long long)progress->files_done,
                  (unsigned long long)progress->bytes_done);
    return true; /* false would stop it */
}

static int fail(const struct packetfs_error *error)
{
    (void)fprintf(stderr, "\npacketfs-copy: %s\n", error->text);
    return 1;
}

int main(int argc, char **argv)
{
    const struct packetfs_unlock unlock = {0}; /* a key file in ~/.config/packetfs/keys */
    const struct packetfs_parameters defaults = {0};
    const struct packetfs_watch watch = {.progress = show};
    struct packetfs_put_result stored;
    struct packetfs_get_result restored;
    struct packetfs_volume *volume;
    struct packetfs_error error;

    if (argc != 4) {
        (void)fputs("usage: packetfs-copy VOLUME FROM TO\n", stderr);
        return 2;
    }
    int code = packetfs_volume_create(argv[1], &defaults, &unlock, &error);
    if (code != 0 && code != PACKETFS_EEXIST)
        return fail(&error);
    if (packetfs_volume_open(argv[1], &unlock, false, &volume, &error) != 0)
        return fail(&error);

    const char *paths[] = {argv[2]};
    const struct packetfs_put_options put = {.paths = paths, .path_count = 1, .contents_of = true};
    const struct packetfs_get_options get = {.target = argv[3], .overwrite = true};
    code = packetfs_put(volume, &put, &watch, &stored, &error);
    if (code == 0)
        code = packetfs_get(volume, &stored.snapshot, &get, &watch, &restored, &error);
    packetfs_volume_close(volume);
    if (code != 0)
        return fail(&error);
    (void)printf("%llu files; %llu bytes read, %llu stored\n", (unsigned long long)restored.files,
                 (unsigned long long)stored.bytes_read, (unsigned long long)stored.bytes_stored);
    return 0;
}
