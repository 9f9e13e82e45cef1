# The unit tests of the kernel's own logic, on the host, under AddressSanitizer and
# UndefinedBehaviorSanitizer (Debian packages: check, pkg-config). Included by the
# Makefile at the project's root. Each test_*.c here is a program of its own, linked with
# what it needs of the kernel; those in UNIT_BOTH are also built with KPT_COPY, against
# the kernel that copies its page tables.

UNIT := build/unit

UNIT_TESTS := $(patsubst harness/unit/%.c,%,$(wildcard harness/unit/test_*.c))
UNIT_BOTH  := $(filter test_exec test_kvm test_mirror test_proc,$(UNIT_TESTS))

# The sources that run on the host as they are.
UNIT_KERNEL := bio bmap dir exec file fs kalloc log mirror pipe printf proc sleeplock \
  spinlock string usercopy uvm vm vmprint
UNIT_HOST   := $(patsubst harness/unit/%.c,%,$(filter-out harness/unit/test_%.c,$(wildcard harness/unit/*.c)))

# A test program lies at a fixed address: neither where the fake RAM goes nor where
# user addresses are.
UNIT_CFLAGS := -std=gnu11 -O1 -g -fno-pie -fno-builtin -fno-omit-frame-pointer \
  -fsanitize=address,undefined -fno-sanitize-recover=all -Wall -Wextra -Werror \
  -DKERNBASE=0x40000000L $(shell pkg-config --cflags check 2>/dev/null)

# The kernel in the fake RAM has 32 KiB of text, and data up to where 1235 pages are left.
UNIT_LDFLAGS := -no-pie -Wl,-Ttext-segment=0x50000000 -fsanitize=address,undefined \
  -Wl,--wrap=kalloc,--wrap=kfree \
  -Wl,--defsym,trampoline=0x40007000,--defsym,etext=0x40008000,--defsym,end=0x47b2c123

# $(call unit_objects,variant,flags): the kernel's and the host's objects as an archive,
# so that each program takes only what it needs.
define unit_objects
$(UNIT)/$(1)/kernel/%.o: kernel/%.c
	@mkdir -p $$(@D)
	cc $(UNIT_CFLAGS) $(2) -include harness/unit/rename.h -MMD -MP -c -o $$@ $$<
$(UNIT)/$(1)/%.o: harness/unit/%.c
	@mkdir -p $$(@D)
	cc $(UNIT_CFLAGS) $(2) -MMD -MP -c -o $$@ $$<
$(UNIT)/$(1)/kernel.a: $(UNIT_KERNEL:%=$(UNIT)/$(1)/kernel/%.o) $(UNIT_HOST:%=$(UNIT)/$(1)/%.o)
	@rm -f $$@
	ar rcs $$@ $$^
$(UNIT)/$(1)/test_%: $(UNIT)/$(1)/test_%.o $(UNIT)/$(1)/kernel.a
	cc $(UNIT_LDFLAGS) -o $$@ $$^ $(shell pkg-config --libs check 2>/dev/null)
-include $$(wildcard $(UNIT)/$(1)/*.d $(UNIT)/$(1)/kernel/*.d)
endef
$(eval $(call unit_objects,share,))
$(eval $(call unit_objects,copy,-DKPT_COPY))

UNIT_PROGRAMS := $(UNIT_TESTS:%=$(UNIT)/share/%) $(UNIT_BOTH:%=$(UNIT)/copy/%)

.PHONY: unit-test $(UNIT_PROGRAMS:%=%.run)
unit-test: $(UNIT_PROGRAMS:%=%.run)
$(UNIT_PROGRAMS:%=%.run): %.run: %
	@$< > $<.out 2>&1; status=$$?; cat $<.out; exit $$status
.PRECIOUS: $(UNIT)/share/%.o $(UNIT)/copy/%.o
