// ls [NAME...]: name, type, inode number and size of files, or of what is in a
// directory.
#include "user/user.h"
#include "kernel/fcntl.h"
#include "kernel/fs.h"
#include "kernel/param.h"

static void
print_entry(const char *name, const struct stat *st)
{
  char padded[DIRSIZ + 1];
  size_t n = strlen(name);
  if (n > DIRSIZ)
    n = DIRSIZ;
  memset(padded, ' ', DIRSIZ);
  memcpy(padded, name, n);
  padded[DIRSIZ] = '\0';
  printf("%s %d %u %lu\n", padded, st->type, st->ino, st->size);
}

static int
list_directory(int fd, const char *path)
{
  char name[MAXPATH];
  size_t prefix = strlen(path);
  if (prefix + 1 + DIRSIZ + 1 > sizeof(name)) {
    fprintf(2, "ls: path too long: %s\n", path);
    return 1;
  }
  strcpy(name, path);
  name[prefix++] = '/';

  int status = 0;
  struct dirent entry;
  while (read(fd, &entry, sizeof(entry)) == sizeof(entry)) {
    if (entry.inum == 0)
      continue;
    memcpy(name + prefix, entry.name, DIRSIZ);
    name[prefix + DIRSIZ] = '\0';
    struct stat st;
    if (stat(name, &st) < 0) {
      fprintf(2, "ls: cannot stat %s\n", name);
      status = 1;
      continue;
    }
    print_entry(name + prefix, &st);
  }
  return status;
}

static const char *
last_name(const char *path)
{
  const char *name = path;
  for (const char *p = path; *p; p++)
    if (p[0] == '/' && p[1] != '\0')
      name = p + 1;
  return name;
}

static int
list(const char *path)
{
  struct stat st;
  int fd = open(path, O_RDONLY);
  if (fd < 0 || fstat(fd, &st) < 0) {
    fprintf(2, "ls: cannot open %s\n", path);
    if (fd >= 0)
      close(fd);
    return 1;
  }
  int status = 0;
  if (st.type == T_DIR)
    status = list_directory(fd, path);
  else
    print_entry(last_name(path), &st);
  close(fd);
  return status;
}

int
main(int argc, char **argv)
{
  if (argc < 2)
    return list(".");
  int status = 0;
  for (int i = 1; i < argc; i++)
    status |= list(argv[i]);
  return status;
}
