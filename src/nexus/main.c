#include "nexus.h"

int main(int argc, char **argv)
{
    return nexus_main(argc, argv);
}
