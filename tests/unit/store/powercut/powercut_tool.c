/* The power cut for tests that are scripts:
 *   powercut mark LOG NUMBER               append a mark: from here on NUMBER is promised
 *   powercut list LOG [BASE]               for each step: its number, how many variants, the last mark
 *   powercut image LOG STEP VARIANT OUT [BASE]   put the disk after that step into the folder OUT
 * BASE: a copy of the folder as it was before the log began. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "powercut_image.h"

#define RANDOM_VARIANTS 3

static int complain(const struct hm_error *error)
{
    fprintf(stderr, "powercut: %s\n", error->text);
    return 1;
}

static int mark(const char *path, const char *number, struct hm_error *error)
{
    struct powercut_record record = {
        .magic = POWERCUT_MAGIC, .kind = POWERCUT_MARK, .offset = strtoull(number, NULL, 10)};
    HM_AUTOCLOSE int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);

    if (fd < 0)
        return hm_fail_errno(error, HM_EIO, "%s", path);
    return hm_write_all(fd, &record, sizeof(record), error);
}

static int walk(int argc, char **argv, struct hm_error *error)
{
    bool list = strcmp(argv[1], "list") == 0;
    size_t step = list ? 0 : strtoul(argv[3], NULL, 10);
    const char *base = list ? argv[3] : argv[argc > 6 ? 6 : argc];
    struct powercut_log log = {0};
    struct powercut_image *image;
    int rc = powercut_load(argv[2], &log, error);

    if (rc)
        return rc;
    image = powercut_image_new(&log, base);
    do {
        if (list)
            printf("%zu %u %" PRIu64 "\n", powercut_image_step(image),
                   powercut_variants(image, RANDOM_VARIANTS), powercut_image_mark(image));
        else if (powercut_image_step(image) == step)
            break;
    } while (powercut_image_advance(image));
    if (!list)
        rc = powercut_image_step(image) == step
                 ? powercut_image_write(image, (unsigned)strtoul(argv[4], NULL, 10), argv[5], error)
                 : hm_fail(error, HM_ERANGE, "the log has %zu steps", powercut_image_step(image));
    powercut_image_free(image);
    powercut_log_release(&log);
    return rc;
}

int main(int argc, char **argv)
{
    struct hm_error error = {0};
    int rc;

    if (argc == 4 && strcmp(argv[1], "mark") == 0)
        rc = mark(argv[2], argv[3], &error);
    else if ((argc >= 3 && argc <= 4 && strcmp(argv[1], "list") == 0) ||
             (argc >= 6 && argc <= 7 && strcmp(argv[1], "image") == 0))
        rc = walk(argc, argv, &error);
    else
        rc = hm_fail(&error, HM_EINVAL,
                     "mark LOG NUMBER | list LOG [BASE] | image LOG STEP VARIANT OUT [BASE]");
    return rc ? complain(&error) : 0;
}
