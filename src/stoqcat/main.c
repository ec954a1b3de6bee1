#include "cat.h"

int main(int argc, char **argv)
{
    return cat_main(argc, argv);
}
