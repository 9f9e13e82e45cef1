// grep PATTERN [FILE...]: print the lines that match. In a pattern ^ and $ stand for
// the ends of the line, . for any character, and * for any number of the one before it.
#include "user/user.h"
#include "user/match.h"
#include "kernel/fcntl.h"

// 0 if some line matched, 1 if none. A line longer than the buffer is searched in
// pieces.
static int
search(const char *pattern, int fd)
{
  static char line[1024];
  static struct line_reader in;
  int status = 1;
  line_reader_init(&in, fd);
  while (read_line(&in, line, sizeof(line)) >= 0) {
    if (match(pattern, line)) {
      printf("%s\n", line);
      status = 0;
    }
  }
  return status;
}

int
main(int argc, char **argv)
{
  if (argc < 2) {
    fprintf(2, "usage: grep PATTERN [FILE...]\n");
    return 2;
  }
  if (argc == 2)
    return search(argv[1], 0);
  int status = 1;
  bool failed = false;
  for (int i = 2; i < argc; i++) {
    int fd = open(argv[i], O_RDONLY);
    if (fd < 0) {
      fprintf(2, "grep: cannot open %s\n", argv[i]);
      failed = true;
      continue;
    }
    status &= search(argv[1], fd);
    close(fd);
  }
  return failed ? 2 : status;
}
