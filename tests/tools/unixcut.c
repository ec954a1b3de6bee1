/* unixcut: a relay between a client and a server of unix sockets that breaks the connection at a byte of choice.
 *
 *     unixcut LISTEN_SOCKET TARGET_SOCKET BYTES [SEED] [-- PROGRAM [ARGUMENT...]]
 *
 * Prints "ready", then carries bytes of every connection both ways. With the BYTES-th byte, counted over all connections and
 * both ways, it stops in the middle of whatever that is: what came before is passed on, all connections are shut at once,
 * and "cut after N bytes" is printed. With SEED the byte is drawn from BYTES/2 .. BYTES, the same for the same seed. Later
 * connections are carried whole, so a restart meets a good way; BYTES 0 never cuts. Ends by SIGTERM, or when the process that
 * started it does. With PROGRAM it stands in that one's place (beside.h), and cuts once in each of its lives. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base.h"
#include "beside.h"

#define PAIRS_MAX  32
#define ROOM_BYTES 65536

/* One direction of a connection. */
struct way {
    uint8_t data[ROOM_BYTES];
    size_t from, to; /* what is read and not yet written */
    bool ended; /* the reader met the end */
};

struct pair {
    int fd[2]; /* client's, server's; negative: free */
    struct way way[2]; /* [0] to the server, [1] to the client */
};

static struct {
    struct pair pairs[PAIRS_MAX];
    struct sockaddr_un target;
    int listener;
    uint64_t cut_at, passed; /* cut_at 0: no cut is to come */
} self = {.listener = -1};

static int address_of(const char *path, struct sockaddr_un *out, struct hm_error *error)
{
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof out->sun_path)
        return hm_fail(error, HM_ELIMIT, "a socket's path has at most %zu bytes: %s",
                       sizeof out->sun_path - 1, path);
    memcpy(out->sun_path, path, strlen(path) + 1);
    return 0;
}

static void pair_end(struct pair *pair)
{
    for (int side = 0; side < 2; side++) {
        hm_fd_release(&pair->fd[side]);
        pair->fd[side] = -1;
    }
}

static void pair_begin(int client)
{
    HM_AUTOCLOSE int near = client;
    HM_AUTOCLOSE int far = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (far < 0 || connect(far, (struct sockaddr *)&self.target, sizeof self.target) != 0)
        return; /* who has no server behind gets none */
    for (unsigned i = 0; i < PAIRS_MAX; i++) {
        struct pair *pair = &self.pairs[i];
        if (pair->fd[0] >= 0)
            continue;
        for (int side = 0; side < 2; side++) {
            pair->way[side].from = pair->way[side].to = 0;
            pair->way[side].ended = false;
        }
        pair->fd[0] = HM_TAKE_FD(near);
        pair->fd[1] = HM_TAKE_FD(far);
        return;
    }
}

/* All at once, after the bytes before the cut went out. */
static void cut_all(void)
{
    for (unsigned i = 0; i < PAIRS_MAX; i++) {
        struct pair *pair = &self.pairs[i];
        for (int side = 0; side < 2 && pair->fd[0] >= 0; side++) {
            struct way *way = &pair->way[side];
            (void)!send(pair->fd[!side], way->data + way->from, way->to - way->from, MSG_NOSIGNAL);
        }
        pair_end(pair);
    }
    (void)printf("cut after %llu bytes\n", (unsigned long long)self.passed);
    (void)fflush(stdout);
    self.cut_at = 0;
}

/* Reads what side has for the other. True: that was the last byte before the cut. */
static bool way_fill(struct pair *pair, int side)
{
    struct way *way = &pair->way[side];
    size_t room = sizeof way->data;
    ssize_t got;

    if (self.cut_at > 0 && self.cut_at - self.passed < room)
        room = (size_t)(self.cut_at - self.passed);
    got = read(pair->fd[side], way->data, room);
    if (got <= 0) {
        way->ended = got == 0 || (errno != EINTR && errno != EAGAIN);
        return false;
    }
    way->from = 0;
    way->to = (size_t)got;
    self.passed += (uint64_t)got;
    return self.cut_at > 0 && self.passed == self.cut_at;
}

static void way_drain(struct pair *pair, int side)
{
    struct way *way = &pair->way[side];
    ssize_t sent = send(pair->fd[!side], way->data + way->from, way->to - way->from,
                        MSG_NOSIGNAL | MSG_DONTWAIT);

    if (sent > 0)
        way->from += (size_t)sent;
    else if (sent < 0 && errno != EAGAIN && errno != EINTR)
        way->ended = true;
}

/* What one side may do now; false: the connection is over. */
static bool pair_turn(struct pair *pair, const struct pollfd polls[2], bool *cut)
{
    for (int side = 0; side < 2; side++) {
        struct way *way = &pair->way[side];
        if (way->from == way->to && polls[side].revents & (POLLIN | POLLHUP | POLLERR))
            *cut = *cut || way_fill(pair, side);
        if (way->from < way->to && !*cut)
            way_drain(pair, side);
        if (*cut)
            return true;
        if (way->ended)
            return false;
    }
    return true;
}

static void turn(void)
{
    struct pollfd polls[1 + 2 * PAIRS_MAX];
    bool cut = false;

    polls[0] = (struct pollfd){self.listener, POLLIN, 0};
    for (unsigned i = 0; i < PAIRS_MAX; i++) {
        const struct pair *pair = &self.pairs[i];
        for (int side = 0; side < 2; side++) {
            bool full = pair->way[side].from < pair->way[side].to,
                 owed = pair->way[!side].from < pair->way[!side].to;
            short events = (short)((full ? 0 : POLLIN) | (owed ? POLLOUT : 0));
            /* One that hung up and has nothing to give must not keep poll awake. */
            polls[1 + 2 * i + (unsigned)side] = (struct pollfd){events == 0 ? -1 : pair->fd[side],
                                                                events, 0};
        }
    }
    if (poll(polls, HM_COUNT_OF(polls), -1) < 0)
        return;
    for (unsigned i = 0; i < PAIRS_MAX; i++) {
        if (self.pairs[i].fd[0] < 0)
            continue;
        if (!pair_turn(&self.pairs[i], &polls[1 + (size_t)2 * i], &cut))
            pair_end(&self.pairs[i]);
        if (cut) {
            cut_all();
            return;
        }
    }
    if (polls[0].revents & POLLIN) {
        int client = accept4(self.listener, NULL, NULL, SOCK_CLOEXEC);
        if (client >= 0)
            pair_begin(client);
    }
}

static int start(int argc, char **argv, struct hm_error *error)
{
    struct sockaddr_un address;
    struct hm_random_seeded state;
    uint64_t bytes, seed;
    int status;

    if (argc != 4 && argc != 5)
        return hm_fail(
            error, HM_EINVAL,
            "say: unixcut LISTEN_SOCKET TARGET_SOCKET BYTES [SEED] [-- PROGRAM [ARGUMENT...]]");
    if ((status = address_of(argv[1], &address, error)) != 0 ||
        (status = address_of(argv[2], &self.target, error)) != 0 ||
        (status = hm_u64_parse(argv[3], &bytes, error)) != 0)
        return status;
    if (argc == 5) {
        struct hm_random dice;
        if ((status = hm_u64_parse(argv[4], &seed, error)) != 0)
            return status;
        dice = hm_random_seeded_source(&state, seed);
        bytes -= bytes > 1 ? hm_random_u64(&dice) % (bytes / 2 + 1) : 0;
    }
    self.cut_at = bytes;
    for (unsigned i = 0; i < PAIRS_MAX; i++)
        self.pairs[i].fd[0] = self.pairs[i].fd[1] = -1;
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    (void)unlink(argv[1]);
    self.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (self.listener < 0 ||
        bind(self.listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(self.listener, PAIRS_MAX) != 0)
        return hm_fail_errno(error, HM_EIO, "cannot listen at %s", argv[1]);
    return 0;
}

int main(int argc, char **argv)
{
    struct hm_error error;
    int own = 1;

    while (own < argc && strcmp(argv[own], "--") != 0)
        own++;
    if (start(own, argv, &error) != 0 ||
        (own + 1 < argc && beside_start(argv + own + 1, &error) != 0)) {
        (void)fprintf(stderr, "unixcut: %s\n", error.text);
        return 1;
    }
    (void)puts("ready");
    (void)fflush(stdout);
    for (;;)
        turn();
}
