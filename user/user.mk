# Builds the user programs. Included by the Makefile at the project's root, which sets
#   O      the output directory
#   CROSS  the toolchain's prefix, such as riscv64-unknown-elf-
# For each program of UPROGS it makes $(O)/user/NAME.elf, with debug information, and
# $(O)/user/_NAME, stripped, which goes into the file system image as NAME.

UPROGS := bench cat crashwork echo forktest grep init kill leaktest ln ls mkdir pagestat pgdump \
  poweroff probe rm sh stressfs usertests wc zombie

PROBE      := $(basename $(notdir $(wildcard user/probe*.[cS])))
USER_LIB   := crt usys ulib line printf umalloc pages
USER_TESTS := $(basename $(notdir $(wildcard user/tests_*.c user/tests_*.S)))

# What a program is made of besides NAME.o and the library.
USER_OBJS_crashwork := crashplan
USER_OBJS_grep      := match
USER_OBJS_sh        := sh_parse
USER_OBJS_usertests := $(USER_TESTS)

USER_ARCH   ?= -march=rv64imac_zicsr_zifencei -mabi=lp64 -mcmodel=medany
USER_CFLAGS := $(USER_ARCH) -mno-relax -O1 -g -std=gnu11 -ffreestanding -fno-common -fno-builtin \
  -nostdlib -nostdinc -isystem $(shell $(CROSS)gcc -print-file-name=include 2>/dev/null) \
  -fno-pie -fno-omit-frame-pointer -fno-stack-protector -fno-asynchronous-unwind-tables \
  -Wall -Wextra -Werror -I.

# Older linkers neither warn of the probe's segment nor know the option.
USER_LDFLAGS := -static --build-id=none
PROBE_LDFLAGS := -N -Ttext 0 -e _start --build-id=none \
  $(if $(findstring no-warn-rwx-segments,$(shell $(CROSS)ld --help 2>/dev/null)),--no-warn-rwx-segments)

user_objects = $(patsubst %,$(O)/user/%.o,$(1) $(USER_OBJS_$(1)))

.PHONY: user
user: $(UPROGS:%=$(O)/user/_%)

$(O)/user/%.o: user/%.c
	@mkdir -p $(@D)
	$(CROSS)gcc $(USER_CFLAGS) -MMD -MP -c -o $@ $<

$(O)/user/%.o: user/%.S
	@mkdir -p $(@D)
	$(CROSS)gcc $(USER_CFLAGS) -MMD -MP -c -o $@ $<

$(O)/user/libuser.a: $(USER_LIB:%=$(O)/user/%.o)
	@rm -f $@
	$(CROSS)ar rcs $@ $^

define user_program
$(O)/user/$(1).elf: $(call user_objects,$(1)) $(O)/user/libuser.a user/user.ld
	$(CROSS)ld $(USER_LDFLAGS) -n -T user/user.ld -o $$@ $(call user_objects,$(1)) \
	  -u _start $(O)/user/libuser.a
endef
$(foreach program,$(filter-out probe,$(UPROGS)),$(eval $(call user_program,$(program))))

# fork copies it for every run of a sweep: the smaller, the faster.
$(PROBE:%=$(O)/user/%.o): USER_CFLAGS += -Os -fomit-frame-pointer

$(O)/user/probe.elf: $(PROBE:%=$(O)/user/%.o)
	$(CROSS)ld $(PROBE_LDFLAGS) -o $@ $^

$(O)/user/_%: $(O)/user/%.elf
	$(CROSS)objcopy --strip-all $< $@

-include $(wildcard $(O)/user/*.d)
