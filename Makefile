# Faultline's front door. `make help` says what there is.

SHELL  := /bin/bash
PYTHON := /usr/bin/python3

# Where a build goes, and its kind; see kernel/kernel.mk.
KPT  ?= share
O    ?= build/$(KPT)
CPUS ?= 3

# The toolchain's prefix: the first of these that is installed.
CROSS ?= $(firstword $(foreach p,riscv64-unknown-elf- riscv64-linux-gnu-,$(if $(shell command -v $(p)gcc),$(p))) riscv64-unknown-elf-)

.DEFAULT_GOAL := help
.PHONY: help
help:
	@echo 'make matrix      build the kernel and every faulty variant, boot and check each'
	@echo '                 (ACCEPT=1: the verdicts become the expected ones, reports/expected.json)'
	@echo 'make test        run all tests'
	@echo 'make qemu        boot the kernel, with its shell on this terminal (CPUS=3 KPT=share)'
	@echo 'make qemu-gdb    the same, waiting for gdb on port 26000'
	@echo 'make export-tree OUT=DIR [FAULT=ID] [STYLE=2022] [KPT=share]'
	@echo '                 write the kernel, with that fault in it, as a tree like any other'
	@echo 'make bench       measure the kernel, the matrix, the sweep, tlb and a grade (TREE=DIR)'
	@echo 'make lint        check formats, types and common mistakes'
	@echo 'make doctor      say what is installed, what is missing, and what to type'
	@echo 'make clean       remove all that was built'

include kernel/kernel.mk
include user/user.mk
include harness/unit/unit.mk
include harness/tlb/tlb.mk
include harness/tlb/plugin.mk

HOST_CFLAGS := -O1 -g -std=c11 -Wall -Wextra -Werror

$(O)/mkfs: user/mkfs.c kernel/fs.h kernel/stat.h kernel/param.h
	@mkdir -p $(@D)
	cc $(HOST_CFLAGS) -o $@ $<

.PHONY: fs
fs: $(O)/fs.img
$(O)/fs.img: $(O)/mkfs $(UPROGS:%=$(O)/user/_%)
	$(O)/mkfs $@ $(UPROGS:%=$(O)/user/_%)

QEMU := $(or $(FAULTLINE_QEMU),qemu-system-riscv64)
# The kernel that `make qemu` boots; in the debugger it is the one that the harness checks,
# with the shim, so that addresses in findings hold there too.
QEMU_KERNEL = $(O)/kernel.elf
qemu-gdb: QEMU_KERNEL = $(O)/kernel-shim.elf

QEMU_FLAGS = -machine virt -bios none -kernel $(QEMU_KERNEL) -m 128M -smp $(CPUS) -nographic \
  -global virtio-mmio.force-legacy=false \
  -drive file=$(O)/fs.img,if=none,format=raw,id=x0 \
  -device virtio-blk-device,drive=x0,bus=virtio-mmio-bus.0

.PHONY: qemu qemu-gdb
qemu: kernel fs
	@echo 'To leave: poweroff, or ctrl-A x.'
	$(QEMU) $(QEMU_FLAGS)
qemu-gdb: kernel fs
	@echo 'In another terminal: gdb-multiarch $(QEMU_KERNEL) -ex "target remote :26000"'
	$(QEMU) $(QEMU_FLAGS) -S -gdb tcp:127.0.0.1:26000

# Sources by kind, for the checks of `make lint`.
C_SOURCES  = $(wildcard kernel/*.[ch] user/*.[ch] faults/*.[ch] harness/unit/*.[ch] harness/tlb/*.[ch] harness/cross/*.h)
SH_SOURCES = ci/setup .ci/run harness/cross/cross.sh $(wildcard ci/*.sh)

# Symbols that the linker script defines are compared and subtracted on purpose.
CPPCHECK := cppcheck -q --std=c11 --enable=warning,performance,portability --inline-suppr \
  --suppress=comparePointers --error-exitcode=1 --platform=unix64 -D__riscv

.PHONY: lint
lint:
	@if clang-format --version | grep -q 'version 14\.'; then \
	  clang-format --dry-run -Werror $(C_SOURCES); \
	else \
	  echo 'lint: formats not checked: they are those of clang-format 14, which is not here'; \
	fi
	@$(CPPCHECK) $(wildcard kernel/*.c user/*.c faults/*.c harness/tlb/*.c)
	@shellcheck $(SH_SOURCES)
	@$(PYTHON) -m mypy --no-error-summary harness/faultline harness/tests harness/cross/inside.py

.PHONY: test
test:
	@ci/setup test
	@$(MAKE) -s lint
	@$(MAKE) -s kernel fs KPT=share
	@$(MAKE) -s kernel fs KPT=copy
	@$(MAKE) -s unit-test tlb-test tlb-plugin
	@$(PYTHON) -m pytest

.PHONY: bench
bench:
	@ci/setup bench
	@$(MAKE) -s kernel fs KPT=share
	@$(MAKE) -s kernel fs KPT=copy
	@./faultline bench $(TREE)

# STYLE: one of those in harness/export/styles.
.PHONY: export-tree
export-tree:
	@PYTHONPATH=harness $(PYTHON) -m faultline.export --kpt '$(KPT)' \
	  $(if $(FAULT),--fault '$(FAULT)') $(if $(STYLE),--style '$(STYLE)') $(if $(OUT),'$(OUT)')

.PHONY: matrix doctor clean
matrix:
	@ci/setup matrix
	@./faultline matrix $(if $(ACCEPT),--accept)
doctor:
	@./faultline doctor
clean:
	rm -rf build reports/out
