// The checker's eyes in QEMU: a TCG plugin that turns what a guest does into the
// model's events. It needs nothing of the guest; docs/tlb.md has what it watches and
// how.
//
// Arguments: ram=FILE (guest memory), out=FILE (the report), and optionally limit=N
// (violations), kfree=ADDRESS, kalloc=ADDRESS:SIZE (of the allocator's functions),
// svvptc=1.
//
// What is instrumented, as a block is translated, depends on the mode it will run in:
// QEMU keeps blocks of different modes apart.
//
// - Writes of satp and sfence.vma are called for always, before they execute. The value
//   of satp is read at the start of the next block, when it is there.
// - Stores are called for always in M- and S-mode, after they execute: they may hit a
//   page table. Not those to the stack (base register sp).
// - The start of a block, and loads and stores in S- and U-mode, are called for, before
//   they execute, while the hart may use something that is out of date. What the hart
//   tests in line is a word in a scoreboard.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin_decode.h"
#include "plugin_events.h"
#include "plugin_guest.h"
#include "qemu_plugin.h"

enum { LIMIT = 200 }; // violations, if nothing else is asked for

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

static struct options options = {.limit = LIMIT};

static void
instrument_allocator(struct qemu_plugin_insn *insn, uint64_t pc, struct insn decoded)
{
  void *data = pack((struct packed){.half_pc = pc >> 1});
  if (pc == options.kfree)
    qemu_plugin_register_vcpu_insn_exec_cb(insn, on_kfree, QEMU_PLUGIN_CB_R_REGS, data);
  if (decoded.kind == INSN_RETURN && pc >= options.kalloc && pc < options.kalloc_end)
    qemu_plugin_register_vcpu_insn_exec_cb(insn, on_kalloc_return,
                                           QEMU_PLUGIN_CB_R_REGS, data);
}

static void
instrument_stores(struct qemu_plugin_insn *insn, uint64_t pc, struct insn decoded,
                  unsigned mode)
{
  bool stack = decoded.kind == INSN_STORE && decoded.rs1 == REG_SP;
  if (mode != MODE_USER && decoded.kind != INSN_LOAD && !stack)
    qemu_plugin_register_vcpu_mem_cb(
        insn, mode == MODE_MACHINE ? on_machine_store : on_store, QEMU_PLUGIN_CB_R_REGS,
        QEMU_PLUGIN_MEM_W, pack((struct packed){.half_pc = pc >> 1}));
}

static void
instrument(struct qemu_plugin_insn *insn, unsigned mode)
{
  uint32_t word = 0;
  qemu_plugin_insn_data(insn, &word, sizeof(word));
  struct insn decoded = decode(word);
  uint64_t pc = qemu_plugin_insn_vaddr(insn);
  struct packed packed = {.half_pc = pc >> 1,
                          .rs1 = decoded.rs1,
                          .rest = (uint64_t)(decoded.offset + 2048),
                          .size = decoded.size,
                          .store = decoded.kind != INSN_LOAD,
                          .mode = mode};
  switch (decoded.kind) {
  case INSN_SATP:
    if (mode != MODE_USER)
      qemu_plugin_register_vcpu_insn_exec_cb(insn, on_satp, QEMU_PLUGIN_CB_R_REGS,
                                             pack(packed));
    break;
  case INSN_SFENCE:
    packed.rest = decoded.rs2;
    if (mode != MODE_USER)
      qemu_plugin_register_vcpu_insn_exec_cb(insn, on_fence, QEMU_PLUGIN_CB_R_REGS,
                                             pack(packed));
    break;
  case INSN_LOAD:
  case INSN_STORE:
  case INSN_AMO:
    if (mode != MODE_MACHINE)
      qemu_plugin_register_vcpu_insn_exec_cond_cb(
          insn, on_access, QEMU_PLUGIN_CB_R_REGS, QEMU_PLUGIN_COND_NE,
          events_attention(), 0, pack(packed));
    break;
  case INSN_RETURN:
  case INSN_OTHER:
    break;
  }
  instrument_stores(insn, pc, decoded, mode);
  if (mode == MODE_SUPERVISOR)
    instrument_allocator(insn, pc, decoded);
}

// A block has been translated by the hart that is about to run it.
static void
on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
  (void)id;
  size_t count = qemu_plugin_tb_n_insns(tb);
  unsigned mode = guest_mode();
  uint64_t first, last;

  if (count == 0)
    return;
  uint32_t word = 0;
  qemu_plugin_insn_data(qemu_plugin_tb_get_insn(tb, 0), &word, sizeof(word));
  first = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, 0));
  last = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, count - 1));
  qemu_plugin_register_vcpu_tb_exec_cond_cb(
      tb, on_block, QEMU_PLUGIN_CB_R_REGS, QEMU_PLUGIN_COND_NE, events_attention(), 0,
      pack((struct packed){.half_pc = first >> 1,
                           .rest = last - first + 2,
                           .mode = mode,
                           .fence = decode(word).kind == INSN_SFENCE}));
  for (size_t i = 0; i < count; i++)
    instrument(qemu_plugin_tb_get_insn(tb, i), mode);
}

static void
on_hart(qemu_plugin_id_t id, unsigned hart)
{
  (void)id;
  (void)hart;
  events_begin();
}

static bool
parse(char *argument)
{
  char *value = strchr(argument, '='), *end;
  if (value == NULL)
    return false;
  *value++ = '\0';
  uint64_t number = strtoull(value, &end, 0);
  if (strcmp(argument, "ram") == 0)
    options.ram = value;
  else if (strcmp(argument, "out") == 0)
    options.out = value;
  else if (strcmp(argument, "limit") == 0)
    options.limit = (unsigned)number;
  else if (strcmp(argument, "svvptc") == 0)
    options.svvptc = number != 0;
  else if (strcmp(argument, "kfree") == 0)
    options.kfree = number;
  else if (strcmp(argument, "kalloc") == 0 && *end == ':') {
    options.kalloc = number;
    options.kalloc_end = number + strtoull(end + 1, NULL, 0);
  } else
    return false;
  return true;
}

int
qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
  if (!info->system_emulation || strcmp(info->target_name, "riscv64") != 0) {
    fprintf(stderr, "faultline-tlb: this is not qemu-system-riscv64\n");
    return -1;
  }
  for (int i = 0; i < argc; i++)
    if (!parse(argv[i])) {
      fprintf(stderr, "faultline-tlb: unknown argument %s\n", argv[i]);
      return -1;
    }
  if (options.ram == NULL || options.out == NULL) {
    fprintf(stderr, "faultline-tlb: needs ram=FILE and out=FILE\n");
    return -1;
  }
  events_prepare(&options, (unsigned)info->system.smp_vcpus);
  qemu_plugin_register_vcpu_init_cb(id, on_hart);
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
  return 0;
}
