// Replace a process's program. The new image is built aside, in tables that nobody has
// loaded; the old one stays whole until nothing can fail any more.

#include "defs.h"
#include "elf.h"
#include "file.h"
#include "memlayout.h"
#include "proc.h"
#include "stat.h"
#include "../faults/hook.h"

// A new image in the making.
struct image {
  pagetable_t pagetable;
  uint64_t sz;    // bytes of user memory so far
  uint64_t entry; // where the program begins
  uint64_t sp;    // its stack pointer, which is also its argv
};

// Whether a file with this header can be run here.
bool
elf_header_ok(const struct elfhdr *eh)
{
  return eh->magic == ELF_MAGIC && eh->class64 == 2 && eh->data == 1 &&
         eh->type == ELF_EXEC && eh->machine == ELF_RISCV && eh->entry < USERTOP &&
         (eh->phnum == 0 || eh->phentsize == sizeof(struct proghdr));
}

// Whether a segment can be loaded above the sz bytes that are there already.
bool
elf_segment_ok(const struct proghdr *ph, uint64_t sz)
{
  return ph->memsz >= ph->filesz && ph->vaddr % PGSIZE == 0 && ph->vaddr >= sz &&
         ph->vaddr <= USERTOP && ph->memsz <= USERTOP - ph->vaddr &&
         ph->off + ph->filesz >= ph->off && ph->off + ph->filesz <= UINT32_MAX;
}

// Read a segment's bytes from the file into the pages made for it. Returns 0 or -1.
static int
load_segment(struct image *im, struct inode *ip, const struct proghdr *ph)
{
  for (uint64_t done = 0; done < ph->filesz; done += PGSIZE) {
    uint64_t n = ph->filesz - done;
    if (n > PGSIZE)
      n = PGSIZE;
    uint64_t pa = walkaddr(im->pagetable, ph->vaddr + done);
    if (!pa || readi(ip, false, pa, ph->off + done, n) != (int)n)
      return -1;
  }
  return 0;
}

// Load the program in a locked inode into an empty image. Returns 0 or -1.
static int
load_program(struct image *im, struct inode *ip)
{
  struct elfhdr eh;
  if (readi(ip, false, (uint64_t)&eh, 0, sizeof(eh)) != sizeof(eh) ||
      !elf_header_ok(&eh))
    return -1;
  im->entry = eh.entry;
  for (int i = 0; i < eh.phnum; i++) {
    struct proghdr ph;
    uint64_t off = eh.phoff + i * sizeof(ph);
    if (off > UINT32_MAX ||
        readi(ip, false, (uint64_t)&ph, off, sizeof(ph)) != sizeof(ph))
      return -1;
    if (ph.type != ELF_LOAD || ph.memsz == 0)
      continue;
    uint64_t perm =
        (ph.flags & ELF_FLAG_X ? PTE_X : 0) | (ph.flags & ELF_FLAG_W ? PTE_W : 0);
    if (FAULT(user_text_writable))
      perm |= PTE_W;
    if (!elf_segment_ok(&ph, im->sz))
      return -1;
    uint64_t sz = uvmalloc(im->pagetable, im->sz, ph.vaddr + ph.memsz, perm);
    if (FAULT(exec_segment_unchecked) ? false : !sz)
      return -1;
    im->sz = sz;
    if (load_segment(im, ip, &ph))
      return -1;
  }
  return 0;
}

// Put the guard page and the stack above the program, with the argument strings
// and the array of pointers to them on the stack. Returns argc or -1.
static int
push_arguments(struct image *im, char **argv)
{
  uint64_t guard = PGROUNDUP(im->sz), perm = PTE_W;
  if (FAULT(user_stack_executable))
    perm |= PTE_X;
  uint64_t top =
      uvmalloc(im->pagetable, im->sz, guard + (1 + USERSTACK) * PGSIZE, perm);
  if (FAULT(exec_stack_unchecked) ? false : !top)
    return -1;
  im->sz = top;
  uvmclear(im->pagetable, guard);

  uint64_t bottom = guard + PGSIZE, sp = top;
  uint64_t pointers[MAXARG];
  int argc = 0;
  for (; argv[argc]; argc++) {
    uint64_t n = strlen(argv[argc]) + 1;
    if (argc == MAXARG - 1 || n > sp - bottom)
      return -1;
    sp = (sp - n) & ~15UL; // the ABI keeps sp 16-byte aligned
    if (sp < bottom || uvmwrite(im->pagetable, sp, argv[argc], n))
      return -1;
    pointers[argc] = sp;
  }
  pointers[argc] = 0;
  uint64_t n = (argc + 1) * sizeof(pointers[0]);
  if (n + 15 > sp - bottom)
    return -1;
  im->sp = (sp - n) & ~15UL;
  return uvmwrite(im->pagetable, im->sp, pointers, n) ? -1 : argc;
}

// Find the file and build the image and its mirror. Returns argc, or -1 with what there
// is of the image left in it.
static int
build_image(struct image *im, const char *path, char **argv)
{
  im->pagetable = proc_pagetable(myproc());
  if (FAULT(exec_table_unchecked) ? false : !im->pagetable)
    return -1;
  begin_op();
  struct inode *ip = namei(path);
  int loaded = -1;
  if (ip) {
    ilock(ip);
    if (ip->type == T_FILE)
      loaded = load_program(im, ip);
    iunlockput(ip);
  }
  end_op();
  if (FAULT(mirror_before_commit) && !loaded)
    mirror_map(myproc()->kpagetable, im->pagetable, 0, im->sz);
  return loaded ? -1 : push_arguments(im, argv);
}

// Put the image into the running process, and free what it ran before. Cannot fail.
static void
commit(struct image *im, pagetable_t mirror, const char *path)
{
  struct proc *p = myproc();
  pagetable_t oldtable = p->pagetable;
  uint64_t oldsz = p->sz;

  if (!FAULT(no_mirror_in_exec))
    mirror_swap(p->kpagetable, mirror);
  p->pagetable = im->pagetable;
  p->sz = im->sz;
  if (!FAULT(sfence_skipped_in_exec))
    sfence_vma(); // the kernel table is loaded; the user table will be, by the
                  // trampoline
  fence_i();

  if (!FAULT(exec_old_image_leaked))
    proc_freepagetable(oldtable, oldsz);
  if (!FAULT(exec_old_mirror_leaked))
    mirror_free(mirror);

  p->trapframe->epc = im->entry;
  p->trapframe->sp = im->sp;
  p->trapframe->a1 = im->sp; // argv; argc is the call's result

  const char *name = path;
  for (const char *s = path; *s; s++)
    if (*s == '/')
      name = s + 1;
  safestrcpy(p->name, name, sizeof(p->name));
}

// Run the program in the file at path with arguments argv, which ends with 0, in the
// running process. Returns argc, for the new program's a0, or -1 with nothing changed.
int
exec(const char *path, char **argv)
{
  struct image im = {0};
  int argc = build_image(&im, path, argv);
  pagetable_t mirror = argc < 0 ? 0 : mirror_build(im.pagetable, im.sz);
  if (!mirror) {
    if (FAULT(exec_size_first) && argc >= 0)
      myproc()->sz = im.sz;
    if (FAULT(exec_fail_leaks_image) ? false : im.pagetable != 0)
      proc_freepagetable(im.pagetable, im.sz);
    return -1;
  }
  commit(&im, mirror, path);

  // The lab asks for the table of the first process, once, as its exec returns.
  static bool printed;
  if (myproc()->pid == 1 && !printed) {
    printed = true;
    if (!FAULT(vmprint_not_called))
      vmprint(myproc()->pagetable);
  }
  return argc;
}

// Fetch the user's argument strings, each into a page of its own: fewer than MAXARG,
// with a 0 after the last. Returns 0, or -1 with what was fetched left in argv.
static int
fetch_arguments(char **argv, uint64_t uargv)
{
  for (int i = 0; i < MAXARG; i++) {
    uint64_t arg;
    if (copyin(&arg, uargv + i * sizeof(arg), sizeof(arg)))
      return -1;
    if (arg == 0)
      return 0;
    argv[i] = kalloc();
    if (FAULT(exec_argument_ends_list) && !argv[i])
      return 0;
    if ((FAULT(exec_argument_unchecked) ? false : !argv[i]) ||
        copyinstr(argv[i], arg, PGSIZE) < 0)
      return -1;
  }
  return -1;
}

uint64_t
sys_exec(void)
{
  char path[MAXPATH];
  char *argv[MAXARG] = {0};
  uint64_t uargv;
  argaddr(1, &uargv);
  int result = -1;
  if (argstr(0, path, MAXPATH) >= 0 && fetch_arguments(argv, uargv) == 0)
    result = exec(path, argv);
  for (int i = FAULT(exec_argument_leaked) ? 1 : 0; i < MAXARG && argv[i]; i++)
    kfree(argv[i]);
  return result;
}
