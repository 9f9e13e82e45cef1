// Pipes: a ring of bytes between those who write and those who read.
//
// A pipe's lock protects everything in it, and is held while bytes are copied: user
// memory is reached without sleeping. Readers sleep on &nread, writers on &nwrite,
// which are in the pipe's own page.

#include "defs.h"
#include "file.h"
#include "proc.h"
#include "../faults/hook.h"

#define PIPESIZE 512

struct pipe {
  struct spinlock lock;
  uint32_t nread;  // bytes read ever; the next is data[nread % PIPESIZE]
  uint32_t nwrite; // bytes written ever
  bool readable;   // some file to read it is open
  bool writable;   // some file to write it is open
  char data[PIPESIZE];
};

_Static_assert(sizeof(struct pipe) <= PGSIZE, "a pipe must fit into a page");

// A pipe and one open file for each end. Returns 0, or -1 with nothing kept if there is
// no memory or no free file.
int
pipealloc(struct file **rf, struct file **wf)
{
  struct pipe *pi = FAULT(kalloc_fails_in_pipealloc) ? 0 : kalloc_for(PAGE_PIPE);
  struct file *r = (FAULT(pipe_unchecked) ? true : pi != 0) ? filealloc() : 0;
  struct file *w = r ? filealloc() : 0;
  if (!w) {
    if (r)
      fileclose(r);
    if (FAULT(pipe_fail_frees_anyway) ? true : pi != 0)
      kfree(pi);
    return -1;
  }
  initlock(&pi->lock, "pipe");
  pi->nread = pi->nwrite = 0;
  pi->readable = pi->writable = true;
  r->type = w->type = FD_PIPE;
  r->pipe = w->pipe = pi;
  r->readable = w->writable = true;
  *rf = r;
  *wf = w;
  return 0;
}

// The last file for one end was closed: the writing one if writable is set. The pipe
// goes with the second.
void
pipeclose(struct pipe *pi, bool writable)
{
  acquire(&pi->lock);
  if (writable) {
    pi->writable = false;
    wakeup(&pi->nread);
  } else {
    pi->readable = false;
    wakeup(&pi->nwrite);
  }
  bool unused = !pi->readable && !pi->writable;
  release(&pi->lock);
  if (FAULT(pipe_freed_early))
    unused = true;
  if (FAULT(pipe_not_freed))
    unused = false;
  if (unused)
    kfree(pi);
}

// How many bytes can be copied in one go: n at most, without wrapping around the ring
// at pos, and without leaving the user's page, so that a bad page spoils none before
// it.
static uint32_t
run_length(uint32_t n, uint32_t pos, uint64_t addr)
{
  uint32_t ring = PIPESIZE - pos % PIPESIZE, page = PGSIZE - addr % PGSIZE;
  if (n > ring)
    n = ring;
  return n > page ? page : n;
}

// Write n bytes from user address addr, waiting for room. Returns n; fewer if the
// memory after those is bad; -1 if that is so from the start, if nobody can read the
// pipe any more, or if the process was killed.
int
pipewrite(struct pipe *pi, uint64_t addr, int n)
{
  int done = 0;
  bool bad = false;
  acquire(&pi->lock);
  while (done < n && !bad) {
    if (!pi->readable || killed(myproc())) {
      release(&pi->lock);
      return -1;
    }
    uint32_t room = PIPESIZE - (pi->nwrite - pi->nread);
    if (room == 0) {
      sleep(&pi->nwrite, &pi->lock);
      continue;
    }
    uint32_t part = run_length(n - done, pi->nwrite, addr + done);
    if (part > room)
      part = room;
    bad = copyin(&pi->data[pi->nwrite % PIPESIZE], addr + done, part);
    if (!bad) {
      pi->nwrite += part;
      done += part;
      wakeup(&pi->nread);
    }
  }
  release(&pi->lock);
  return bad && done == 0 ? -1 : done;
}

// Read up to n bytes to user address addr, waiting until there are some. Returns how
// many; 0 if there will be none any more; -1 if the memory is bad from the start, or if
// the process was killed. What could not be copied stays in the pipe.
int
piperead(struct pipe *pi, uint64_t addr, int n)
{
  int done = 0;
  bool bad = false;
  acquire(&pi->lock);
  while (pi->nread == pi->nwrite && pi->writable) {
    if (killed(myproc())) {
      release(&pi->lock);
      return -1;
    }
    sleep(&pi->nread, &pi->lock);
  }
  while (done < n && pi->nread != pi->nwrite && !bad) {
    uint32_t part = run_length(n - done, pi->nread, addr + done);
    if (part > pi->nwrite - pi->nread)
      part = pi->nwrite - pi->nread;
    bad = copyout(addr + done, &pi->data[pi->nread % PIPESIZE], part);
    if (!bad) {
      pi->nread += part;
      done += part;
    }
  }
  wakeup(&pi->nwrite);
  release(&pi->lock);
  return bad && done == 0 ? -1 : done;
}
