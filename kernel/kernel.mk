# Builds the reference kernel. Included by the Makefile at the project's root, which sets
#   O      the output directory
#   CROSS  the toolchain's prefix, such as riscv64-unknown-elf-
#   KPT    share: kernel page tables share what is equal; copy: each process has its own
#   FAULT  the fault to plant, by its id in faults/catalogue, or nothing
#   FAULT_DEFINES  more -D options, for that fault
#   BASE   where the objects lie that the fault's hooks do not touch; $(O) without a fault
# It makes $(O)/kernel.elf and, linked with the shim, $(O)/kernel-shim.elf.

FAULT_NAME := $(subst -,_,$(FAULT))
BASE       ?= $(O)

KERNEL_ARCH   ?= -march=rv64imac_zicsr_zifencei -mabi=lp64 -mcmodel=medany
KERNEL_CFLAGS := $(KERNEL_ARCH) -mno-relax -O1 -g -std=gnu11 -ffreestanding -fno-common \
  -nostdlib -fno-pie -fno-omit-frame-pointer -fno-stack-protector \
  -fno-asynchronous-unwind-tables -Wall -Wextra -Werror
KERNEL_CFLAGS += $(if $(filter copy,$(KPT)),-DKPT_COPY)

KERNEL_OBJECTS := $(sort $(patsubst kernel/%,%.o,$(basename $(wildcard kernel/*.[cS]))))

# The objects to make anew: those in whose source the fault has a hook.
ifneq ($(FAULT),)
HOOKED := $(patsubst kernel/%,%.o,$(basename $(shell grep -l 'FAULT($(FAULT_NAME))' kernel/*.[cS])))
ifeq ($(HOOKED),)
$(error FAULT=$(FAULT): no source in kernel/ has a hook FAULT($(FAULT_NAME)))
endif
FAULT_CFLAGS := -DFAULT_$(FAULT_NAME)=1 $(FAULT_DEFINES)
INJECT       := $(BASE)/faults/inject.o

# What was compiled with other options is compiled again.
FAULT_FLAGS := $(O)/flags
.PHONY: always
$(FAULT_FLAGS): always
	@mkdir -p $(@D)
	@echo '$(FAULT_CFLAGS)' | cmp -s - $@ || echo '$(FAULT_CFLAGS)' > $@
$(HOOKED:%=$(O)/kernel/%): $(FAULT_FLAGS)
else
HOOKED := $(KERNEL_OBJECTS)
endif

LINKED := $(patsubst %,$(BASE)/kernel/%,$(filter-out $(HOOKED),$(KERNEL_OBJECTS))) \
  $(patsubst %,$(O)/kernel/%,$(HOOKED)) $(INJECT)

SHIM := $(BASE)/faults/shim.o
WRAP := --wrap=kalloc --wrap=kfree --wrap=sys_uptime

.PHONY: kernel
kernel: $(O)/kernel.elf $(O)/kernel-shim.elf

$(O)/kernel.elf: $(LINKED) kernel/kernel.ld
	$(CROSS)ld --build-id=none -z max-page-size=4096 -T kernel/kernel.ld -o $@ $(LINKED)

$(O)/kernel-shim.elf: $(LINKED) $(SHIM) kernel/kernel.ld
	$(CROSS)ld --build-id=none -z max-page-size=4096 $(WRAP) -T kernel/kernel.ld -o $@ \
	  $(LINKED) $(SHIM)

define compile
	@mkdir -p $(@D)
	$(CROSS)gcc $(KERNEL_CFLAGS) $(1) -MMD -MP -c -o $@ $<
endef

$(O)/kernel/%.o: kernel/%.c
	$(call compile,$(FAULT_CFLAGS))
$(O)/kernel/%.o: kernel/%.S
	$(call compile,$(FAULT_CFLAGS))
$(BASE)/faults/%.o: faults/%.c
	$(call compile)
ifneq ($(BASE),$(O))
$(BASE)/kernel/%.o: kernel/%.c
	$(call compile)
$(BASE)/kernel/%.o: kernel/%.S
	$(call compile)
endif

-include $(wildcard $(O)/kernel/*.d $(BASE)/kernel/*.d $(BASE)/faults/*.d)
