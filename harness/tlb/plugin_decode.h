// Which RISC-V instructions matter to the checker, told from their encoding.

#ifndef FAULTLINE_PLUGIN_DECODE_H
#define FAULTLINE_PLUGIN_DECODE_H

#include <stdbool.h>
#include <stdint.h>

// Integer registers by number.
enum { REG_RA = 1, REG_SP = 2, REG_FP = 8, REG_A0 = 10 };

enum insn_kind {
  INSN_OTHER,
  INSN_LOAD,
  INSN_STORE,
  INSN_AMO,    // a load and a store of one word, or an sc
  INSN_SATP,   // a csrrw, csrrs or csrrc of satp that writes it
  INSN_SFENCE, // sfence.vma, or Svinval's sinval.vma
  INSN_RETURN, // jr ra
};

struct insn {
  enum insn_kind kind;
  uint8_t rs1;
  uint8_t rs2;
  uint8_t size;   // of the access: log2 of bytes
  int16_t offset; // of the access, from rs1
};

// Decode the instruction whose first bytes, up to four, are the low bytes of `word`.
// Vector loads and stores are INSN_OTHER.
struct insn decode(uint32_t word);

#endif
