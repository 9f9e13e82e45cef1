// The C library's memory and string functions, as far as the kernel needs them. The
// compiler may call memset, memcpy, memmove and memcmp by itself.

#include "defs.h"

// Whole words can be moved between the two addresses.
static bool
aligned(const void *a, const void *b)
{
  return (((uintptr_t)a | (uintptr_t)b) & 7) == 0;
}

void *
memset(void *dst, int c, size_t n)
{
  uint8_t *d = dst;
  uint64_t word = 0x0101010101010101UL * (uint8_t)c;
  if (aligned(d, 0)) {
    // Pages are most of what is set: eight words a turn.
    for (uint64_t *w; n >= 64; n -= 64, d += 64) {
      w = (uint64_t *)d;
      w[0] = w[1] = w[2] = w[3] = w[4] = w[5] = w[6] = w[7] = word;
    }
    for (; n >= 8; n -= 8, d += 8)
      *(uint64_t *)d = word;
  }
  while (n-- > 0)
    *d++ = c;
  return dst;
}

void *
memmove(void *dst, const void *src, size_t n)
{
  uint8_t *d = dst;
  const uint8_t *s = src;
  if (d > s && d < s + n) {
    while (n-- > 0)
      d[n] = s[n];
    return dst;
  }
  if (aligned(d, s)) {
    for (; n >= 64; n -= 64, d += 64, s += 64) {
      uint64_t *to = (uint64_t *)d;
      const uint64_t *from = (const uint64_t *)s;
      uint64_t a = from[0], b = from[1], c = from[2], e = from[3];
      to[0] = a, to[1] = b, to[2] = c, to[3] = e;
      a = from[4], b = from[5], c = from[6], e = from[7];
      to[4] = a, to[5] = b, to[6] = c, to[7] = e;
    }
    for (; n >= 8; n -= 8, d += 8, s += 8)
      *(uint64_t *)d = *(const uint64_t *)s;
  }
  while (n-- > 0)
    *d++ = *s++;
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
  for (; n > 0; n--, x++, y++)
    if (*x != *y)
      return *x - *y;
  return 0;
}

size_t
strlen(const char *s)
{
  const char *p = s;
  while (*p)
    p++;
  return p - s;
}

int
strncmp(const char *a, const char *b, size_t n)
{
  for (; n > 0; n--, a++, b++)
    if (*a != *b || !*a)
      return (uint8_t)*a - (uint8_t)*b;
  return 0;
}

// Copy at most n bytes and fill the rest with zeros; no final zero if src has n or
// more.
char *
strncpy(char *dst, const char *src, size_t n)
{
  size_t i = 0;
  for (; i < n && src[i]; i++)
    dst[i] = src[i];
  memset(dst + i, 0, n - i);
  return dst;
}

// Copy as much of src as fits into n > 0 bytes with a final zero.
char *
safestrcpy(char *dst, const char *src, size_t n)
{
  size_t i = 0;
  for (; i + 1 < n && src[i]; i++)
    dst[i] = src[i];
  dst[i] = 0;
  return dst;
}
