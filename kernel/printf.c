// Formatted output for the kernel's messages.

#include "defs.h"
#include "spinlock.h"

static struct {
  struct spinlock lock;
  bool unlocked; // panic: whoever holds the lock may never let go
} pr;

void
printfinit(void)
{
  initlock(&pr.lock, "printf");
}

// From now on print without the lock.
void
printf_unlocked(void)
{
  pr.unlocked = true;
}

// One conversion: what stands between % and its letter.
struct spec {
  bool left; // - pad on the right
  bool zero; // 0 pad with zeros
  int width; // least number of characters
  int longs; // l, ll or z
};

struct sink {
  void (*put)(int c, void *arg);
  void *arg;
};

static void
pad(struct sink *out, int c, int n)
{
  while (n-- > 0)
    out->put(c, out->arg);
}

// Put out n bytes of text, padded to the width.
static void
put_text(struct sink *out, const struct spec *spec, const char *text, int n)
{
  int fill = spec->width - n;
  if (!spec->left)
    pad(out, ' ', fill);
  for (int i = 0; i < n; i++)
    out->put(text[i], out->arg);
  if (spec->left)
    pad(out, ' ', fill);
}

// Put out a number after its sign or prefix; zeros fill up between the two.
static void
put_number(struct sink *out, const struct spec *spec, const char *prefix,
           uint64_t value, unsigned base)
{
  char text[3 + 64];
  int n = sizeof(text), prefixed = strlen(prefix);
  int least = spec->zero && !spec->left ? spec->width - prefixed : 0;
  int digits = 0;
  if (least > 64)
    least = 64;
  do {
    text[--n] = "0123456789abcdef"[value % base];
    value /= base;
    digits++;
  } while (value != 0 || digits < least);
  while (prefixed > 0)
    text[--n] = prefix[--prefixed];
  put_text(out, spec, text + n, sizeof(text) - n);
}

// Read the flags, width and length after a %. Returns where the letter stands.
static const char *
parse(const char *s, struct spec *spec)
{
  *spec = (struct spec){0};
  for (; *s == '-' || *s == '0'; s++)
    if (*s == '-')
      spec->left = true;
    else
      spec->zero = true;
  for (; *s >= '0' && *s <= '9'; s++)
    spec->width = spec->width * 10 + (*s - '0');
  for (; *s == 'l' || *s == 'z'; s++)
    spec->longs++;
  return s;
}

// Put out a message: %d %i %u %x %p %s %c %%, with flags - and 0, a width, and lengths
// l, ll and z, as in C. A conversion that is none of these is put out as it stands.
void
format(void (*put)(int c, void *arg), void *arg, const char *message, va_list ap)
{
  struct sink out = {put, arg};
  for (const char *s = message; *s; s++) {
    if (*s != '%') {
      put(*s, arg);
      continue;
    }
    struct spec spec;
    const char *letter = parse(s + 1, &spec);
    switch (*letter) {
    case 'd':
    case 'i': {
      int64_t v = spec.longs ? va_arg(ap, int64_t) : va_arg(ap, int);
      put_number(&out, &spec, v < 0 ? "-" : "", v < 0 ? -(uint64_t)v : (uint64_t)v, 10);
      break;
    }
    case 'u':
    case 'x': {
      uint64_t v = spec.longs ? va_arg(ap, uint64_t) : va_arg(ap, unsigned);
      put_number(&out, &spec, "", v, *letter == 'x' ? 16 : 10);
      break;
    }
    case 'p':
      spec.zero = true;
      spec.width = 18;
      put_number(&out, &spec, "0x", (uint64_t)va_arg(ap, void *), 16);
      break;
    case 's': {
      const char *text = va_arg(ap, const char *);
      if (!text)
        text = "(null)";
      put_text(&out, &spec, text, strlen(text));
      break;
    }
    case 'c': {
      char c = va_arg(ap, int);
      put_text(&out, &spec, &c, 1);
      break;
    }
    case '%':
      put('%', arg);
      break;
    default: // show the mistake
      put('%', arg);
      letter = s;
      break;
    }
    s = letter;
  }
}

static void
put_console(int c, void *unused)
{
  (void)unused;
  consputc(c);
}

// Print on the console. May be called from anywhere, interrupt handlers included.
void
printf(const char *message, ...)
{
  bool locked = !pr.unlocked;
  if (locked)
    acquire(&pr.lock);
  va_list ap;
  va_start(ap, message);
  format(put_console, 0, message, ap);
  va_end(ap);
  if (locked)
    release(&pr.lock);
}
