// Put before a tree's vm.c, whose loops over pages call walk() for each (cross.sh).
#pragma once

unsigned long *walk(unsigned long *, unsigned long, int) __attribute__((always_inline));
