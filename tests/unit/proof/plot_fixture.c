#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "plot_fixture.h"

int plot_fixture_init(struct plot_fixture *fixture)
{
    memset(fixture, 0, sizeof(*fixture));
    (void)snprintf(fixture->folder, sizeof(fixture->folder), "/tmp/hm-plot-XXXXXX");
    if (crypto_setup(NULL) != 0 || mkdtemp(fixture->folder) == NULL)
        return -1;
    (void)snprintf(fixture->path, sizeof(fixture->path), "%s/space.plot", fixture->folder);
    (void)snprintf(fixture->part, sizeof(fixture->part), "%s.part", fixture->path);
    memset(fixture->node, 0x11, sizeof(fixture->node));
    memset(fixture->challenge, 0x22, sizeof(fixture->challenge));
    hm_arena_init(&fixture->arena, 0);
    return 0;
}

void plot_fixture_release(struct plot_fixture *fixture)
{
    (void)hm_remove_tree(fixture->folder, NULL);
    hm_arena_release(&fixture->arena);
}

size_t plot_fixture_files(const struct plot_fixture *fixture)
{
    size_t files = 0;
    DIR *folder = opendir(fixture->folder);

    if (folder == NULL)
        return 0;
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder))
        files += entry->d_name[0] != '.' ? 1 : 0;
    (void)closedir(folder);
    return files;
}

bool plot_fixture_exists(const char *path)
{
    struct stat info;

    return lstat(path, &info) == 0;
}

struct proof_plot *plot_fixture_plot(struct plot_fixture *fixture, uint64_t labels,
                                     uint64_t segment_labels)
{
    struct proof_plot *plot = NULL;
    struct hm_error error = {0};

    if (proof_plot_create(fixture->path, fixture->node, labels, segment_labels, NULL, NULL,
                          &error) != 0 ||
        proof_plot_open(fixture->path, fixture->node, &plot, &error) != 0) {
        (void)fprintf(stderr, "%s\n", error.text);
        return NULL;
    }
    return plot;
}
