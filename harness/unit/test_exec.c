// exec(), whole: a program from a file system in memory into user memory and mirror, or
// nothing changed.

#include "disk.h"

#include "../../kernel/elf.h"

// The program on the disk: text of a page and a bit, data with bss above it.
static struct {
  struct elfhdr eh;
  struct proghdr ph[3];
  char pad[BSIZE];
  char text[PGSIZE + 10];
  char data[100];
} file;

#define AT(member) offsetof(typeof(file), member)

#define DATA_VA (2 * PGSIZE)
#define BSS_END (DATA_VA + PGSIZE + 500)
#define GUARD   (DATA_VA + 2 * PGSIZE)
#define TOP     (GUARD + 2 * PGSIZE)

static char *no_arguments[] = {0};
static char *some_arguments[] = {"prog", "a", "second argument", 0};

static void
make_program(void)
{
  file.eh = (struct elfhdr){.magic = 0x464c457f,
                            .class64 = 2,
                            .data = 1,
                            .type = 2,
                            .machine = 243,
                            .entry = 0x24,
                            .phoff = AT(ph),
                            .phentsize = 56,
                            .phnum = 3};
  file.ph[0] = (struct proghdr){.type = 1,
                                .flags = 5,
                                .off = AT(text),
                                .filesz = sizeof(file.text),
                                .memsz = sizeof(file.text)};
  file.ph[1] = (struct proghdr){.type = 0x70000003, .vaddr = 1}; // RISC-V attributes
  file.ph[2] = (struct proghdr){.type = 1,
                                .flags = 6,
                                .off = AT(data),
                                .vaddr = DATA_VA,
                                .filesz = sizeof(file.data),
                                .memsz = BSS_END - DATA_VA};
  memset(file.text, 't', sizeof(file.text));
  memset(file.data, 'd', sizeof(file.data));
}

// Put the program on the disk as /dir/prog, n bytes of it.
static void
store(uint32_t n)
{
  ck_assert_int_eq(make_file("/dir/prog", &file, n), n);
}

// The first process, with one page of memory.
static void
setup(void)
{
  disk_format(200, 32);
  boot();
  kvminit();
  procinit();
  userinit();
  running = &proc[0];
  running->cwd = iget(ROOTDEV, ROOTINO);
  make_dir("/dir");
  make_program();
}

static void
ck_assert_user_bytes(uint64_t va, char expected, uint64_t n)
{
  for (uint64_t i = 0; i < n; i++) {
    char c;
    if (copyin(&c, va + i, 1) || c != expected)
      ck_abort_msg("user address 0x%lx holds 0x%02x, not 0x%02x", va + i, c, expected);
  }
}

START_TEST(segments_are_loaded_where_they_belong)
{
  store(sizeof(file));
  ck_assert_int_eq(exec("/dir/prog", no_arguments), 0);
  ck_assert_uint_eq(running->sz, TOP);
  ck_assert_user_bytes(0, 't', sizeof(file.text));
  ck_assert_user_bytes(sizeof(file.text), 0, DATA_VA - sizeof(file.text));
  ck_assert_user_bytes(DATA_VA, 'd', sizeof(file.data));
  ck_assert_user_bytes(DATA_VA + sizeof(file.data), 0,
                       GUARD - DATA_VA - sizeof(file.data));
  ck_assert_uint_eq(running->trapframe->epc, 0x24);
  ck_assert_str_eq(running->name, "prog");
}
END_TEST

START_TEST(pages_have_their_segments_permissions)
{
  static const uint64_t expected[] = {
      PTE_V | PTE_U | PTE_R | PTE_X, PTE_V | PTE_U | PTE_R | PTE_X,
      PTE_V | PTE_U | PTE_R | PTE_W, PTE_V | PTE_U | PTE_R | PTE_W,
      PTE_V | PTE_R | PTE_W, // the guard page
      PTE_V | PTE_U | PTE_R | PTE_W,
  };
  store(sizeof(file));
  exec("/dir/prog", no_arguments);
  for (uint64_t i = 0; i < NELEM(expected); i++)
    ck_assert_uint_eq(PTE_FLAGS(*walk(running->pagetable, i * PGSIZE, false)),
                      expected[i]);
  ck_assert_uint_eq(leaves(running->pagetable, 0, USERTOP), NELEM(expected));
}
END_TEST

START_TEST(the_mirror_follows_and_keeps_the_guard_page_out)
{
  store(sizeof(file));
  exec("/dir/prog", no_arguments);
  ck_assert_uint_eq(leaves(running->kpagetable, 0, USERTOP), TOP / PGSIZE - 1);
  char c = 0;
  ck_assert_int_eq(copyin(&c, GUARD - 1, 1), 0);
  ck_assert_int_eq(copyin(&c, GUARD, 1), -1);
  ck_assert_int_eq(copyin(&c, GUARD + PGSIZE - 1, 1), -1);
  ck_assert_int_eq(copyin(&c, TOP - 1, 1), 0);
  ck_assert_int_eq(copyin(&c, TOP, 1), -1);
  ck_assert_int_eq(copyout(0, &c, 1), -1); // text is read-only
  ck_assert_tree(running->kpagetable);
}
END_TEST

START_TEST(arguments_are_on_the_stack)
{
  store(sizeof(file));
  ck_assert_int_eq(exec("/dir/prog", some_arguments), 3);
  uint64_t sp = running->trapframe->sp, pointers[4];
  ck_assert_uint_eq(sp % 16, 0);
  ck_assert_uint_gt(sp, GUARD + PGSIZE);
  ck_assert_uint_lt(sp, TOP);
  ck_assert_uint_eq(running->trapframe->a1, sp);
  ck_assert_int_eq(copyin(pointers, sp, sizeof(pointers)), 0);
  for (int i = 0; i < 3; i++) {
    char text[32];
    ck_assert_int_eq(copyinstr(text, pointers[i], sizeof(text)),
                     strlen(some_arguments[i]));
    ck_assert_str_eq(text, some_arguments[i]);
  }
  ck_assert_uint_eq(pointers[3], 0);
}
END_TEST

START_TEST(the_old_image_is_freed)
{
  store(sizeof(file));
  exec("/dir/prog", no_arguments);
  uint64_t free = free_pages();
  for (int i = 0; i < 10; i++)
    ck_assert_int_eq(exec("/dir/prog", some_arguments), 3);
  ck_assert_uint_eq(free_pages(), free);
}
END_TEST

START_TEST(the_first_process_prints_its_table_once)
{
  store(sizeof(file));
  exec("/dir/prog", no_arguments);
  ck_assert_int_eq(strncmp(console_text, "page table 0x", 13), 0);
  size_t printed = strlen(console_text);
  exec("/dir/prog", no_arguments);
  ck_assert_uint_eq(strlen(console_text), printed);
}
END_TEST

// Fail unless exec() fails and leaves the running process exactly as it is.
static void
ck_assert_exec_fails(const char *path, char **argv)
{
  struct proc was = *running;
  struct trapframe trapframe = *running->trapframe;
  struct table_copy *user = copy_tables(running->pagetable);
  struct table_copy *kernel = copy_tables(running->kpagetable);
  uint64_t free = free_pages();
  ck_assert_int_eq(exec(path, argv), -1);
  ck_assert_uint_eq(free_pages(), free);
  ck_assert_mem_eq(running, &was, sizeof(was));
  ck_assert_mem_eq(running->trapframe, &trapframe, sizeof(trapframe));
  ck_assert_unchanged(user);
  ck_assert_unchanged(kernel);
}

START_TEST(a_path_to_no_program_changes_nothing)
{
  static const char *const paths[] = {"/nothing", "/dir", "/", "/empty", "/text"};
  make_file("/empty", "", 0);
  make_file("/text", "#!/bin/sh\n", 10);
  ck_assert_exec_fails(paths[_i], some_arguments);
}
END_TEST

START_TEST(a_file_cut_short_changes_nothing)
{
  static const uint32_t sizes[] = {
      sizeof(struct elfhdr) - 1, AT(ph[0]) + 10, AT(ph[2]) + 55, AT(text),
      AT(text) + PGSIZE + 9,     AT(data) + 99};
  store(sizes[_i]);
  ck_assert_exec_fails("/dir/prog", some_arguments);
}
END_TEST

START_TEST(a_damaged_program_changes_nothing)
{
  switch (_i) {
  case 0:
    file.eh.machine = 62;
    break;
  case 1:
    file.eh.phoff = ~0UL;
    break;
  case 2:
    file.ph[2].vaddr = 0; // below the end of the text
    break;
  case 3:
    file.ph[2].memsz = USERTOP; // ends beyond it
    break;
  case 4:
    file.ph[2].memsz = USERTOP - DATA_VA; // no room for a stack; nor in RAM
    break;
  case 5:
    file.ph[0].filesz = ~0UL;
    break;
  }
  store(sizeof(file));
  ck_assert_exec_fails("/dir/prog", some_arguments);
}
END_TEST

START_TEST(arguments_that_do_not_fit_change_nothing)
{
  static char longest[PGSIZE + 1], half[PGSIZE / 2 + 1];
  memset(longest, 'x', PGSIZE);
  memset(half, 'x', PGSIZE / 2);
  static char *too_long[] = {longest, 0}, *too_long_together[] = {half, half, 0};
  static char *too_many[64];
  for (int i = 0; i < 63; i++)
    too_many[i] = "x";
  static char **const arguments[] = {too_long, too_long_together, too_many};
  store(sizeof(file));
  ck_assert_exec_fails("/dir/prog", arguments[_i]);
}
END_TEST

START_TEST(running_out_of_memory_at_any_point_changes_nothing)
{
  store(sizeof(file));
  uint64_t need = 0;
  for (bool enough = false; !enough; need++) {
    leave_free(need);
    struct proc was = *running;
    struct table_copy *user = copy_tables(running->pagetable);
    struct table_copy *kernel = copy_tables(running->kpagetable);
    int argc = exec("/dir/prog", some_arguments);
    enough = argc >= 0;
    if (!enough) {
      ck_assert_int_eq(argc, -1);
      ck_assert_uint_eq(free_pages(), need);
      ck_assert_mem_eq(running, &was, sizeof(was));
      ck_assert_unchanged(user);
      ck_assert_unchanged(kernel);
    }
    give_back();
  }
  ck_assert_uint_gt(need, 10); // pages of the image, tables, mirror
  ck_assert_user_bytes(DATA_VA, 'd', sizeof(file.data));
}
END_TEST

// The system call: its path and arguments come from user memory.
static void
set_user_arguments(uint64_t count)
{
  store(sizeof(file));
  ck_assert_int_eq(copyout(0, "/dir/prog", 10), 0);
  for (uint64_t i = 0; i <= count; i++) {
    uint64_t pointer = i < count ? 16 : 0;
    ck_assert_int_eq(copyout(1024 + i * 8, &pointer, 8), 0);
  }
  ck_assert_int_eq(copyout(16, "argument", 9), 0);
  system_call_arguments[0] = 0;
  system_call_arguments[1] = 1024;
}

START_TEST(the_call_fetches_path_and_arguments)
{
  set_user_arguments(3);
  ck_assert_int_eq(sys_exec(), 3);
  ck_assert_str_eq(running->name, "prog");
}
END_TEST

START_TEST(the_call_with_bad_pointers_fails_and_loses_nothing)
{
  static const struct {
    int argument;
    uint64_t value;
  } bad[] = {{0, 512},    {0, PGSIZE},     {0, KERNBASE}, {0, ~0UL},
             {1, PGSIZE}, {1, PGSIZE - 4}, {1, KERNBASE}, {1, ~0UL - 7}};
  set_user_arguments(3);
  ck_assert_int_eq(copyout(512, "/nothing", 9), 0);
  system_call_arguments[bad[_i].argument] = bad[_i].value;
  uint64_t free = free_pages();
  ck_assert_int_eq((int64_t)sys_exec(), -1);
  ck_assert_uint_eq(free_pages(), free);
  ck_assert_uint_eq(running->sz, PGSIZE);
}
END_TEST

START_TEST(the_call_out_of_memory_fails_and_loses_nothing)
{
  set_user_arguments(3);
  int64_t result = -1;
  for (uint64_t n = 0; result < 0; n++) {
    leave_free(n);
    result = sys_exec();
    if (result < 0)
      ck_assert_uint_eq(free_pages(), n);
    give_back();
  }
  ck_assert_int_eq(result, 3);
}
END_TEST

int
main(void)
{
  Suite *suite = suite_create("exec");
  TCase *tc = tcase_create("success");
  tcase_add_checked_fixture(tc, setup, disk_check);
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, segments_are_loaded_where_they_belong);
  tcase_add_test(tc, pages_have_their_segments_permissions);
  tcase_add_test(tc, the_mirror_follows_and_keeps_the_guard_page_out);
  tcase_add_test(tc, arguments_are_on_the_stack);
  tcase_add_test(tc, the_old_image_is_freed);
  tcase_add_test(tc, the_first_process_prints_its_table_once);
  tcase_add_test(tc, the_call_fetches_path_and_arguments);

  tc = tcase_create("failure");
  tcase_add_checked_fixture(tc, setup, disk_check);
  suite_add_tcase(suite, tc);
  tcase_add_loop_test(tc, a_path_to_no_program_changes_nothing, 0, 5);
  tcase_add_loop_test(tc, a_file_cut_short_changes_nothing, 0, 6);
  tcase_add_loop_test(tc, a_damaged_program_changes_nothing, 0, 6);
  tcase_add_loop_test(tc, arguments_that_do_not_fit_change_nothing, 0, 3);
  tcase_add_test(tc, running_out_of_memory_at_any_point_changes_nothing);
  tcase_add_loop_test(tc, the_call_with_bad_pointers_fails_and_loses_nothing, 0, 8);
  tcase_add_test(tc, the_call_out_of_memory_fails_and_loses_nothing);
  return run_suite(suite);
}
