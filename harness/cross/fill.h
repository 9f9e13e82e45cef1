// Put before a tree's string.c, where memset() stands for a name of ours (cross.sh):
// the compiler is to see whether its loop is what memset() is, and if so to call that.
#pragma once

void *memset(void *, int, unsigned int)
    __attribute__((optimize("O2", "tree-loop-distribute-patterns",
                            "no-strict-aliasing")));
