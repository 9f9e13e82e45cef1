// mkfs: make a file system image (kernel/fs.h) with the given files in its root
// directory.
//
//   mkfs [-b BLOCKS] [-i INODES] IMAGE FILE...
//
// A file is named after the last element of its path, without one leading '_', which
// the user programs carry on the host so that none is run there by mistake. The image
// depends on nothing but the arguments and the files' contents. On an error none is
// left behind.

#define _POSIX_C_SOURCE 200809L // for fstat() and fileno()

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../kernel/fs.h"
#include "../kernel/param.h"
#define stat kernel_stat // the host has a struct of that name too
#include "../kernel/stat.h"
#undef stat

_Static_assert(sizeof(struct dinode) == 64 && sizeof(struct dirent) == 16,
               "this compiler lays out the structs of fs.h in another way");

#define MAXINODES 65536 // a directory entry has 16 bits for the inode's number

static const char *image_path;
static FILE *image_file;
static bool removable; // the image is open, and a plain file: an error removes it

static uint8_t *image; // all blocks
static uint32_t nblocks = 2000, ninodes = 200;
static uint32_t inodestart, bmapstart, datastart;
static uint32_t next_block; // all blocks before it are in use
static uint32_t next_inode = ROOTINO;

static _Noreturn void __attribute__((format(printf, 1, 2)))
fail(const char *message, ...)
{
  va_list ap;
  va_start(ap, message);
  fputs("mkfs: ", stderr);
  vfprintf(stderr, message, ap);
  fputc('\n', stderr);
  va_end(ap);
  if (removable)
    remove(image_path);
  exit(1);
}

// Numbers lie on the disk with their lowest byte first, whatever the host does.
static void
put16(uint8_t *p, uint16_t value)
{
  p[0] = value & 0xff;
  p[1] = value >> 8;
}

static void
put32(uint8_t *p, uint32_t value)
{
  put16(p, value & 0xffff);
  put16(p + 2, value >> 16);
}

static uint8_t *
block(uint32_t b)
{
  return image + (size_t)b * BSIZE;
}

static uint32_t
new_block(const char *what)
{
  if (next_block == nblocks)
    fail("%s: no room: all %u blocks are in use; make the image larger with -b", what,
         nblocks);
  return next_block++;
}

// Make an inode with these contents, in blocks of its own. Returns its number.
static uint32_t
add_inode(const char *what, int16_t type, const uint8_t *contents, size_t size)
{
  if (size > MAXFILE * BSIZE)
    fail("%s: too large, expected at most %zu bytes, which is all a file can hold",
         what, (size_t)MAXFILE * BSIZE);
  if (next_inode == ninodes)
    fail("%s: no room: all %u inodes are in use; make more with -i", what, ninodes);
  uint32_t inum = next_inode++;
  uint8_t *di = block(inodestart + inum / IPB) + inum % IPB * sizeof(struct dinode);
  put16(di + offsetof(struct dinode, type), type);
  put16(di + offsetof(struct dinode, nlink), 1);
  put32(di + offsetof(struct dinode, size), size);

  uint8_t *slot = di + offsetof(struct dinode, addrs);
  for (size_t done = 0, bn = 0; done < size; done += BSIZE, bn++, slot += 4) {
    if (bn == NDIRECT) {
      uint32_t table = new_block(what);
      put32(slot, table);
      slot = block(table);
    }
    uint32_t b = new_block(what);
    put32(slot, b);
    memcpy(block(b), contents + done, size - done < BSIZE ? size - done : BSIZE);
  }
  return inum;
}

// All of a file's bytes, on the heap; at most one more than an image's file can hold.
static uint8_t *
read_file(const char *path, size_t *size)
{
  size_t room = MAXFILE * BSIZE + 1;
  uint8_t *bytes = malloc(room);
  if (!bytes)
    fail("%s: out of memory", path);
  FILE *in = fopen(path, "rb");
  if (!in)
    fail("%s: cannot open it: %s", path, strerror(errno));
  *size = fread(bytes, 1, room, in);
  if (ferror(in))
    fail("%s: cannot read it: %s", path, strerror(errno));
  fclose(in);
  return bytes;
}

// The name that a file gets in the image.
static const char *
name_of(const char *path)
{
  const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
  if (*name == '_')
    name++;
  size_t n = strlen(name);
  if (n == 0 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
    fail("%s: no name for a file", path);
  if (n > DIRSIZ)
    fail("%s: the name %s has %zu characters, expected at most %d", path, name, n,
         DIRSIZ);
  return name;
}

// Put a name into slot i of a directory. It must not be there yet.
static void
enter(uint8_t *dir, size_t i, const char *name, uint32_t inum)
{
  const size_t at = offsetof(struct dirent, name);
  for (size_t j = 0; j < i; j++)
    if (strncmp((char *)dir + j * sizeof(struct dirent) + at, name, DIRSIZ) == 0)
      fail("%s: two files with this name", name);
  uint8_t *entry = dir + i * sizeof(struct dirent);
  put16(entry, inum);
  memcpy(entry + at, name, strlen(name)); // the rest is zero
}

// Make the root directory and the files in it.
static void
fill(int nfiles, char **files)
{
  // The root's size is a whole number of blocks, as in xv6's images.
  size_t entries = 2 + (size_t)nfiles, per_block = BSIZE / sizeof(struct dirent);
  size_t size = (entries + per_block - 1) / per_block * BSIZE;
  uint8_t *dir = calloc(1, size);
  if (!dir)
    fail("%s: out of memory", image_path);
  enter(dir, 0, ".", ROOTINO);
  enter(dir, 1, "..", ROOTINO);
  for (int i = 0; i < nfiles; i++)
    enter(dir, 2 + i, name_of(files[i]), ROOTINO + 1 + i);
  add_inode("/", T_DIR, dir, size);
  free(dir);

  for (int i = 0; i < nfiles; i++) {
    uint8_t *bytes = read_file(files[i], &size);
    add_inode(files[i], T_FILE, bytes, size);
    free(bytes);
  }
}

// Decide where everything goes, and say so in the super block.
static void
lay_out(void)
{
  const uint32_t logstart = 2, nlog = 1 + LOGBLOCKS;
  inodestart = logstart + nlog;
  bmapstart = inodestart + (ninodes + IPB - 1) / IPB;
  datastart = next_block = bmapstart + (nblocks + BPB - 1) / BPB;
  if (datastart >= nblocks)
    fail("%u blocks: too few, the first %u are needed for the log, %u inodes and the "
         "bitmap",
         nblocks, datastart, ninodes);
  image = calloc(nblocks, BSIZE);
  if (!image)
    fail("%s: out of memory", image_path);
  const uint32_t fields[] = {FSMAGIC, nblocks,  nblocks - datastart, ninodes,
                             nlog,    logstart, inodestart,          bmapstart};
  for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
    put32(block(1) + 4 * i, fields[i]);
}

// Open the image for writing. A device is never removed, whatever goes wrong.
static void
open_image(const char *path)
{
  image_path = path;
  image_file = fopen(path, "wb");
  struct stat st;
  if (!image_file || fstat(fileno(image_file), &st) != 0)
    fail("%s: cannot write it: %s", path, strerror(errno));
  removable = S_ISREG(st.st_mode);
}

static void
write_image(void)
{
  for (uint32_t b = 0; b < next_block; b++)
    block(bmapstart)[b / 8] |= 1 << b % 8;
  bool written = fwrite(image, BSIZE, nblocks, image_file) == nblocks;
  if (fclose(image_file) != 0 || !written)
    fail("%s: cannot write it: %s", image_path, strerror(errno));
}

static _Noreturn void
usage(void)
{
  fputs("usage: mkfs [-b BLOCKS] [-i INODES] IMAGE FILE...\n", stderr);
  exit(2);
}

// An option's value: a whole number from 1 to max.
static uint32_t
number(const char *option, const char *text, uint32_t max)
{
  char *end;
  errno = 0;
  unsigned long value = strtoul(text, &end, 10);
  if (errno || *text < '0' || *text > '9' || *end || value == 0 || value > max)
    fail("%s %s: expected a whole number from 1 to %u", option, text, max);
  return value;
}

int
main(int argc, char **argv)
{
  int i = 1;
  for (; i + 1 < argc && argv[i][0] == '-'; i += 2) {
    if (strcmp(argv[i], "-b") == 0)
      nblocks = number("-b", argv[i + 1], MAXIMAGE);
    else if (strcmp(argv[i], "-i") == 0)
      ninodes = number("-i", argv[i + 1], MAXINODES);
    else
      usage();
  }
  if (i >= argc || argv[i][0] == '-')
    usage();
  open_image(argv[i++]);
  lay_out();
  fill(argc - i, argv + i);
  write_image();
  free(image);
  return 0;
}
