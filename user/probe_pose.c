// probe NONCE pose: states of a process's memory in which the harness looks at the page
// tables while nothing runs. What fails is kept, and the poses go on: a kernel that
// refuses one thing may still show its mistake in the next.
//
// probe NONCE call NUMBER: make that system call, and wait: @NONCE pose called
#include "probe.h"

static const char *pose_failed;

static void
must(bool done, const char *what)
{
  if (!done && !pose_failed)
    pose_failed = what;
}

static void
pose(const char *name)
{
  say_nonce();
  say("pose ");
  say(name);
  say_end();
  await_line();
}

// Grow (or shrink) by n bytes, and write to each new page.
static void
resize(int n)
{
  uint64_t old = sbrk(n);
  must(old != (uint64_t)-1, "sbrk");
  if (old != (uint64_t)-1)
    for (uint64_t va = old; n > 0 && va < old + (uint64_t)n; va += PAGE)
      *(volatile char *)va = 1;
}

// A child that does what it is told through a pipe.
struct child {
  int pid;
  int tell; // write g to grow it, s to shrink it; close it to end the child
};

void
obey(int fd)
{
  char c = 0;
  while (read_byte(fd, &c))
    resize(c == 'g' ? 5 * PAGE : -2 * PAGE - 100);
}

static struct child
start_child(bool exec_it)
{
  struct child child = {-1, -1};
  int fds[2];
  must(pipe(fds) == 0, "pipe");
  child.pid = fork();
  must(child.pid >= 0, "fork");
  if (child.pid == 0) {
    close(fds[1]);
    if (exec_it) {
      char *argv[4];
      argv[0] = program;
      argv[1] = nonce;
      argv[2] = "stay";
      argv[3] = 0;
      close(0);
      dup(fds[0]);
      close(fds[0]);
      exec(program, argv);
      die(1);
    }
    obey(fds[0]);
    die(3);
  }
  close(fds[0]);
  child.tell = fds[1];
  return child;
}

static void
end_child(struct child child)
{
  close(child.tell);
  if (child.pid > 0)
    must(!child_ends(child.pid, 3), "wait");
}

static void
pose_memory(void)
{
  uint64_t start = sbrk(0);
  pose("fresh");
  resize(3 * PAGE);
  pose("grown");
  resize(2 * 1024 * 1024 + 8 * PAGE);
  pose("grown-far");
  resize(-(8 * PAGE + 100)); // stays above 2 MiB, in the middle of a page
  pose("shrunk");
  resize(-(20 * PAGE));
  pose("shrunk-far");
  resize(30 * PAGE + 300);
  pose("grown-again");
  struct child child = start_child(false);
  pose("child-of-big");
  end_child(child);
  child = start_child(true);
  pose("exec-of-big");
  end_child(child);
  resize((int)(start - sbrk(0)));
  pose("shrunk-to-start");
}

static void
pose_children(void)
{
  struct child child = start_child(false);
  pose("child");
  must(write(child.tell, "g", 1) == 1, "write");
  pose("child-grown");
  must(write(child.tell, "s", 1) == 1, "write");
  pose("child-shrunk");
  end_child(child);
  child = start_child(true);
  pose("exec");
  end_child(child);
}

static void
pose_exec_failed(void)
{
  char *argv[40], *longest = scratch;
  for (int i = 0; i < PAGE; i++)
    longest[i] = 'x';
  longest[PAGE] = '\0';
  for (int i = 0; i < 39; i++)
    argv[i] = "argument";
  argv[39] = 0;
  must(exec(program, argv) == -1, "exec-many-arguments");
  argv[1] = longest;
  argv[2] = 0;
  must(exec(program, argv) == -1, "exec-long-argument");
  argv[1] = 0;
  must(!make_text_file(), "make-file");
  must(exec("probe.missing", argv) == -1, "exec-missing");
  must(exec(TEXT_FILE, argv) == -1, "exec-text");
  pose("exec-failed");
  must(!remove_text_file(), "unlink");
  for (int i = 1; i < 31; i++)
    argv[i] = longest + 100; // each fits a page, all of them no stack of some pages
  argv[31] = 0;
  must(exec(program, argv) == -1, "exec-large-arguments");
  pose("exec-failed-late");
}

// The child ends and leaves a child of its own to init.
static void
pose_orphan(void)
{
  int fds[2];
  must(pipe(fds) == 0, "pipe");
  int pid = fork();
  if (pid == 0) {
    int grandchild = fork();
    if (grandchild == 0) {
      close(fds[1]);
      obey(fds[0]);
    }
    die(grandchild < 0 ? 1 : 3);
  }
  close(fds[0]);
  must(!child_ends(pid, 3), "orphan");
  pose("orphan");
  close(fds[1]);
}

static void
pose_pipe(void)
{
  int fds[2];
  must(pipe(fds) == 0, "pipe");
  must(write(fds[1], "left in it", 10) == 10, "write");
  pose("pipe");
  close(fds[0]);
  pose("pipe-half");
  close(fds[1]);
}

int
poses(void)
{
  pose_memory();
  pose_children();
  pose_exec_failed();
  pose_orphan();
  pose_pipe();
  pose("end");
  say_nonce();
  say(pose_failed ? "pose fail=" : "pose ok");
  say(pose_failed ? pose_failed : "");
  say_end();
  return pose_failed ? 1 : 0;
}

int
call_and_pose(long number)
{
  call(number, 0, 0, 0, 0);
  pose("called");
  return 0;
}
