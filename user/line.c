// Lines out of a file, however they arrive.
#include "user/user.h"

void
line_reader_init(struct line_reader *in, int fd)
{
  in->fd = fd;
  in->used = 0;
  in->next = 0;
}

// Store the next line with a final zero and without its newline; return its length, or
// -1 at the end of the file or on an error. A line that does not fit in max bytes comes
// in pieces of max - 1.
int
read_line(struct line_reader *in, char *line, int max)
{
  int n = 0;
  bool any = false;
  while (n + 1 < max) {
    if (in->next == in->used) {
      in->next = 0;
      in->used = read(in->fd, in->buf, sizeof(in->buf));
      if (in->used <= 0) {
        in->used = 0;
        break;
      }
    }
    any = true;
    char c = in->buf[in->next++];
    if (c == '\n')
      break;
    line[n++] = c;
  }
  line[n] = '\0';
  return any ? n : -1;
}
