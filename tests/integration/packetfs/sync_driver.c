/* The transfer's calls as a program, for sync.py.
 *
 *   sync_driver serve DIR ADDRESS              "ready ADDRESS" once it listens; ends when its standard input does
 *   sync_driver push|pull|sync DIR REMOTE MS   one JSON object; MS: how long silence is borne
 *
 * Exit status: 0, or the error's code without its sign; its sentence is on standard error. */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "packetfs.h"

static void ready(void *ctx, const char *address)
{
    (void)ctx;
    printf("ready %s\n", address);
    fflush(stdout);
}

static void event(void *ctx, const char *sentence)
{
    (void)ctx;
    fprintf(stderr, "event: %s\n", sentence);
}

static bool input_lasts(void *ctx, const struct packetfs_progress *progress)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};

    (void)ctx;
    (void)progress;
    return poll(&input, 1, 0) == 0;
}

static int serve(struct packetfs_volume *volume, const char *address, struct packetfs_error *error)
{
    const struct packetfs_serve_options options = {
        .address = address, .ready = ready, .event = event};
    const struct packetfs_watch watch = {.progress = input_lasts};

    return packetfs_serve(volume, &options, &watch, error);
}

static int transfer(const char *verb, struct packetfs_volume *volume, const char *remote,
                    unsigned timeout_ms, struct packetfs_error *error)
{
    const struct packetfs_transfer_options options = {.remote = remote, .timeout_ms = timeout_ms};
    struct packetfs_transfer_result result = {0};
    int rc = strcmp(verb, "push") == 0   ? packetfs_push(volume, &options, NULL, &result, error)
             : strcmp(verb, "pull") == 0 ? packetfs_pull(volume, &options, NULL, &result, error)
                                         : packetfs_sync(volume, &options, NULL, &result, error);

    printf("{\"snapshots\": %" PRIu64 ", \"references\": %" PRIu64 ", \"patterns\": %" PRIu64
           ", \"deltas\": %" PRIu64 ", \"wire\": %" PRIu64 ", \"round_trips\": %" PRIu64 "}\n",
           result.snapshots, result.references, result.patterns, result.deltas,
           result.bytes_sent + result.bytes_received, result.round_trips);
    return rc;
}

int main(int argc, char **argv)
{
    struct packetfs_volume *volume;
    struct packetfs_error error = {0};
    int rc;

    if (argc < 4)
        return 1;
    rc = packetfs_volume_open(argv[2], NULL, false, &volume, &error);
    if (rc == 0) {
        rc = strcmp(argv[1], "serve") == 0
                 ? serve(volume, argv[3], &error)
                 : transfer(argv[1], volume, argv[3],
                            argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 0, &error);
        packetfs_volume_close(volume);
    }
    if (rc != 0)
        fprintf(stderr, "error %d: %s\n", rc, error.text);
    return rc < 0 ? -rc : rc;
}
