// wc [FILE...]: count lines, words and bytes.
#include "user/user.h"
#include "kernel/fcntl.h"

struct counts {
  long lines;
  long words;
  long bytes;
};

static bool
blank(char c)
{
  return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool
count(int fd, struct counts *out)
{
  static char buf[1024];
  bool in_word = false;
  int n;
  while ((n = read(fd, buf, sizeof(buf))) > 0) {
    out->bytes += n;
    for (int i = 0; i < n; i++) {
      if (buf[i] == '\n')
        out->lines++;
      if (!blank(buf[i]) && !in_word)
        out->words++;
      in_word = !blank(buf[i]);
    }
  }
  return n == 0;
}

static int
report(int fd, const char *name, struct counts *total)
{
  struct counts one = {0, 0, 0};
  if (!count(fd, &one)) {
    fprintf(2, "wc: cannot read %s\n", name);
    return 1;
  }
  printf("%ld %ld %ld %s\n", one.lines, one.words, one.bytes, name);
  total->lines += one.lines;
  total->words += one.words;
  total->bytes += one.bytes;
  return 0;
}

int
main(int argc, char **argv)
{
  struct counts total = {0, 0, 0};
  if (argc < 2)
    return report(0, "", &total);
  int status = 0;
  for (int i = 1; i < argc; i++) {
    int fd = open(argv[i], O_RDONLY);
    if (fd < 0) {
      fprintf(2, "wc: cannot open %s\n", argv[i]);
      status = 1;
      continue;
    }
    status |= report(fd, argv[i], &total);
    close(fd);
  }
  if (argc > 2)
    printf("%ld %ld %ld total\n", total.lines, total.words, total.bytes);
  return status;
}
