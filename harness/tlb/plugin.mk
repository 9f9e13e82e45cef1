# The TLB checker's QEMU plugin, a shared object for the host; it needs no header of QEMU's.
# Included by the Makefile at the project's root after tlb.mk, which names the model's parts.

TLB_PLUGIN         := $(TLB)/faultline-tlb.so
TLB_PLUGIN_PARTS   := $(TLB_MODEL) plugin plugin_decode plugin_events plugin_guest plugin_report
TLB_PLUGIN_OBJECTS := $(TLB_PLUGIN_PARTS:%=$(TLB)/plugin/%.o)

# Hidden: QEMU's own symbols are in the same process, and come first.
TLB_PLUGIN_CFLAGS := -std=gnu11 -O2 -g -fPIC -fvisibility=hidden -pthread -Wall -Wextra -Werror

$(TLB)/plugin/%.o: harness/tlb/%.c
	@mkdir -p $(@D)
	cc $(TLB_PLUGIN_CFLAGS) -MMD -MP -c -o $@ $<
$(TLB_PLUGIN): $(TLB_PLUGIN_OBJECTS)
	cc -shared -pthread -o $@ $^
-include $(wildcard $(TLB)/plugin/*.d)

.PHONY: tlb-plugin
tlb-plugin: $(TLB_PLUGIN)
