// One disk block in memory.
#pragma once

#include "fs.h"
#include "sleeplock.h"

struct buf {
  bool valid; // data holds the block's contents
  bool disk;  // the device owns data until the transfer is done
  uint32_t dev;
  uint32_t blockno;
  uint32_t refcnt;  // holders of this buffer; protected by the cache's lock
  struct buf *prev; // least recently used order; protected by the cache's lock
  struct buf *next;
  struct sleeplock lock;
  uint8_t data[BSIZE];
};
