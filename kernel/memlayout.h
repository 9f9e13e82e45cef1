// Where things are: QEMU's virt machine, and the address spaces this kernel builds on
// it.
//
// Physical (QEMU hw/riscv/virt.c):
//   0x00100000  test device: power off
//   0x02000000  CLINT: timer, machine mode only
//   0x0c000000  PLIC: interrupt controller
//   0x10000000  UART0, 16550
//   0x10001000  VIRTIO0, block device
//   0x80000000  RAM, where the kernel is loaded
//
// A process's kernel page table:
//   0            mirror of user memory, up to USERTOP
//   0x0c000000   PLIC, UART0, VIRTIO0 at their physical addresses
//   KSTACK       this process's kernel stack, one page over an unmapped guard page
//   KERNBASE     kernel text (R-X), data and all other RAM (RW-)
//   TRAMPOLINE   the page that switches between user and kernel tables (R-X)
//
// A process's user page table:
//   0            text, data, guard page, stack, heap, up to USERTOP
//   TRAPFRAME    where the trampoline saves user registers
//   TRAMPOLINE   the same page as in the kernel table
#pragma once

#define TESTDEV   0x00100000L
#define CLINT     0x02000000L
#define PLIC      0x0c000000L
#define PLIC_SIZE 0x00400000L
#define UART0     0x10000000L
#define VIRTIO0   0x10001000L

#define UART0_IRQ   10
#define VIRTIO0_IRQ 1

// The unit tests put their fake RAM elsewhere.
#ifndef KERNBASE
#define KERNBASE 0x80000000L
#endif
#define PHYSTOP (KERNBASE + 128 * 1024 * 1024)

#define TRAMPOLINE (MAXVA - PGSIZE)
#define TRAPFRAME  (TRAMPOLINE - PGSIZE)

// User memory ends where the first device of the kernel table begins: the mirror of
// user memory lies at the same addresses.
#define USERTOP PLIC

// The same address in every process: only the running process's stack is ever mapped,
// so a pointer into a kernel stack means nothing to any other process or to an
// interrupt handler.
#define KSTACK 0x3ffff000L
