# The TLB checker's model: its objects, for the plugin, and its tests, on the host
# (Debian packages: check, pkg-config). Included by the Makefile at the project's root.
# The cases run under AddressSanitizer and UndefinedBehaviorSanitizer; so does the
# random test, but only a part of it: its million events run without them.

TLB := build/tlb

# The model. Position independent: the plugin is a shared object.
TLB_MODEL         := fence freed judge model reach records report tables turnon
TLB_MODEL_OBJECTS := $(TLB_MODEL:%=$(TLB)/%.o)
TLB_CFLAGS        := -std=gnu11 -O2 -g -fPIC -Wall -Wextra -Werror

TLB_CASES  := $(patsubst harness/tlb/%.c,%,$(wildcard harness/tlb/test_good_*.c harness/tlb/test_bad_*.c))
TLB_RANDOM := test_random programs reference
# Programs of 500 events of each of 8 flavours: without sanitizers, and with.
TLB_PROGRAMS           := 250
TLB_PROGRAMS_SANITIZED := 10

TLB_CHECK      := $(shell pkg-config --cflags check 2>/dev/null)
TLB_CHECK_LIBS := $(shell pkg-config --libs check 2>/dev/null)
$(TLB)/test_random.o: TLB_DEFINES := -DPROGRAMS=$(TLB_PROGRAMS)
$(TLB)/sanitized/test_random.o: TLB_DEFINES := -DPROGRAMS=$(TLB_PROGRAMS_SANITIZED)
TLB_SANITIZE   := -fsanitize=address,undefined -fno-sanitize-recover=all

$(TLB)/%.o: harness/tlb/%.c
	@mkdir -p $(@D)
	cc $(TLB_CFLAGS) $(TLB_CHECK) $(TLB_DEFINES) -MMD -MP -c -o $@ $<
$(TLB)/test_random: $(TLB_RANDOM:%=$(TLB)/%.o) $(TLB_MODEL_OBJECTS)
	cc -o $@ $^ $(TLB_CHECK_LIBS)

$(TLB)/sanitized/%.o: harness/tlb/%.c
	@mkdir -p $(@D)
	cc -std=gnu11 -O1 -g -fno-omit-frame-pointer $(TLB_SANITIZE) -Wall -Wextra -Werror \
	  $(TLB_CHECK) $(TLB_DEFINES) -MMD -MP -c -o $@ $<
$(TLB_CASES:%=$(TLB)/sanitized/%): $(TLB)/sanitized/%: $(TLB)/sanitized/%.o \
    $(TLB)/sanitized/test_machine.o $(TLB_MODEL:%=$(TLB)/sanitized/%.o)
	cc $(TLB_SANITIZE) -o $@ $^ $(TLB_CHECK_LIBS)
$(TLB)/sanitized/test_random: $(TLB_RANDOM:%=$(TLB)/sanitized/%.o) $(TLB_MODEL:%=$(TLB)/sanitized/%.o)
	cc $(TLB_SANITIZE) -o $@ $^ $(TLB_CHECK_LIBS)
-include $(wildcard $(TLB)/*.d $(TLB)/sanitized/*.d)

TLB_TESTS := $(TLB_CASES:%=$(TLB)/sanitized/%) $(TLB)/sanitized/test_random $(TLB)/test_random

.PHONY: tlb-test $(TLB_TESTS:%=%.run)
tlb-test: $(TLB_TESTS:%=%.run)
$(TLB_TESTS:%=%.run): %.run: %
	@$< > $<.out 2>&1; status=$$?; cat $<.out; exit $$status
.PRECIOUS: $(TLB)/%.o $(TLB)/sanitized/%.o
