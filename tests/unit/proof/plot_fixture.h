/* A temporary folder with a plot in it, for the tests of this room. */
#ifndef PLOT_FIXTURE_H
#define PLOT_FIXTURE_H

#include "proof.h"

struct plot_fixture {
    char folder[64];
    char path[96];
    char part[128]; /* the name that an unfinished plot carries */
    uint8_t node[32];
    uint8_t challenge[32];
    struct hm_arena arena;
};

int plot_fixture_init(struct plot_fixture *fixture);
void plot_fixture_release(struct plot_fixture *fixture); /* removes the folder */
size_t plot_fixture_files(const struct plot_fixture *fixture);
bool plot_fixture_exists(const char *path);
/* Builds and opens; NULL when something fails. */
struct proof_plot *plot_fixture_plot(struct plot_fixture *fixture, uint64_t labels,
                                     uint64_t segment_labels);

#endif
