// ELF64, as far as exec needs it (System V ABI, chapters 4 and 5).
#pragma once

#include <stdint.h>

#define ELF_MAGIC  0x464C457FU // "\x7fELF", little endian
#define ELF_RISCV  243         // e_machine
#define ELF_EXEC   2           // e_type
#define ELF_LOAD   1           // p_type
#define ELF_FLAG_X 1           // p_flags
#define ELF_FLAG_W 2
#define ELF_FLAG_R 4

struct elfhdr {
  uint32_t magic;
  uint8_t class64; // 2 = 64-bit
  uint8_t data;    // 1 = little endian
  uint8_t ident[10];
  uint16_t type;
  uint16_t machine;
  uint32_t version;
  uint64_t entry;
  uint64_t phoff;
  uint64_t shoff;
  uint32_t flags;
  uint16_t ehsize;
  uint16_t phentsize;
  uint16_t phnum;
  uint16_t shentsize;
  uint16_t shnum;
  uint16_t shstrndx;
};

struct proghdr {
  uint32_t type;
  uint32_t flags;
  uint64_t off;
  uint64_t vaddr;
  uint64_t paddr;
  uint64_t filesz;
  uint64_t memsz;
  uint64_t align;
};
