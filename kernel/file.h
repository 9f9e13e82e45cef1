// Open files, inodes in memory, and the table of devices.
#pragma once

#include "fs.h"
#include "param.h"
#include "sleeplock.h"

struct file {
  enum { FD_NONE, FD_PIPE, FD_INODE, FD_DEVICE } type;
  int ref; // file descriptors that share it; protected by the file table's lock
  bool readable;
  bool writable;
  struct pipe *pipe; // FD_PIPE
  struct inode *ip;  // FD_INODE, FD_DEVICE
  uint32_t off;      // FD_INODE; protected by ip->lock
  int16_t major;     // FD_DEVICE
};

struct inode {
  uint32_t dev;
  uint32_t inum;
  int ref; // C pointers to it; protected by the inode table's lock

  struct sleeplock lock; // protects all below
  bool valid;            // read from disk
  int16_t type;
  int16_t major;
  int16_t minor;
  int16_t nlink;
  uint32_t size;
  uint32_t addrs[NDIRECT + 1];
};

// What a major device number does. Each returns the bytes moved, or -1; addr is a user
// address if user is true, a kernel one if not.
struct device {
  int (*read)(bool user, uint64_t addr, int n);
  int (*write)(bool user, uint64_t addr, int n);
};

extern struct device devices[NDEV];
