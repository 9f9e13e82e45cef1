// Which ELF files and segments exec() accepts.

#include "host.h"

#include "../../kernel/elf.h"

static const struct elfhdr good_header = {
    .magic = 0x464c457f,
    .class64 = 2,
    .data = 1,
    .type = 2,
    .machine = 243,
    .version = 1,
    .entry = 0x1000,
    .phoff = 64,
    .ehsize = 64,
    .phentsize = 56,
    .phnum = 2,
};

START_TEST(the_structures_have_the_sizes_of_the_abi)
{
  ck_assert_uint_eq(sizeof(struct elfhdr), 64);
  ck_assert_uint_eq(sizeof(struct proghdr), 56);
  ck_assert_uint_eq(offsetof(struct elfhdr, entry), 24);
  ck_assert_uint_eq(offsetof(struct elfhdr, phnum), 56);
  ck_assert_uint_eq(offsetof(struct proghdr, memsz), 40);
}
END_TEST

START_TEST(a_good_header_is_accepted)
{
  ck_assert(elf_header_ok(&good_header));
}
END_TEST

// One field of a good header changed: its place, its size, what it becomes.
#define FIELD(type, field) offsetof(type, field), sizeof(((type *)0)->field)

struct change {
  size_t offset, size;
  uint64_t value;
};

static const struct change bad_headers[] = {
    {FIELD(struct elfhdr, magic), 0x7f454c46}, // the other byte order
    {FIELD(struct elfhdr, magic), 0},
    {FIELD(struct elfhdr, magic), 0x464c457e},
    {FIELD(struct elfhdr, class64), 1},
    {FIELD(struct elfhdr, class64), 0},
    {FIELD(struct elfhdr, data), 2},
    {FIELD(struct elfhdr, data), 0},
    {FIELD(struct elfhdr, type), 1}, // relocatable
    {FIELD(struct elfhdr, type), 3}, // shared object
    {FIELD(struct elfhdr, machine), 62},
    {FIELD(struct elfhdr, machine), 0},
    {FIELD(struct elfhdr, entry), USERTOP},
    {FIELD(struct elfhdr, entry), KERNBASE},
    {FIELD(struct elfhdr, entry), ~0UL},
    {FIELD(struct elfhdr, phentsize), 32}, // as in 32-bit files
    {FIELD(struct elfhdr, phentsize), 0},
    {FIELD(struct elfhdr, phentsize), 57},
};

static const struct change good_headers[] = {
    {FIELD(struct elfhdr, entry), 0},     {FIELD(struct elfhdr, entry), USERTOP - 1},
    {FIELD(struct elfhdr, phnum), 0},     {FIELD(struct elfhdr, phnum), 65535},
    {FIELD(struct elfhdr, flags), 5},     // RVC, double float: not looked at
    {FIELD(struct elfhdr, shentsize), 0}, // section headers: likewise
};

static bool
header_ok_with(const struct change *change)
{
  struct elfhdr eh = good_header;
  memcpy((char *)&eh + change->offset, &change->value, change->size);
  return elf_header_ok(&eh);
}

START_TEST(a_header_with_one_bad_field_is_refused)
{
  ck_assert(!header_ok_with(&bad_headers[_i]));
}
END_TEST

START_TEST(a_header_with_another_good_value_is_accepted)
{
  ck_assert(header_ok_with(&good_headers[_i]));
}
END_TEST

START_TEST(without_segments_their_size_does_not_matter)
{
  struct elfhdr eh = good_header;
  eh.phnum = 0;
  eh.phentsize = 0;
  ck_assert(elf_header_ok(&eh));
}
END_TEST

static const struct proghdr good_segment = {
    .type = 1,
    .flags = 5,
    .off = 0x1000,
    .vaddr = 0x3000,
    .paddr = 0x3000,
    .filesz = 0x800,
    .memsz = 0x1000,
    .align = 0x1000,
};

static const struct change bad_segments[] = {
    {FIELD(struct proghdr, filesz), 0x1001}, // more in the file than in memory
    {FIELD(struct proghdr, filesz), ~0UL},
    {FIELD(struct proghdr, memsz), 0x7ff},
    {FIELD(struct proghdr, memsz), 0},
    {FIELD(struct proghdr, memsz), USERTOP - 0x3000 + 1},
    {FIELD(struct proghdr, memsz), ~0UL},
    {FIELD(struct proghdr, memsz), -0x3000UL}, // the end wraps around to 0
    {FIELD(struct proghdr, vaddr), 0x3001},
    {FIELD(struct proghdr, vaddr), 0x3800},
    {FIELD(struct proghdr, vaddr), 0x2000}, // below what is there
    {FIELD(struct proghdr, vaddr), 0},
    {FIELD(struct proghdr, vaddr), USERTOP},
    {FIELD(struct proghdr, vaddr), USERTOP + PGSIZE},
    {FIELD(struct proghdr, vaddr), KERNBASE},
    {FIELD(struct proghdr, vaddr), MAXVA - PGSIZE},
    {FIELD(struct proghdr, vaddr), -0x1000UL}, // the end wraps around to 0
    {FIELD(struct proghdr, off), ~0UL},
    {FIELD(struct proghdr, off), -0x800UL}, // likewise in the file
    {FIELD(struct proghdr, off), 1UL << 32},
    {FIELD(struct proghdr, off), (1UL << 32) - 0x800},
};

static const struct change good_segments[] = {
    {FIELD(struct proghdr, filesz), 0},
    {FIELD(struct proghdr, filesz), 0x1000},
    {FIELD(struct proghdr, memsz), 0x800},
    {FIELD(struct proghdr, memsz), 0x1001},
    {FIELD(struct proghdr, memsz), USERTOP - 0x3000},
    {FIELD(struct proghdr, vaddr), 0x100000},
    {FIELD(struct proghdr, vaddr), USERTOP - 0x1000},
    {FIELD(struct proghdr, off), 0},
    {FIELD(struct proghdr, off), 0x1234}, // need not be aligned
    {FIELD(struct proghdr, off), (1UL << 32) - 0x801},
    {FIELD(struct proghdr, paddr), ~0UL}, // not looked at
    {FIELD(struct proghdr, align), 3},    // likewise
};

static bool
segment_ok_with(const struct change *change)
{
  struct proghdr ph = good_segment;
  memcpy((char *)&ph + change->offset, &change->value, change->size);
  return elf_segment_ok(&ph, 0x3000);
}

START_TEST(a_segment_with_one_bad_field_is_refused)
{
  ck_assert(!segment_ok_with(&bad_segments[_i]));
}
END_TEST

START_TEST(a_segment_with_another_good_value_is_accepted)
{
  ck_assert(segment_ok_with(&good_segments[_i]));
}
END_TEST

START_TEST(a_segment_begins_at_or_above_the_end_of_the_one_before)
{
  ck_assert(elf_segment_ok(&good_segment, 0));
  ck_assert(elf_segment_ok(&good_segment, 0x2fff));
  ck_assert(elf_segment_ok(&good_segment, 0x3000));
  ck_assert(!elf_segment_ok(&good_segment, 0x3001));
  ck_assert(!elf_segment_ok(&good_segment, USERTOP));
}
END_TEST

int
main(void)
{
  Suite *suite = suite_create("elf");
  TCase *tc = machine_case(suite, "headers");
  tcase_add_test(tc, the_structures_have_the_sizes_of_the_abi);
  tcase_add_test(tc, a_good_header_is_accepted);
  tcase_add_loop_test(tc, a_header_with_one_bad_field_is_refused, 0,
                      NELEM(bad_headers));
  tcase_add_loop_test(tc, a_header_with_another_good_value_is_accepted, 0,
                      NELEM(good_headers));
  tcase_add_test(tc, without_segments_their_size_does_not_matter);

  tc = machine_case(suite, "segments");
  tcase_add_loop_test(tc, a_segment_with_one_bad_field_is_refused, 0,
                      NELEM(bad_segments));
  tcase_add_loop_test(tc, a_segment_with_another_good_value_is_accepted, 0,
                      NELEM(good_segments));
  tcase_add_test(tc, a_segment_begins_at_or_above_the_end_of_the_one_before);
  return run_suite(suite);
}
