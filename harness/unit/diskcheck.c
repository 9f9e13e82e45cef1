// Whether the file system on the disk is whole, found without the kernel's help.

#include "disk.h"

struct survey {
  uint32_t owner[DISK_BLOCKS]; // inode that has the block, or 0
  uint32_t names[1024];        // entries for the inode, "." not counted
};

static void
claim(struct survey *survey, uint32_t inum, uint32_t block)
{
  if (block == 0)
    return;
  if (block < disk_data_start() || block >= disk->size)
    ck_abort_msg("inode %u has block %u, which is no data block", inum, block);
  if (survey->owner[block])
    ck_abort_msg("inodes %u and %u both have block %u", survey->owner[block], inum,
                 block);
  if (!disk_bit(block))
    ck_abort_msg("block %u of inode %u is marked free", block, inum);
  survey->owner[block] = inum;
}

static void
claim_contents(struct survey *survey, uint32_t inum)
{
  const struct dinode *di = disk_inode(inum);
  for (int i = 0; i < 13; i++)
    claim(survey, inum, di->addrs[i]);
  if (di->addrs[12]) {
    const uint32_t *indirect = (const uint32_t *)disk->blocks[di->addrs[12]];
    for (int i = 0; i < 256; i++)
      claim(survey, inum, indirect[i]);
  }
}

// Block n of an inode's contents.
static const uint8_t *
contents(const struct dinode *di, uint32_t n)
{
  uint32_t block = n < 12          ? di->addrs[n]
                   : di->addrs[12] ? ((uint32_t *)disk->blocks[di->addrs[12]])[n - 12]
                                   : 0;
  if (block == 0)
    ck_abort_msg("a file of %u bytes has no block %u", di->size, n);
  return disk->blocks[block];
}

static void
count_names(struct survey *survey, uint32_t inum)
{
  const struct dinode *di = disk_inode(inum);
  for (uint32_t off = 0; off < di->size; off += 16) {
    const struct dirent *de =
        (const struct dirent *)(contents(di, off / BSIZE) + off % BSIZE);
    if (de->inum == 0)
      continue;
    if (de->inum >= disk_super()->ninodes || disk_inode(de->inum)->type == 0)
      ck_abort_msg("directory %u names %.14s, inode %u, which is free", inum, de->name,
                   de->inum);
    if (strcmp(de->name, ".") != 0)
      survey->names[de->inum]++;
  }
}

void
disk_check(void)
{
  static struct survey survey;
  ck_assert_uint_le(disk_super()->ninodes, NELEM(survey.names));
  memset(&survey, 0, sizeof(survey));
  for (uint32_t inum = 1; inum < disk_super()->ninodes; inum++) {
    const struct dinode *di = disk_inode(inum);
    if (di->type == 0)
      continue;
    claim_contents(&survey, inum);
    for (uint32_t n = 0; n < (di->size + BSIZE - 1) / BSIZE; n++)
      contents(di, n);
    if (di->type == T_DIR)
      count_names(&survey, inum);
  }
  for (uint32_t inum = 1; inum < disk_super()->ninodes; inum++) {
    const struct dinode *di = disk_inode(inum);
    if (di->type && di->nlink != (int)survey.names[inum])
      ck_abort_msg("inode %u has %d links and %u names", inum, di->nlink,
                   survey.names[inum]);
  }
  for (uint32_t b = disk_data_start(); b < disk->size; b++)
    if (disk_bit(b) && !survey.owner[b])
      ck_abort_msg("block %u is marked in use and is no file's", b);
}
