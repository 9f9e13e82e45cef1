// Programs for exec, which the probe writes into the file system itself, so that each
// tree gets the same ones.
#pragma once

// Between probe_image.c and the program itself, probe_program.S.
#define IMAGE_ROOM   0x400      // bytes that it has in the file
#define IMAGE_MAGIC  0x3e8      // where in them lies FAULTLINE_UPTIME,
#define IMAGE_DISARM 0x3f0      // FL_DISARM,
#define IMAGE_SIZE   0x3f8      // and how much memory it asked for: 64 bits each
#define IMAGE_SPOILT 1          // its status if that was not cleared
#define IMAGE_MUTE   2          // if it could not say argv[0]
#define IMAGE_SUMMED 0x20000000 // set in its status otherwise

#ifndef __ASSEMBLER__
#include "probe_sys.h"

enum image {
  IMAGE_GOOD,
  IMAGE_BIG,      // asks for many pages of memory
  IMAGE_FAR,      // for more than 2 MiB
  IMAGE_NO_MAGIC, // has a bad header
  IMAGE_CUT,      // its second segment's bytes are not there: found out late
};

// Write the program to a new file. Returns 0, or what could not be done.
const char *write_image(const char *path, enum image image);

// The status with which the good programs end, if they find argv as it should be and
// their memory cleared: it depends on each byte of argv but those of argv[0]. If
// argv[0] begins with @, they write it, and wait for a line of input first.
int image_status(int argc, char **argv);
#endif
