#include "plugin_decode.h"

enum {
  CSR_SATP = 0x180,
  FUNCT5_LR = 2,
};

static uint32_t
bits(uint32_t word, int high, int low)
{
  return (word >> low) & ((1u << (high - low + 1)) - 1);
}

static int16_t
sign_extend_12(uint32_t value)
{
  return (int16_t)((value ^ 0x800) - 0x800);
}

static struct insn
access_of(enum insn_kind kind, uint32_t rs1, uint32_t size, int16_t offset)
{
  return (struct insn){
      .kind = kind, .rs1 = (uint8_t)rs1, .size = (uint8_t)size, .offset = offset};
}

// Loads and stores of quadrants 0 (base in a register of the eight that fit, fields
// c.lw and c.ld) and 2 (base sp). funct3: 1 fld, 2 lw, 3 ld, 5 fsd, 6 sw, 7 sd.
static struct insn
decode_compressed(uint32_t word)
{
  uint32_t quadrant = bits(word, 1, 0), funct3 = bits(word, 15, 13);
  enum insn_kind kind = funct3 >= 5 ? INSN_STORE : INSN_LOAD;
  bool wide = (funct3 & 3) != 2;

  if (quadrant == 2 && funct3 == 4)
    return (struct insn){.kind = (word & 0xffff) == 0x8082 ? INSN_RETURN : INSN_OTHER};
  if ((funct3 & 3) == 0 || quadrant == 1)
    return (struct insn){.kind = INSN_OTHER};
  if (quadrant == 0) {
    uint32_t offset = bits(word, 12, 10) << 3;
    offset |=
        wide ? bits(word, 6, 5) << 6 : bits(word, 6, 6) << 2 | bits(word, 5, 5) << 6;
    return access_of(kind, 8 + bits(word, 9, 7), wide ? 3 : 2, (int16_t)offset);
  }
  uint32_t offset;
  if (kind == INSN_STORE)
    offset = wide ? bits(word, 12, 10) << 3 | bits(word, 9, 7) << 6
                  : bits(word, 12, 9) << 2 | bits(word, 8, 7) << 6;
  else
    offset =
        wide ? bits(word, 12, 12) << 5 | bits(word, 6, 5) << 3 | bits(word, 4, 2) << 6
             : bits(word, 12, 12) << 5 | bits(word, 6, 4) << 2 | bits(word, 3, 2) << 6;
  return access_of(kind, REG_SP, wide ? 3 : 2, (int16_t)offset);
}

static struct insn
decode_system(uint32_t word)
{
  uint32_t funct3 = bits(word, 14, 12), funct7 = bits(word, 31, 25);
  struct insn insn = {.kind = INSN_OTHER,
                      .rs1 = (uint8_t)bits(word, 19, 15),
                      .rs2 = (uint8_t)bits(word, 24, 20)};

  if (funct3 == 0 && bits(word, 11, 7) == 0 && (funct7 == 0x09 || funct7 == 0x0b))
    insn.kind = INSN_SFENCE;
  // csrrs and csrrc, with a register or an immediate of zero, only read.
  else if ((funct3 & 3) != 0 && bits(word, 31, 20) == CSR_SATP &&
           ((funct3 & 3) == 1 || insn.rs1 != 0))
    insn.kind = INSN_SATP;
  return insn;
}

struct insn
decode(uint32_t word)
{
  if ((word & 3) != 3)
    return decode_compressed(word & 0xffff);

  uint32_t funct3 = bits(word, 14, 12), rs1 = bits(word, 19, 15);
  int16_t load_offset = sign_extend_12(bits(word, 31, 20));
  int16_t store_offset = sign_extend_12(bits(word, 31, 25) << 5 | bits(word, 11, 7));
  bool scalar_float = funct3 >= 1 && funct3 <= 4; // the others are vectors
  switch (bits(word, 6, 0)) {
  case 0x03:
    return access_of(INSN_LOAD, rs1, funct3 & 3, load_offset);
  case 0x07:
    if (scalar_float)
      return access_of(INSN_LOAD, rs1, funct3, load_offset);
    break;
  case 0x23:
    return access_of(INSN_STORE, rs1, funct3, store_offset);
  case 0x27:
    if (scalar_float)
      return access_of(INSN_STORE, rs1, funct3, store_offset);
    break;
  case 0x2f:
    return access_of(bits(word, 31, 27) == FUNCT5_LR ? INSN_LOAD : INSN_AMO, rs1,
                     funct3 & 3, 0);
  case 0x67:
    if (word == (0x67u | (uint32_t)REG_RA << 15))
      return (struct insn){.kind = INSN_RETURN};
    break;
  case 0x73:
    return decode_system(word);
  }
  return (struct insn){.kind = INSN_OTHER};
}
