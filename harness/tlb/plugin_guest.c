#include "plugin_guest.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin_decode.h"
#include "qemu_plugin.h"

enum { SATP_SV39 = 8, PTE_V = 1, PTE_R = 2, PTE_X = 8 };

// QEMU's handles; those of one hart do for all.
static struct {
  struct qemu_plugin_register *x[32], *pc, *priv, *satp, *sstatus;
} registers;
static __thread GByteArray *value;
static const uint8_t *ram;
static uint64_t ram_size;

bool
guest_map(const char *path)
{
  struct stat about;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return false;
  void *mapped = MAP_FAILED;
  if (fstat(fd, &about) == 0) {
    ram_size = (uint64_t)about.st_size;
    mapped = mmap(NULL, ram_size, PROT_READ, MAP_SHARED, fd, 0);
  }
  close(fd);
  if (mapped == MAP_FAILED)
    return false;
  ram = mapped;
  return true;
}

uint64_t
guest_ram_size(void)
{
  return ram_size;
}

bool
guest_in_ram(uint64_t pa, uint64_t size)
{
  return pa >= RAM_BASE && pa - RAM_BASE < ram_size &&
         ram_size - (pa - RAM_BASE) >= size;
}

uint64_t
guest_word(uint64_t pa)
{
  return __atomic_load_n((const uint64_t *)(const void *)(ram + (pa - RAM_BASE)),
                         __ATOMIC_RELAXED);
}

// The number of an integer register by its ABI name, or -1.
static int
x_number(const char *name)
{
  static const char *const names[32] = {
      "zero", "ra", "sp", "gp", "tp",  "t0",  "t1", "t2", "fp", "s1", "a0",
      "a1",   "a2", "a3", "a4", "a5",  "a6",  "a7", "s2", "s3", "s4", "s5",
      "s6",   "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6"};
  for (int i = 0; i < 32; i++)
    if (strcmp(name, names[i]) == 0)
      return i;
  return strcmp(name, "s0") == 0 ? REG_FP : -1;
}

const char *
guest_find_registers(void)
{
  GArray *list = qemu_plugin_get_registers();
  const qemu_plugin_reg_descriptor *each = (const void *)list->data;
  for (unsigned i = 0; i < list->len; i++) {
    int number = x_number(each[i].name);
    if (number >= 0)
      registers.x[number] = each[i].handle;
    else if (strcmp(each[i].name, "pc") == 0)
      registers.pc = each[i].handle;
    else if (strcmp(each[i].name, "priv") == 0)
      registers.priv = each[i].handle;
    else if (strcmp(each[i].name, "satp") == 0)
      registers.satp = each[i].handle;
    else if (strcmp(each[i].name, "sstatus") == 0)
      registers.sstatus = each[i].handle;
  }
  g_array_free(list, true);
  for (int i = 1; i < 32; i++)
    if (registers.x[i] == NULL)
      return "an integer register";
  return registers.pc == NULL        ? "pc"
         : registers.priv == NULL    ? "priv"
         : registers.satp == NULL    ? "satp"
         : registers.sstatus == NULL ? "sstatus"
                                     : NULL;
}

static uint64_t
read_register(struct qemu_plugin_register *handle)
{
  uint64_t word = 0;
  if (value == NULL)
    value = g_byte_array_new();
  g_byte_array_set_size(value, 0);
  int size = qemu_plugin_read_register(handle, value);
  if (size > 0)
    memcpy(&word, value->data, size < 8 ? (size_t)size : 8);
  return word;
}

uint64_t
guest_x(unsigned number)
{
  return number == 0 ? 0 : read_register(registers.x[number]);
}

uint64_t
guest_pc(void)
{
  return read_register(registers.pc);
}

uint64_t
guest_satp(void)
{
  return read_register(registers.satp);
}

uint64_t
guest_sstatus(void)
{
  return read_register(registers.sstatus);
}

unsigned
guest_mode(void)
{
  return (unsigned)read_register(registers.priv);
}

// Read the doubleword at virtual address va; false if nothing readable is mapped there.
static bool
read_virtual(uint64_t satp, uint64_t va, uint64_t *word)
{
  uint64_t pa = va;
  if (satp >> 60 == SATP_SV39) {
    uint64_t table = (satp & ((1ull << 44) - 1)) << 12, pte;
    int shift = 30;
    for (;; shift -= 9) {
      uint64_t at = table + ((va >> shift & 511) << 3);
      if (shift < 12 || !guest_in_ram(at, 8) || ((pte = guest_word(at)) & PTE_V) == 0)
        return false;
      table = (pte >> 10 & ((1ull << 44) - 1)) << 12;
      if (pte & (PTE_R | PTE_X))
        break;
    }
    uint64_t inside = (1ull << shift) - 1;
    pa = (table & ~inside) | (va & inside);
  }
  if (!guest_in_ram(pa, 8) || pa % 8 != 0)
    return false;
  *word = guest_word(pa);
  return true;
}

// Add the return addresses of the frames from the hart's fp on to a path that has n.
static void
follow_frames(struct place *place, int n)
{
  uint64_t satp = guest_mode() == MODE_MACHINE ? 0 : guest_satp();
  uint64_t fp = guest_x(REG_FP);

  for (bool first = n == 0; n < PATH_DEPTH && fp % 8 == 0 && fp >= 16;
       n++, first = false) {
    uint64_t at_8, at_16;
    if (!read_virtual(satp, fp - 8, &at_8) || !read_virtual(satp, fp - 16, &at_16))
      break;
    // A function that calls nobody stores the caller's frame pointer only, at fp - 8.
    bool leaf = first && at_8 > fp && (at_8 - 1) / PAGE == (fp - 1) / PAGE;
    place->path[n] = leaf ? guest_x(REG_RA) : at_8;
    uint64_t above = leaf ? at_8 : at_16;
    if (above <= fp || (above - 1) / PAGE != (fp - 1) / PAGE)
      break;
    fp = above;
  }
}

struct place
guest_place(uint64_t pc)
{
  struct place place = {.pc = pc};
  follow_frames(&place, 0);
  return place;
}

struct place
guest_place_outside(uint64_t pc)
{
  struct place place = {.pc = pc, .path = {guest_x(REG_RA)}};
  follow_frames(&place, 1);
  return place;
}
