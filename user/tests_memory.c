// sbrk() and what it gives.
#include "user/tests.h"
#include "kernel/fcntl.h"
#include "kernel/riscv.h"
#include "kernel/memlayout.h"

static void
sbrk_returns_old(void)
{
  char *start = heap_end();
  for (int i = 0; i < 20; i++) {
    char *old = grow(i * 700);
    expect("sbrk(n) - end of memory before", old - start, 0);
    start += i * 700;
    expect("end of memory after - expected", heap_end() - start, 0);
  }
  expect("sbrk(-n) - end of memory before", grow(-13300) - start, 0);
  expect("end of memory after shrinking", heap_end() - (start - 13300), 0);
}

// Growing by odd sizes: every byte can be used, and pages come and go at the right
// moment.
static void
sbrk_unaligned(void)
{
  static const int sizes[] = {1, 4095, 1, 4097, 3, 8191, 12345, 1};
  char *start = heap_end();
  int total = 0;
  for (size_t i = 0; i < NELEM(sizes); i++) {
    char *p = grow(sizes[i]);
    p[0] = 'a';
    p[sizes[i] - 1] = 'z';
    total += sizes[i];
  }
  for (size_t i = NELEM(sizes); i > 0; i--) {
    grow(-sizes[i - 1]);
    total -= sizes[i - 1];
    if (total > 0)
      expect_true("the last byte that is left to be readable",
                  *(volatile char *)(start + total - 1) != 1);
  }
  expect("end of memory after all is given back", heap_end() - start, 0);
}

static void
sbrk_zeroed(void)
{
  for (int round = 0; round < 3; round++) {
    char *p = grow(8 * PGSIZE);
    for (int i = 0; i < 8 * PGSIZE; i++)
      if (p[i])
        fail("fresh memory, round %d: expected byte %d to be 0, got %d", round, i,
             p[i]);
    memset(p, 0xa5, 8 * PGSIZE);
    grow(-8 * PGSIZE);
  }
}

static void
sbrk_extremes(void)
{
  static const int changes[] = {INT32_MAX, INT32_MIN, INT32_MIN + 1, -0x40000000,
                                0x7ffff000};
  char *end = heap_end();
  for (size_t i = 0; i < NELEM(changes); i++) {
    char *result = sbrk(changes[i]);
    if (reference_kernel() && result != SBRK_FAILED)
      fail("sbrk(%d): expected -1, got %p", changes[i], result);
    // Where memory is allocated when it is used, this may succeed; some kernels tell
    // the lower half of the address only.
    if (!reference_kernel() && changes[i] > 0 && (int)(heap_end() - end) == changes[i])
      sbrk(-changes[i]);
    if (heap_end() != end)
      fail("sbrk(%d): expected memory to stay as it was, its end moved by %ld",
           changes[i], (long)(heap_end() - end));
  }
}

// User memory ends below the first device in the kernel's page table.
static void
sbrk_plic(void)
{
  char *end = heap_end();
  int room = (int)(USERTOP - (long)end);
  const int changes[] = {room + 1, room + (64 << 20)};
  for (size_t i = 0; i < NELEM(changes); i++) {
    bool refused = sbrk(changes[i]) == SBRK_FAILED;
    if (!refused && !reference_kernel())
      sbrk(-changes[i]); // a kernel whose page table has no device where user memory is
    else
      expect("whether sbrk beyond the PLIC is refused", refused, 1);
  }
  expect("end of memory after these", heap_end() - end, 0);
  char *p = grow(PGSIZE);
  *p = 1;
}

static void
shrink_to_nothing(uint64_t unused)
{
  (void)unused;
  sbrk(-(int)(uint64_t)heap_end());
}

static void
sbrk_to_zero(void)
{
  expect("status of a process without any memory", run_in_child(shrink_to_nothing, 0),
         -1);
}

static void
shrink_and_touch(uint64_t unused)
{
  (void)unused;
  char *p = grow(2 * PGSIZE);
  char *page = (char *)PGROUNDUP(p);
  *page = 1;
  grow(-2 * PGSIZE);
  *(volatile char *)page = 2;
}

static void
sbrk_touch_freed(void)
{
  expect("status of a process that touches freed memory",
         run_in_child(shrink_and_touch, 0), -1);
}

static void
sbrk_fork(void)
{
  char *heap = grow(300 * PGSIZE);
  for (int i = 0; i < 300; i++)
    heap[i * PGSIZE] = (char)i;
  for (int round = 0; round < 3; round++) {
    int pid = fork_or_fail();
    if (pid == 0) {
      for (int i = 0; i < 300; i++) {
        expect("child's byte", heap[i * PGSIZE], (char)i);
        heap[i * PGSIZE] = (char)(i + 1);
      }
      grow(PGSIZE);
      exit(0);
    }
    expect("status of the child", wait_for(pid), 0);
    for (int i = 0; i < 300; i++)
      expect("parent's byte", heap[i * PGSIZE], (char)i);
  }
}

// Memory over the edge of a page-table page (2 MiB), up and down, used by the kernel
// too.
static void
sbrk_table_edge(void)
{
  char *edge = (char *)(2UL << 20);
  long room = edge - heap_end();
  expect_true("the program to be smaller than 2 MiB", room > 0);
  make_file("data", "0123456789");
  for (int round = 0; round < 4; round++) {
    int fd = open_or_fail("data", O_RDONLY);
    grow((int)room + 3 * PGSIZE);
    expect("read over the edge", read(fd, edge - 5, 10), 10);
    expect("first byte over the edge", *edge, '5');
    grow(-(int)room - 3 * PGSIZE);
    expect("whether the kernel reads freed memory over the edge", kernel_reads(edge, 1),
           0);
    close(fd);
  }
}

// Exactly as many pages of user memory as were asked for, and not many for tables.
static void
sbrk_counts(void)
{
  struct pagestat before, grown, after;
  grow((int)(-(uint64_t)heap_end() % PGSIZE));
  pagestat(&before);
  grow(100 * PGSIZE);
  pagestat(&grown);
  expect("user pages more after growing by 100",
         (long)(grown.held[PAGE_USER] - before.held[PAGE_USER]), 100);
  expect_true("at most 2 more page-table pages",
              grown.held[PAGE_TABLE] - before.held[PAGE_TABLE] <= 2);
  uint64_t sum = 0;
  for (int class = 0; class < NPAGECLASS; class ++)
    sum += grown.held[class];
  expect("sum of pages over classes", (long)sum, (long)grown.total);
  grow(-100 * PGSIZE);
  pagestat(&after);
  expect("user pages after shrinking", (long)after.held[PAGE_USER],
         (long)before.held[PAGE_USER]);
}

static int bss_array[5000];
static int data_array[3] = {1, 2, 3};

static void
memory_sections(void)
{
  for (size_t i = 0; i < NELEM(bss_array); i++)
    expect("byte of bss", bss_array[i], 0);
  for (int i = 0; i < 3; i++)
    expect("word of data", data_array[i], i + 1);
  bss_array[4999] = 1;
  data_array[1] = 7;
  int pid = fork_or_fail();
  if (pid == 0) {
    data_array[1] = 8;
    exit(bss_array[4999] == 1 ? 0 : 1);
  }
  expect("status of the child", wait_for(pid), 0);
  expect("word of data after the child wrote its own", data_array[1], 7);
}

static void
memory_malloc(void)
{
  static char *blocks[64];
  static int sizes[64];
  uint32_t random = 12345;
  for (int step = 0; step < 2000; step++) {
    random = random * 1103515245 + 12345;
    int i = (random >> 16) % 64;
    if (blocks[i]) {
      check_fill("malloc'ed block", blocks[i], sizes[i], i);
      free(blocks[i]);
      blocks[i] = 0;
    } else {
      sizes[i] = (int)((random >> 8) % 700);
      blocks[i] = malloc((size_t)sizes[i]);
      expect_true("malloc to succeed", blocks[i] != 0);
      fill(blocks[i], sizes[i], i);
    }
  }
  expect_true("memory to stay below 256 KiB",
              (uint64_t)heap_end() < 256 * 1024 + 0x20000);
}

const struct test memory_tests[] = {
    {"sbrk_returns_old", sbrk_returns_old, ANYWHERE},
    {"sbrk_unaligned", sbrk_unaligned, ANYWHERE},
    {"sbrk_zeroed", sbrk_zeroed, ANYWHERE},
    {"sbrk_extremes", sbrk_extremes, ANYWHERE},
    {"sbrk_plic", sbrk_plic, ANYWHERE},
    {"sbrk_to_zero", sbrk_to_zero, ANYWHERE},
    {"sbrk_touch_freed", sbrk_touch_freed, ANYWHERE},
    {"sbrk_fork", sbrk_fork, ANYWHERE},
    {"sbrk_table_edge", sbrk_table_edge, ANYWHERE},
    {"sbrk_counts", sbrk_counts, REFERENCE},
    {"memory_sections", memory_sections, ANYWHERE},
    {"memory_malloc", memory_malloc, ANYWHERE},
    {0, 0, 0},
};
