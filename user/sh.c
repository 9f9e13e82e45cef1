// The shell: reads lines, or with -c takes its argument, and runs them.
#include "user/user.h"
#include "user/sh.h"
#include "kernel/fcntl.h"

static struct parse parse;

static int run_list(struct command *list);

static int
fork_or_say(void)
{
  int pid = fork();
  if (pid < 0)
    fprintf(2, "sh: cannot fork\n");
  return pid;
}

static void
move_fd(int from, int to)
{
  if (from == to)
    return;
  close(to);
  dup(from); // takes the lowest free number, which is to
  close(from);
}

// There is no seek: reading to the end moves the offset there.
static void
skip_to_end(int fd)
{
  char buf[128];
  while (read(fd, buf, sizeof(buf)) > 0)
    ;
}

static bool
redirect(const struct redirection *r)
{
  for (; r; r = r->next) {
    int fd = open(r->path, r->flags);
    if (fd < 0) {
      fprintf(2, "sh: cannot open %s\n", r->path);
      return false;
    }
    if (r->append)
      skip_to_end(fd);
    move_fd(fd, r->fd);
  }
  return true;
}

// In a process of its own: become the command.
static void
become(struct command *c)
{
  if (!redirect(c->redirections))
    exit(1);
  if (c->group)
    exit(run_list(c->group));
  exec(c->argv[0], c->argv);
  fprintf(2, "exec %s failed\n", c->argv[0]);
  exit(1);
}

// Start every command of a pipeline as a child of this process, and store their pids.
// Returns how many were started; fewer than there are if something ran out.
static int
start_pipeline(struct command *c, int *pids)
{
  int started = 0;
  int input = -1; // where the next command reads, or -1 for this process's own input
  for (; c; c = c->pipe) {
    int fds[2] = {-1, -1};
    if (c->pipe && pipe(fds) < 0) {
      fprintf(2, "sh: cannot make a pipe\n");
      break;
    }
    int pid = fork_or_say();
    if (pid == 0) {
      if (input >= 0)
        move_fd(input, 0);
      if (fds[0] >= 0) {
        close(fds[0]);
        move_fd(fds[1], 1);
      }
      become(c);
    }
    if (input >= 0)
      close(input);
    if (fds[1] >= 0)
      close(fds[1]);
    input = fds[0];
    if (pid < 0)
      break;
    pids[started++] = pid;
  }
  if (input >= 0)
    close(input);
  return started;
}

// Returns the status of the last command, 0 if it goes on in the background. Children
// that were left there earlier are reaped on the way.
static int
run_pipeline(struct command *c)
{
  int pids[SH_COMMANDS];
  int started = start_pipeline(c, pids);
  if (c->background)
    return 0;
  int status = 1;
  for (int running = started; running > 0;) {
    int result;
    int pid = wait(&result);
    if (pid < 0)
      return 1;
    for (int i = 0; i < started; i++) {
      if (pids[i] != pid)
        continue;
      running--;
      if (i == started - 1)
        status = result;
    }
  }
  return status;
}

static int
change_directory(const struct command *c)
{
  const char *path = c->argc > 1 ? c->argv[1] : "/";
  if (c->argc > 2) {
    fprintf(2, "usage: cd [DIRECTORY]\n");
    return 2;
  }
  if (chdir(path) < 0) {
    fprintf(2, "cannot cd %s\n", path);
    return 1;
  }
  return 0;
}

static bool
is_cd(const struct command *c)
{
  return !c->group && !c->pipe && !c->background && strcmp(c->argv[0], "cd") == 0;
}

static int
run_list(struct command *list)
{
  int status = 0;
  for (struct command *c = list; c; c = c->next)
    status = is_cd(c) ? change_directory(c) : run_pipeline(c);
  return status;
}

static int
run_line(const char *line)
{
  struct command *list;
  if (!sh_parse(&parse, line, &list)) {
    char near[24];
    size_t n = strlen(parse.error_near);
    n = n < sizeof(near) ? n : sizeof(near) - 1;
    memcpy(near, parse.error_near, n);
    near[n] = '\0';
    fprintf(2, "sh: syntax error: %s, at: %s\n", parse.error, n ? near : "end of line");
    return 2;
  }
  return run_list(list);
}

// One byte at a time, so that what follows the line is left for the commands in it.
// Returns -1 at the end of the file. A longer line is read to its end and not run.
static int
read_command(char *line, int max)
{
  int n = 0;
  bool any = false;
  char c;
  while (read(0, &c, 1) == 1) {
    any = true;
    if (c == '\n')
      break;
    if (n < max)
      line[n] = c;
    n++;
  }
  if (n >= max) {
    fprintf(2, "sh: line too long: %d bytes, at most %d\n", n, max - 1);
    n = 0;
  }
  line[n] = '\0';
  return any ? n : -1;
}

int
main(int argc, char **argv)
{
  static char line[SH_LINE];
  if (argc == 3 && strcmp(argv[1], "-c") == 0)
    return run_line(argv[2]);
  if (argc > 1) {
    fprintf(2, "usage: sh [-c COMMANDS]\n");
    return 2;
  }
  for (;;) {
    fprintf(2, "$ ");
    if (read_command(line, sizeof(line)) < 0)
      return 0;
    run_line(line);
  }
}
