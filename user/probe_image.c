#include "probe_image.h"
#include "kernel/elf.h"

#define BIG_SIZE 0x40000 // bytes
#define FAR_SIZE 0x202000

extern const char image_start[], image_stop[]; // probe_program.S

int
image_status(int argc, char **argv)
{
  uint32_t sum = (uint32_t)argc;
  for (int i = 1; i < argc; i++)
    for (const char *s = argv[i]; *s; s++)
      sum = sum * 31 + (uint8_t)*s;
  return (int)(IMAGE_SUMMED | (sum & 0xffffff));
}

static struct proghdr
segment(uint64_t off, uint64_t vaddr, uint64_t filesz, uint64_t memsz)
{
  struct proghdr ph = {.type = ELF_LOAD,
                       .flags = ELF_FLAG_R | ELF_FLAG_W | ELF_FLAG_X,
                       .off = off,
                       .vaddr = vaddr,
                       .paddr = vaddr,
                       .filesz = filesz,
                       .memsz = memsz,
                       .align = PAGE};
  return ph;
}

// The file: the headers, and the program.
struct file {
  struct elfhdr eh;
  struct proghdr ph[2];
  char code[IMAGE_ROOM];
};

static void
fill(struct file *file, enum image image)
{
  struct elfhdr eh = {.magic = image == IMAGE_NO_MAGIC ? 0 : ELF_MAGIC,
                      .class64 = 2,
                      .data = 1,
                      .ident = {1}, // version
                      .type = ELF_EXEC,
                      .machine = ELF_RISCV,
                      .version = 1,
                      .phoff = offsetof(struct file, ph),
                      .ehsize = sizeof(struct elfhdr),
                      .phentsize = sizeof(struct proghdr),
                      .phnum = image == IMAGE_CUT ? 2 : 1};
  uint64_t size = image == IMAGE_BIG   ? BIG_SIZE
                  : image == IMAGE_FAR ? FAR_SIZE
                                       : IMAGE_ROOM;
  file->eh = eh;
  file->ph[0] = segment(offsetof(struct file, code), 0, IMAGE_ROOM, size);
  file->ph[1] = segment(offsetof(struct file, code), PAGE, 3 * PAGE, 3 * PAGE);
  for (size_t i = 0; i < IMAGE_ROOM; i++)
    file->code[i] = i < (size_t)(image_stop - image_start) ? image_start[i] : 0;
  *(uint64_t *)(file->code + IMAGE_MAGIC) = FAULTLINE_UPTIME;
  *(uint64_t *)(file->code + IMAGE_DISARM) = FL_DISARM;
  *(uint64_t *)(file->code + IMAGE_SIZE) = size;
}

const char *
write_image(const char *path, enum image image)
{
  struct file *file = (struct file *)scratch;
  if (image_stop - image_start > IMAGE_MAGIC)
    return "image-size";
  fill(file, image);
  int fd = open(path, O_CREATE | O_RDWR);
  if (fd < 0)
    return "open";
  if (write(fd, file, sizeof(*file)) != sizeof(*file))
    return "write";
  return close(fd) < 0 ? "close" : 0;
}
