// Formatted output, handed to write() in as few pieces as possible so that the lines of
// several processes do not mix.
#include "user/user.h"

static void
put_string(void (*put)(char c, void *arg), void *arg, const char *s)
{
  for (; *s; s++)
    put(*s, arg);
}

// base is 10 or 16. At least width digits.
static void
put_number(void (*put)(char c, void *arg), void *arg, uint64_t value, unsigned base,
           int width)
{
  char digits[20]; // 2^64 has 20 in decimal
  int n = 0;
  do {
    digits[n++] = "0123456789abcdef"[value % base];
    value /= base;
  } while (value > 0 || n < width);
  while (n > 0)
    put(digits[--n], arg);
}

static void
put_signed(void (*put)(char c, void *arg), void *arg, int64_t value)
{
  uint64_t magnitude = (uint64_t)value;
  if (value < 0) {
    put('-', arg);
    magnitude = -magnitude;
  }
  put_number(put, arg, magnitude, 10, 1);
}

// Call put(c, arg) for each character. An unknown conversion is put as it stands.
void
format(void (*put)(char c, void *arg), void *arg, const char *fmt, va_list ap)
{
  for (; *fmt; fmt++) {
    if (*fmt != '%') {
      put(*fmt, arg);
      continue;
    }
    fmt++;
    bool wide = *fmt == 'l';
    if (wide)
      fmt++;
    switch (*fmt) {
    case 'd':
      put_signed(put, arg, wide ? va_arg(ap, int64_t) : va_arg(ap, int));
      break;
    case 'u':
      put_number(put, arg, wide ? va_arg(ap, uint64_t) : va_arg(ap, unsigned), 10, 1);
      break;
    case 'x':
      put_number(put, arg, wide ? va_arg(ap, uint64_t) : va_arg(ap, unsigned), 16, 1);
      break;
    case 'p':
      put_string(put, arg, "0x");
      put_number(put, arg, (uint64_t)va_arg(ap, void *), 16, 16);
      break;
    case 's': {
      const char *s = va_arg(ap, const char *);
      put_string(put, arg, s ? s : "(null)");
      break;
    }
    case 'c':
      put((char)va_arg(ap, int), arg);
      break;
    case '%':
      put('%', arg);
      break;
    default:
      put('%', arg);
      if (wide)
        put('l', arg);
      if (!*fmt)
        return;
      put(*fmt, arg);
    }
  }
}

struct sink {
  int fd;
  int used;
  char buf[256];
};

static void
flush(struct sink *sink)
{
  if (sink->used > 0)
    write(sink->fd, sink->buf, sink->used);
  sink->used = 0;
}

static void
put_to_sink(char c, void *arg)
{
  struct sink *sink = arg;
  if (sink->used == sizeof(sink->buf))
    flush(sink);
  sink->buf[sink->used++] = c;
}

void
vfprintf(int fd, const char *fmt, va_list ap)
{
  struct sink sink;
  sink.fd = fd;
  sink.used = 0;
  format(put_to_sink, &sink, fmt, ap);
  flush(&sink);
}

void
fprintf(int fd, const char *fmt, ...)
{
  va_list ap;
  va_start(ap, fmt);
  vfprintf(fd, fmt, ap);
  va_end(ap);
}

void
printf(const char *fmt, ...)
{
  va_list ap;
  va_start(ap, fmt);
  vfprintf(1, fmt, ap);
  va_end(ap);
}
