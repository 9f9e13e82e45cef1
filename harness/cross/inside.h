// Put before a tree's file that defines kalloc(): its own calls of these two may go to
// the shim (cross.sh), so the compiler must neither inline them nor rely on what is in
// them.
#pragma once

void *kalloc(void) __attribute__((noipa));
void kfree(void *) __attribute__((noipa));
