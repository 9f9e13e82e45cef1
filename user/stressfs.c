// stressfs [WRITERS [BLOCKS]]: several processes write a file each at the same time,
// read it back, and compare.
#include "user/user.h"
#include "kernel/fcntl.h"

#define BLOCK 512

// What block i of writer w holds, byte j.
static char
pattern(int w, int i, int j)
{
  return (char)(w * 31 + i * 7 + j);
}

static int
fail(int w, const char *what, int i)
{
  fprintf(2, "stressfs: writer %d: %s, block %d\n", w, what, i);
  return 1;
}

static int
write_and_compare(int w, int blocks)
{
  static char buf[BLOCK];
  char name[] = "stressfs00";
  name[8] = (char)('0' + w / 10);
  name[9] = (char)('0' + w % 10);

  int fd = open(name, O_CREATE | O_TRUNC | O_RDWR);
  if (fd < 0)
    return fail(w, "cannot create", 0);
  for (int i = 0; i < blocks; i++) {
    for (int j = 0; j < BLOCK; j++)
      buf[j] = pattern(w, i, j);
    if (write(fd, buf, BLOCK) != BLOCK)
      return fail(w, "cannot write", i);
  }
  close(fd);

  fd = open(name, O_RDONLY);
  if (fd < 0)
    return fail(w, "cannot open again", 0);
  for (int i = 0; i < blocks; i++) {
    if (read(fd, buf, BLOCK) != BLOCK)
      return fail(w, "cannot read", i);
    for (int j = 0; j < BLOCK; j++)
      if (buf[j] != pattern(w, i, j))
        return fail(w, "read other bytes than were written", i);
  }
  close(fd);
  unlink(name);
  return 0;
}

int
main(int argc, char **argv)
{
  int writers = 5, blocks = 20;
  if (argc > 3 || (argc > 1 && !parse_number(argv[1], &writers)) ||
      (argc > 2 && !parse_number(argv[2], &blocks)) || writers < 1 || writers > 40 ||
      blocks < 1) {
    fprintf(2, "usage: stressfs [WRITERS [BLOCKS]], at most 40 writers\n");
    return 2;
  }
  printf("stressfs starting\n");
  int status = 0;
  for (int w = 0; w < writers; w++) {
    int pid = fork();
    if (pid == 0)
      return write_and_compare(w, blocks);
    if (pid < 0)
      status = fail(w, "cannot fork", 0);
  }
  int result;
  while (wait(&result) >= 0)
    if (result != 0)
      status = 1;
  printf(status == 0 ? "stressfs OK\n" : "stressfs FAILED\n");
  return status;
}
