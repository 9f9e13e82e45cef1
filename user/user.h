// What user programs can call: the system calls, and the small library beside this
// file.
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/pagestat.h"
#include "kernel/stat.h"

#define NELEM(array) (sizeof(array) / sizeof((array)[0]))

// System calls. All return -1 when they fail, sbrk() as a pointer.
int fork(void);
void exit(int status) __attribute__((noreturn));
int wait(int *status);
int pipe(int fds[2]);
int read(int fd, void *buf, int n);
int kill(int pid);
int exec(const char *path, char **argv);
int fstat(int fd, struct stat *st);
int chdir(const char *path);
int dup(int fd);
int getpid(void);
char *sbrk(int n);
int sleep(int ticks);
int uptime(void);
int open(const char *path, int flags);
int write(int fd, const void *buf, int n);
int mknod(const char *path, short major, short minor);
int unlink(const char *path);
int link(const char *old, const char *new);
int mkdir(const char *path);
int close(int fd);
int pagestat(struct pagestat *out);
int pgdump(int pid, int kernel);
int poweroff(int code);

#define SBRK_FAILED ((char *)-1)

// ulib.c
void *memset(void *dst, int c, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memcpy(void *dst, const void *src, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
char *strcpy(char *dst, const char *src);
char *strchr(const char *s, char c);
bool parse_number(const char *s, int *out);
int stat(const char *path, struct stat *st);

// line.c
struct line_reader {
  int fd;
  int used; // bytes in buf
  int next; // the first of them that was not handed out
  char buf[512];
};
void line_reader_init(struct line_reader *in, int fd);
int read_line(struct line_reader *in, char *line, int max);

// printf.c: %d %u %x %p %s %c %%, and %ld %lu %lx
void format(void (*put)(char c, void *arg), void *arg, const char *fmt, va_list ap);
void vfprintf(int fd, const char *fmt, va_list ap);
void fprintf(int fd, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

// umalloc.c
void *malloc(size_t n);
void free(void *p);

// pages.c
const char *page_class_name(int class);
long pages_lost(const struct pagestat *before, const struct pagestat *after);
bool pages_same(const struct pagestat *before, const struct pagestat *after);
void pages_settle(const struct pagestat *before, struct pagestat *after, int ticks);
