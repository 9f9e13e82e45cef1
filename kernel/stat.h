// What fstat() fills in.
#pragma once

#include <stdint.h>

#define T_DIR    1
#define T_FILE   2
#define T_DEVICE 3

struct stat {
  int32_t dev;   // device of the file system
  uint32_t ino;  // inode number
  int16_t type;  // T_DIR, T_FILE or T_DEVICE
  int16_t nlink; // directory entries that name it
  uint64_t size; // bytes
};
