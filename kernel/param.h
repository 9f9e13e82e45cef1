// Sizes and limits. Those marked ABI are xv6's and visible to user programs or on disk.
#pragma once

#define NPROC       64  // processes at a time (ABI)
#define NCPU        8   // harts at most
#define NOFILE      16  // open files of one process (ABI)
#define NFILE       100 // open files in the system
#define NINODE      50  // inodes held in memory
#define NDEV        10  // major device numbers
#define NBUF        46  // blocks in the buffer cache: more than the log can pin
#define MAXARG      32  // entries of exec's argv, with its final 0 (ABI)
#define USERSTACK   1   // pages of a program's stack
#define MAXPATH     128 // bytes of a path, with its final zero (ABI)
#define MAXOPBLOCKS 10  // blocks that one file system operation may write
#define LOGBLOCKS   30  // data blocks that the on-disk log header has room for (ABI)
#define ROOTDEV     1   // device number of the root file system (ABI)

// Major device numbers (ABI).
#define CONSOLE    1
#define STATISTICS 2
