// Every function that one file of the kernel offers to the others, by file. What each
// promises stands over its definition.
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pagestat.h"
#include "riscv.h"

struct buf;
struct context;
struct cpu;
struct device;
struct elfhdr;
struct file;
struct inode;
struct ktrapframe;
struct pipe;
struct proc;
struct proghdr;
struct sleeplock;
struct spinlock;
struct stat;
struct superblock;

#define NELEM(array) (sizeof(array) / sizeof((array)[0]))

// bio.c
void binit(void);
struct buf *bread(uint32_t dev, uint32_t blockno);
void bwrite(struct buf *b);
void brelse(struct buf *b);
void bpin(struct buf *b);
void bunpin(struct buf *b);

// console.c
void consoleinit(void);
void consoleintr(int c);
void consputc(int c);

// exec.c
int exec(const char *path, char **argv);
bool elf_header_ok(const struct elfhdr *eh);
bool elf_segment_ok(const struct proghdr *ph, uint64_t sz);

// file.c
void fileinit(void);
struct file *filealloc(void);
struct file *filedup(struct file *f);
void fileclose(struct file *f);
int fileread(struct file *f, uint64_t addr, int n);
int filewrite(struct file *f, uint64_t addr, int n);
int filestat(struct file *f, uint64_t addr);

// fs.c
void fsinit(uint32_t dev);
void inodeinit(void);
bool is_data_block(uint32_t b);
uint32_t balloc(uint32_t dev);
void bfree(uint32_t dev, uint32_t b);
struct inode *iget(uint32_t dev, uint32_t inum);
struct inode *ialloc(uint32_t dev, int16_t type);
struct inode *idup(struct inode *ip);
void ilock(struct inode *ip);
void iunlock(struct inode *ip);
void iput(struct inode *ip);
void iunlockput(struct inode *ip);
void iupdate(struct inode *ip);

// bmap.c
void itrunc(struct inode *ip);
void stati(struct inode *ip, struct stat *st);
int readi(struct inode *ip, bool user, uint64_t dst, uint32_t off, uint32_t n);
int writei(struct inode *ip, bool user, uint64_t src, uint32_t off, uint32_t n);

// dir.c
struct inode *dirlookup(struct inode *dp, const char *name, uint32_t *off);
int dirlink(struct inode *dp, const char *name, uint32_t inum);
bool dirempty(struct inode *dp);
const char *path_next(const char *path, char *name);
struct inode *namei(const char *path);
struct inode *nameiparent(const char *path, char *name);

// kalloc.c
void kinit(void);
void *kalloc(void);
void kfree(void *pa);
void page_retag(void *pa, enum page_class class);
void pagestat(struct pagestat *out);

// log.c
void initlog(uint32_t dev, const struct superblock *sb);
void begin_op(void);
void end_op(void);
void log_write(struct buf *b);

// panic.c
bool panicked_elsewhere(void);
void panic(const char *message, ...) __attribute__((noreturn, format(printf, 1, 2)));
void panic_trap(const struct ktrapframe *tf, const char *what)
    __attribute__((noreturn));
void backtrace(uint64_t fp, uint64_t ra);

// pipe.c
int pipealloc(struct file **rf, struct file **wf);
void pipeclose(struct pipe *pi, bool writable);
int piperead(struct pipe *pi, uint64_t addr, int n);
int pipewrite(struct pipe *pi, uint64_t addr, int n);

// plic.c
void plicinit(void);
void plicinithart(void);
int plic_claim(void);
void plic_complete(int irq);

// printf.c
void printfinit(void);
void printf(const char *message, ...) __attribute__((format(printf, 1, 2)));
void format(void (*put)(int c, void *arg), void *arg, const char *message, va_list ap);
void printf_unlocked(void);

// proc.c
extern struct spinlock wait_lock;
void procinit(void);
void userinit(void);
void freeproc(struct proc *p);
void forkret(void);
int fork(void);
void exit(int status) __attribute__((noreturn));
int wait(uint64_t addr);
int kill(int pid);
void setkilled(struct proc *p);
bool killed(struct proc *p);
int growproc(int64_t n);
pagetable_t proc_pagetable(struct proc *p);
void proc_freepagetable(pagetable_t pagetable, uint64_t sz);

// procdump.c
int pgdump(int pid, bool kernel);
void procdump(void);
void tabledump(void);

// sched.c
struct proc *myproc(void);
void scheduler(void) __attribute__((noreturn));
void sched(void);
void yield(void);
void sleep(void *chan, struct spinlock *lk);
void wakeup(void *chan);

// kstats.c
void kstatsinit(void);

// sleeplock.c
void initsleeplock(struct sleeplock *lk, const char *name);
void acquiresleep(struct sleeplock *lk);
void releasesleep(struct sleeplock *lk);
bool holdingsleep(struct sleeplock *lk);

// spinlock.c
void initlock(struct spinlock *lk, const char *name);
void acquire(struct spinlock *lk);
void release(struct spinlock *lk);
bool holding(struct spinlock *lk);
void push_off(void);
void pop_off(void);

// string.c
void *memset(void *dst, int c, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memcpy(void *dst, const void *src, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
int strncmp(const char *a, const char *b, size_t n);
char *strncpy(char *dst, const char *src, size_t n);
char *safestrcpy(char *dst, const char *src, size_t n);

// swtch.S
void swtch(struct context *save, struct context *load);

// sysdir.c
struct inode *create(const char *path, int16_t type, int16_t major, int16_t minor);

// syscall.c
void syscall(void);
int argint(int n, int *out);
int argaddr(int n, uint64_t *out);
int argstr(int n, char *buf, int max);

// trap.c
extern struct spinlock tickslock;
extern unsigned ticks;
void trapinit(void);
void trapinithart(void);
void usertrapret(void) __attribute__((noreturn));

// uart.c
void uartinit(void);
void uartintr(void);
void uartputc(int c);
void uartputc_sync(int c);

// copy.S, usercopy.c
int copyin(void *dst, uint64_t src, uint64_t n);
int copyout(uint64_t dst, const void *src, uint64_t n);
int copyinstr(char *dst, uint64_t src, uint64_t max);
int copy_from(bool user, void *dst, uint64_t src, uint64_t n);
int copy_to(bool user, uint64_t dst, const void *src, uint64_t n);
uint64_t usercopy_fixup(uint64_t pc);

// virtio_disk.c
void virtio_disk_init(void);
void virtio_disk_rw(struct buf *b, bool write);
void virtio_disk_intr(void);

// vm.c
extern pagetable_t kernel_pagetable;
void kvminit(void);
void kvminithart(void);
void kvmswitch(pagetable_t table);
pte_t *walk(pagetable_t table, uint64_t va, bool alloc);
int mappages(pagetable_t table, uint64_t va, uint64_t size, uint64_t pa, uint64_t perm);
void unmappages(pagetable_t table, uint64_t va, uint64_t npages);
uint64_t kvmpa(uint64_t va);
pagetable_t kvmcreate(void);
void kvmfree(pagetable_t table);

// uvm.c
pagetable_t uvmcreate(void);
uint64_t uvmalloc(pagetable_t table, uint64_t oldsz, uint64_t newsz, uint64_t perm);
uint64_t uvmdealloc(pagetable_t table, uint64_t oldsz, uint64_t newsz);
void uvmunmap(pagetable_t table, uint64_t va, uint64_t npages, bool free);
int uvmcopy(pagetable_t from, pagetable_t to, uint64_t sz);
void uvmfree(pagetable_t table, uint64_t sz);
void uvmclear(pagetable_t table, uint64_t va);
int uvmwrite(pagetable_t table, uint64_t va, const void *src, uint64_t n);
uint64_t walkaddr(pagetable_t table, uint64_t va);

// mirror.c
int mirror_map(pagetable_t ktable, pagetable_t utable, uint64_t from, uint64_t to);
void mirror_unmap(pagetable_t ktable, uint64_t from, uint64_t to);
pagetable_t mirror_build(pagetable_t utable, uint64_t sz);
void mirror_swap(pagetable_t ktable, pagetable_t mirror);
void mirror_free(pagetable_t mirror);

// vmprint.c
void vmprint(pagetable_t table);

// One page for a given use, or 0. Inline, so that kalloc's return address is in the
// function that asks.
static inline void *kalloc_for(enum page_class class)
{
  void *pa = kalloc();
  if (pa)
    page_retag(pa, class);
  return pa;
}

// system calls, by file
uint64_t sys_exec(void);     // exec.c
uint64_t sys_pagestat(void); // kstats.c
uint64_t sys_chdir(void), sys_close(void), sys_dup(void), sys_fstat(void),
    sys_link(void), sys_mkdir(void), sys_mknod(void), sys_open(void), sys_pipe(void),
    sys_read(void), sys_unlink(void), sys_write(void); // sysfile.c
uint64_t sys_exit(void), sys_fork(void), sys_getpid(void), sys_kill(void),
    sys_pgdump(void), sys_poweroff(void), sys_sbrk(void), sys_sleep(void),
    sys_uptime(void), sys_wait(void); // sysproc.c
