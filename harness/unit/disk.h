// A disk in memory, with a switch for its power, and a machine that boots from it. The
// disk outlives the machine: each life of the machine is a child process, which begins
// with the kernel's variables as they were linked.
#pragma once

#include "host.h"

#include "../../kernel/buf.h"
#include "../../kernel/file.h"
#include "../../kernel/fs.h"
#include "../../kernel/stat.h"

#define DISK_BLOCKS 500 // there are at most

typedef uint8_t disk_block[BSIZE];

struct disk {
  disk_block blocks[DISK_BLOCKS];
  uint32_t size;   // blocks there are
  int64_t power;   // writes until the power goes; those after it are lost. < 0: never
  uint64_t reads;  // since disk_count()
  uint64_t writes; // likewise, those lost included
  uint32_t order[512]; // the blocks of the first writes, likewise
};

extern struct disk *disk;

// Where things lie on the disks that disk_format() makes.
#define LOG_START   2
#define LOG_BLOCKS  (LOGBLOCKS + 1)
#define INODE_START (LOG_START + LOG_BLOCKS)

// Make an empty file system of so many blocks and inodes, with nothing but a root
// directory; power on.
void disk_format(uint32_t size, uint32_t ninodes);
void disk_count(void); // start counting reads and writes
const struct superblock *disk_super(void);
uint32_t disk_data_start(void);
struct dinode *disk_inode(uint32_t inum);
bool disk_bit(uint32_t block); // in the bitmap
uint32_t disk_free_blocks(void);

// Fail unless the file system on the disk is whole: every block of a file's is its
// alone and marked in use, no other data block is, directories name inodes that exist,
// and each inode has as many links as there are names of it.
void disk_check(void);

// Boot the kernel in this process, which then has / as its current directory.
void boot(void);

// One life of the machine: boot, call body(arg) if it is not 0, power off. Fails if the
// life does not end well.
void machine_life(void (*body)(void *arg), void *arg);

// Whole operations, as the system calls do them.
struct inode *make(const char *path,
                   int16_t type); // locked, or 0; between begin and end
int make_dir(const char *path);   // 0 or -1
int make_file(const char *path, const void *contents, uint32_t n);
int remove_file(const char *path);
int read_file(const char *path, void *contents, uint32_t n); // bytes read, or -1
