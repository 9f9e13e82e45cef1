// malloc() and free(): one list of free blocks in the order of their addresses, the
// first that fits is taken, neighbours are joined when they are freed.
#include "user/user.h"

#define ALIGNMENT 16
#define GROWTH    16384 // bytes asked of the kernel at least

struct block {
  size_t size; // bytes, this header included; a multiple of ALIGNMENT
  struct block *next;
} __attribute__((aligned(ALIGNMENT)));

static struct block *free_list;

static bool
touching(const struct block *a, const struct block *b)
{
  return (const char *)a + a->size == (const char *)b;
}

static void
insert(struct block *b)
{
  struct block *before = 0;
  struct block *after = free_list;
  while (after && after < b) {
    before = after;
    after = after->next;
  }

  b->next = after;
  if (after && touching(b, after)) {
    b->size += after->size;
    b->next = after->next;
  }
  if (!before) {
    free_list = b;
  } else if (touching(before, b)) {
    before->size += b->size;
    before->next = b->next;
  } else {
    before->next = b;
  }
}

static bool
grow(size_t size)
{
  if (size < GROWTH)
    size = GROWTH;
  if (size > INT32_MAX - ALIGNMENT)
    return false;
  char *start = sbrk((int)size + ALIGNMENT);
  if (start == SBRK_FAILED)
    return false;
  // Other code may have left the end of memory unaligned.
  size_t skip = -(uintptr_t)start % ALIGNMENT;
  struct block *b = (struct block *)(start + skip);
  b->size = (size + ALIGNMENT - skip) / ALIGNMENT * ALIGNMENT;
  insert(b);
  return true;
}

static struct block *
take(size_t size)
{
  for (struct block **link = &free_list; *link; link = &(*link)->next) {
    struct block *b = *link;
    if (b->size < size)
      continue;
    if (b->size - size >= 2 * sizeof(struct block)) {
      struct block *rest = (struct block *)((char *)b + size);
      rest->size = b->size - size;
      rest->next = b->next;
      *link = rest;
      b->size = size;
    } else {
      *link = b->next;
    }
    return b;
  }
  return 0;
}

// n bytes, aligned to 16, contents undefined; 0 if the kernel has no memory left.
void *
malloc(size_t n)
{
  if (n > INT32_MAX)
    return 0;
  size_t size = sizeof(struct block) + (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  struct block *b = take(size);
  if (!b && grow(size))
    b = take(size);
  return b ? b + 1 : 0;
}

// p came from malloc() and was not freed since, or is 0.
void
free(void *p)
{
  if (p)
    insert((struct block *)p - 1);
}
