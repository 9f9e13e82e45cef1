// Strings, memory, numbers.
#include "user/user.h"
#include "kernel/fcntl.h"

void *
memset(void *dst, int c, size_t n)
{
  uint8_t *to = dst;
  while (n-- > 0)
    *to++ = (uint8_t)c;
  return dst;
}

// The ranges may overlap.
void *
memmove(void *dst, const void *src, size_t n)
{
  uint8_t *to = dst;
  const uint8_t *from = src;
  if (to <= from) {
    for (size_t i = 0; i < n; i++)
      to[i] = from[i];
  } else {
    for (size_t i = n; i > 0; i--)
      to[i - 1] = from[i - 1];
  }
  return dst;
}

void *
memcpy(void *dst, const void *src, size_t n)
{
  return memmove(dst, src, n);
}

int
memcmp(const void *a, const void *b, size_t n)
{
  const uint8_t *x = a, *y = b;
  for (size_t i = 0; i < n; i++)
    if (x[i] != y[i])
      return x[i] - y[i];
  return 0;
}

size_t
strlen(const char *s)
{
  const char *end = s;
  while (*end)
    end++;
  return (size_t)(end - s);
}

int
strcmp(const char *a, const char *b)
{
  size_t i = 0;
  while (a[i] && a[i] == b[i])
    i++;
  return (uint8_t)a[i] - (uint8_t)b[i];
}

char *
strcpy(char *dst, const char *src)
{
  return memcpy(dst, src, strlen(src) + 1);
}

// The first c in s, or 0. The final zero does not count.
char *
strchr(const char *s, char c)
{
  for (; *s; s++)
    if (*s == c)
      return (char *)s;
  return 0;
}

// Read a decimal number, with or without a minus sign. False, with *out untouched, if s
// is anything else or does not fit.
bool
parse_number(const char *s, int *out)
{
  bool minus = *s == '-';
  if (minus)
    s++;
  if (!*s)
    return false;
  long value = 0;
  for (; *s; s++) {
    if (*s < '0' || *s > '9' || value > INT32_MAX)
      return false;
    value = value * 10 + (*s - '0');
  }
  if (minus)
    value = -value;
  if (value > INT32_MAX || value < INT32_MIN)
    return false;
  *out = (int)value;
  return true;
}

// fstat() by name; -1 if it cannot be opened.
int
stat(const char *path, struct stat *st)
{
  int fd = open(path, O_RDONLY);
  if (fd < 0)
    return -1;
  int result = fstat(fd, st);
  close(fd);
  return result;
}
