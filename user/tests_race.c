// Several processes at the same files and tables.
#include "user/tests.h"
#include "kernel/fcntl.h"
#include "kernel/riscv.h"

#define CROWD 4

// Run the function in CROWD processes at once, each told its number.
static void
crowd(void (*run)(int number))
{
  int pids[CROWD];
  for (int i = 0; i < CROWD; i++) {
    pids[i] = fork_or_fail();
    if (pids[i] == 0) {
      run(i);
      exit(0);
    }
  }
  bool ok = true;
  for (int i = 0; i < CROWD; i++) {
    int status = 0;
    expect_true("wait to find every child", wait(&status) > 0);
    ok &= status == 0;
  }
  expect_true("every child to end with status 0", ok);
}

static void
create_and_remove(int number)
{
  char own[] = "own0", shared[] = "shared0";
  own[3] = (char)('0' + number);
  for (int i = 0; i < 6; i++) {
    shared[6] = (char)('0' + i % 3);
    int fd = open(own, O_CREATE | O_RDWR);
    expect_true("own file to be created", fd >= 0);
    close(fd);
    fd = open(shared, O_CREATE | O_RDWR);
    expect_true("a file that others create and remove to be opened", fd >= 0);
    expect("write", write(fd, shared, 7), 7);
    close(fd);
    unlink(shared); // another may have been faster
    expect("unlink of the own file", unlink(own), 0);
    expect("open after unlink", open(own, O_RDONLY), -1);
  }
}

static void
race_create(void)
{
  crowd(create_and_remove);
}

static void
link_and_remove(int number)
{
  uint32_t random = (uint32_t)number * 97 + 1;
  for (int i = 0; i < 20; i++) {
    random = random * 1103515245 + 12345;
    switch ((random >> 16) % 3) {
    case 0:
      close(open("x", O_CREATE | O_RDWR));
      break;
    case 1:
      link("x", "y");
      break;
    default:
      unlink((random >> 20) % 2 ? "x" : "y");
    }
  }
}

static void
race_link(void)
{
  struct stat x, y;
  crowd(link_and_remove);
  bool has_x = stat("x", &x) == 0, has_y = stat("y", &y) == 0;
  if (has_x && has_y && x.ino == y.ino) {
    expect("links of a file with two names", x.nlink, 2);
  } else {
    if (has_x)
      expect("links of x", x.nlink, 1);
    if (has_y)
      expect("links of y", y.nlink, 1);
  }
}

// Only one process can make a directory of a given name.
static int counts[2]; // a pipe

static void
make_directories(int unused)
{
  (void)unused;
  char name[] = "d0";
  int made = 0;
  for (int i = 0; i < 8; i++) {
    name[1] = (char)('0' + i);
    made += mkdir(name) == 0;
  }
  char count = (char)made;
  expect("write of the count", write(counts[1], &count, 1), 1);
}

static void
race_mkdir(void)
{
  expect("pipe", pipe(counts), 0);
  crowd(make_directories);
  int total = 0;
  for (int i = 0; i < CROWD; i++) {
    char count;
    expect("read of a count", read(counts[0], &count, 1), 1);
    total += count;
  }
  expect("directories made by all", total, 8);
}

static void
write_own_file(int number)
{
  static char buf[1500];
  char name[] = "w0";
  name[1] = (char)('0' + number);
  int fd = open_or_fail(name, O_CREATE | O_RDWR);
  for (int i = 0; i < 8; i++) {
    fill(buf, sizeof(buf), number * 50 + i);
    expect("write", write(fd, buf, sizeof(buf)), sizeof(buf));
  }
  close(fd);
  fd = open_or_fail(name, O_RDONLY);
  for (int i = 0; i < 8; i++) {
    expect("read", read(fd, buf, sizeof(buf)), sizeof(buf));
    check_fill("byte of the file", buf, sizeof(buf), number * 50 + i);
  }
  close(fd);
  expect("unlink", unlink(name), 0);
}

static void
race_write(void)
{
  crowd(write_own_file);
}

static void
fork_and_exec(int number)
{
  char status[2] = {(char)('1' + number), '\0'};
  char *argv[] = {self, "@exit", status, 0};
  for (int i = 0; i < 3; i++) {
    int pid = fork_or_fail();
    if (pid == 0) {
      exec(self, argv);
      exit(100);
    }
    expect("status of the new program", wait_for(pid), number + 1);
  }
}

static void
race_exec(void)
{
  crowd(fork_and_exec);
}

// Every process grows, fills, checks and shrinks its own memory.
static void
grow_and_check(int number)
{
  for (int i = 0; i < 10; i++) {
    char *p = grow(10 * PGSIZE);
    fill(p, 10 * PGSIZE, number + i);
    int pid = fork_or_fail();
    if (pid == 0) {
      check_fill("child's memory", p, 10 * PGSIZE, number + i);
      exit(0);
    }
    expect("status of the child", wait_for(pid), 0);
    check_fill("parent's memory", p, 10 * PGSIZE, number + i);
    grow(-10 * PGSIZE);
  }
}

static void
race_memory(void)
{
  crowd(grow_and_check);
}

static void
read_and_look_up(int number)
{
  char buf[10];
  for (int i = 0; i < 15; i++) {
    int fd = open_or_fail(number % 2 ? "a/b/c/f" : "./a/./b/../b/c/f", O_RDONLY);
    expect("read", read(fd, buf, sizeof(buf)), 5);
    close(fd);
    expect("chdir", chdir("a/b/c"), 0);
    expect("chdir", chdir("../../.."), 0);
  }
}

static void
race_look_up(void)
{
  expect("mkdir", mkdir("a"), 0);
  expect("mkdir", mkdir("a/b"), 0);
  expect("mkdir", mkdir("a/b/c"), 0);
  make_file("a/b/c/f", "12345");
  crowd(read_and_look_up);
}

const struct test race_tests[] = {
    {"race_create", race_create, ANYWHERE},   {"race_link", race_link, ANYWHERE},
    {"race_mkdir", race_mkdir, ANYWHERE},     {"race_write", race_write, ANYWHERE},
    {"race_exec", race_exec, CROWDED},        {"race_memory", race_memory, CROWDED},
    {"race_look_up", race_look_up, ANYWHERE}, {0, 0, 0},
};
