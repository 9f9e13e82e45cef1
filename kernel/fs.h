// The file system as it lies on disk (xv6's format). mkfs and the kernel share this
// file.
//
//   boot | super block | log header, log data | inodes | free bitmap | data
#pragma once

#include <stdint.h>

#define BSIZE   1024 // bytes in a block
#define ROOTINO 1    // inode of /
#define FSMAGIC 0x10203040

struct superblock {
  uint32_t magic;      // FSMAGIC
  uint32_t size;       // blocks in the image
  uint32_t nblocks;    // data blocks
  uint32_t ninodes;    // inodes, number 0 included and unused
  uint32_t nlog;       // log blocks, header included
  uint32_t logstart;   // first log block: the header
  uint32_t inodestart; // first inode block
  uint32_t bmapstart;  // first bitmap block
};

#define NDIRECT   12
#define NINDIRECT (BSIZE / sizeof(uint32_t))
#define MAXFILE   (NDIRECT + NINDIRECT) // blocks in the largest file

struct dinode {
  int16_t type; // 0 is free, else T_DIR, T_FILE, T_DEVICE
  int16_t major;
  int16_t minor;
  int16_t nlink;
  uint32_t size;               // bytes
  uint32_t addrs[NDIRECT + 1]; // data blocks; the last is the indirect block
};

#define IPB           (BSIZE / sizeof(struct dinode)) // inodes in a block
#define IBLOCK(i, sb) ((i) / IPB + (sb)->inodestart)  // block of inode i
#define BPB           (BSIZE * 8)                     // bits in a bitmap block
#define BBLOCK(b, sb) ((b) / BPB + (sb)->bmapstart)   // block of the bit for block b

// Blocks in the largest image. To free a file changes as many bitmap blocks as its
// blocks are spread over, and must fit into one call's share of the log, MAXOPBLOCKS.
#define MAXBITMAPS 2
#define MAXIMAGE   (MAXBITMAPS * BPB)

#define DIRSIZ 14

// A directory is a file of these. inum 0 is an empty slot; name has a final zero only
// when it is shorter than DIRSIZ.
struct dirent {
  uint16_t inum;
  char name[DIRSIZ];
};
