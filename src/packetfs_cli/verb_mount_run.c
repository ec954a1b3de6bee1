#define FUSE_USE_VERSION 32
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <fuse_lowlevel.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>
#include <unistd.h>

#include "verb_mount.h"
#include "verb_mount_signal.h"

#define MOUNT_IDLE_THREADS_MAX 8

static struct hm_error *own(struct packetfs_error *error)
{
    return (struct hm_error *)(void *)error; /* two names of one layout */
}

static struct fuse *fuse_make(const struct mount_options *options, struct mount_world *world)
{
    char list[128];
    char program[] = "packetfs";
    char flag[] = "-o";
    char *argv[] = {program, flag, list, NULL};
    struct fuse_args args = FUSE_ARGS_INIT(3, argv);

    (void)snprintf(list, sizeof(list), "ro,nosuid,nodev,fsname=packetfs,subtype=packetfs%s",
                   options->allow_other ? ",allow_other,default_permissions" : "");
    struct fuse *fuse = fuse_new(&args, mount_operations(), sizeof(struct fuse_operations), world);
    fuse_opt_free_args(&args);
    return fuse;
}

/* Serves until somebody unmounts it or a signal asks for the end. */
static int serve(struct fuse *fuse, struct mount_signals *signals, struct packetfs_error *error)
{
    struct fuse_loop_config config = {.clone_fd = 0, .max_idle_threads = MOUNT_IDLE_THREADS_MAX};
    int rc = mount_signals_watch(signals, fuse_get_session(fuse), error);

    if (rc != 0)
        return rc;
    rc = fuse_loop_mt(fuse, &config);
    if (rc < 0) {
        errno = -rc;
        return hm_fail_errno(own(error), HM_EIO, "the mount ended");
    }
    return 0; /* unmounted, or asked to end by a signal */
}

/* Into the background before threads and maps are made: neither outlives a fork. */
static int serve_behind(const struct mount_options *options, struct fuse *fuse,
                        struct mount_signals *signals, struct mount_world *world,
                        struct packetfs_error *error)
{
    HM_AUTOCLOSE int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    char dir[PATH_MAX]; /* read from for as long as the mount is there */
    int rc;

    packetfs_volume_close(HM_TAKE(world->volume));
    (void)fflush(NULL);
    if (here < 0 || realpath(options->dir, dir) == NULL || fuse_daemonize(0) != 0)
        return hm_fail_errno(own(error), HM_EIO, "the mount cannot go to the background");
    openlog("packetfs", LOG_PID, LOG_DAEMON);
    /* Names of key files may be told from here. */
    rc = fchdir(here) == 0
             ? packetfs_volume_open(dir, &options->unlock, true, &world->volume, error)
             : hm_fail_errno(own(error), HM_EIO, "the folder is gone");
    hm_fd_release(&here); /* so that no folder is kept busy */
    here = -1;
    if (rc == 0 && chdir("/") != 0)
        rc = hm_fail_errno(own(error), HM_EIO, "the background has no folder");
    if (rc == 0)
        rc = serve(fuse, signals, error);
    if (rc != 0)
        syslog(LOG_ERR, "%s", error->text);
    return rc;
}

/* The snapshot that was asked for, and the world around it. On failure the volume is closed. */
static int prepare(const struct mount_options *options, struct packetfs_volume *volume,
                   struct mount_world *world, struct packetfs_error *error)
{
    struct packetfs_snapshot only;
    struct stat st;
    int rc = 0;

    if (stat(options->point, &st) != 0 || !S_ISDIR(st.st_mode))
        rc = hm_fail(own(error), HM_ENOTFOUND, "%s is no folder to mount on", options->point);
    if (rc == 0 && options->snapshot != NULL)
        rc = packetfs_find(volume, options->snapshot, &only, error);
    if (rc == 0)
        rc = mount_world_init(world, volume, options->snapshot != NULL ? &only : NULL, error);
    if (rc != 0)
        packetfs_volume_close(volume);
    return rc;
}

/* Mounts, serves and unmounts. */
static int run(const struct mount_options *options, struct fuse *fuse, struct mount_world *world,
               struct packetfs_error *error)
{
    struct mount_signals signals;
    int rc = mount_signals_init(&signals, error);

    if (rc != 0)
        return rc;
    if (fuse == NULL || fuse_mount(fuse, options->point) != 0) {
        rc = hm_fail(own(error), HM_EUNAVAILABLE,
                     "%s cannot be mounted on; FUSE said why, and needs /dev/fuse and fusermount3",
                     options->point);
    } else {
        rc = options->foreground ? serve(fuse, &signals, error)
                                 : serve_behind(options, fuse, &signals, world, error);
        fuse_unmount(fuse);
    }
    mount_signals_release(&signals);
    return rc;
}

int mount_run(const struct mount_options *options, struct packetfs_volume *volume,
              struct packetfs_error *error)
{
    struct mount_world world;
    struct fuse *fuse = NULL;
    int rc = prepare(options, volume, &world, error);

    if (rc != 0)
        return rc;
    world.background = !options->foreground;
    fuse = fuse_make(options, &world);
    rc = run(options, fuse, &world, error);
    if (fuse != NULL)
        fuse_destroy(fuse);
    mount_handles_close(&world);
    packetfs_volume_close(world.volume);
    mount_world_release(&world);
    return rc;
}
