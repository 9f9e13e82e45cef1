// What kernelvec.S saves of a trap in the kernel. It knows the offsets.
#pragma once

#include <stdint.h>

struct ktrapframe {
  uint64_t x[32];   //   0: x1 to x31 of the trapped code; x[0] is unused
  uint64_t sepc;    // 256: where it stood; kernelvec resumes here
  uint64_t sstatus; // 264
  uint64_t scause;  // 272
  uint64_t stval;   // 280
};
