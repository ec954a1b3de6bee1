/* "Did you mean": edit distance with swapped neighbours counted as one (Damerau-Levenshtein, optimal
 * string alignment). */
#include "nexus_option.h"

#define NEAREST_CHARS_MAX 32

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned least = a < b ? a : b;

    return least < c ? least : c;
}

static unsigned distance(const char *a, const char *b)
{
    unsigned rows[3][NEAREST_CHARS_MAX + 1];
    size_t la = strlen(a);
    size_t lb = strlen(b);

    if (la > NEAREST_CHARS_MAX || lb > NEAREST_CHARS_MAX)
        return NEAREST_CHARS_MAX;
    for (size_t j = 0; j <= lb; j++)
        rows[0][j] = (unsigned)j;
    for (size_t i = 1; i <= la; i++) {
        unsigned *row = rows[i % 3];
        const unsigned *above = rows[(i - 1) % 3];

        row[0] = (unsigned)i;
        for (size_t j = 1; j <= lb; j++) {
            unsigned swap = a[i - 1] == b[j - 1] ? 0 : 1;

            row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + swap);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                unsigned crossed = rows[(i - 2) % 3][j - 2] + 1;

                row[j] = crossed < row[j] ? crossed : row[j];
            }
        }
    }
    return rows[la % 3][lb];
}

const char *nexus_nearest(const char *text, const char *const *names, size_t count)
{
    const char *best = NULL;
    unsigned best_distance = 3; /* further off is not a slip of the hand */
    size_t len = strlen(text);

    for (size_t i = 0; i < count; i++) {
        unsigned d = distance(text, names[i]);

        /* Short words differ from everything by two letters. */
        if (d < best_distance && d * 2 <= strlen(names[i])) {
            best = names[i];
            best_distance = d;
        }
    }
    for (size_t i = 0; i < count && !best && len >= 2; i++)
        if (strncmp(text, names[i], len) == 0)
            best = names[i];
    return best;
}
