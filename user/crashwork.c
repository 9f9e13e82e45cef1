// crashwork: changes files without end, in a way that can be told from the seed, so
// that after a power cut another run can say whether all is there that should be.
//
//   crashwork NONCE run SEED [WRITERS]
//     Works in the new directory cwSEED. Prints "@NONCE step K" when the last system
//     call of step K has returned, for K from 0, the directory itself. More writers
//     do the same for the next seeds, without a word.
//   crashwork NONCE verify SEED FROM TO
//     Prints "@NONCE verified K" if cwSEED is as step K leaves it, for the last K of
//     FROM to TO for which it is; the write of step K+1 may have been cut short after
//     any part. Else prints "@NONCE broken", and how it differs from step FROM.
#include "user/user.h"
#include "user/crashplan.h"
#include "kernel/fcntl.h"
#include "kernel/fs.h"

static uint32_t seed;
static const char *nonce;
static struct plan plan;
static int orphan = -1; // descriptor of the file without a name
static char units[MAXWRITE * UNIT];
static char difference[160]; // of the last comparison
static int different;        // the file it is about, -1 if it is about another thing

static void
put(char c, void *arg)
{
  int *used = arg;
  if (*used < (int)sizeof(difference) - 1)
    difference[(*used)++] = c;
}

// Note a difference; returns false.
static bool __attribute__((format(printf, 1, 2))) differs(const char *fmt, ...)
{
  int used = 0;
  va_list ap;
  va_start(ap, fmt);
  format(put, &used, fmt, ap);
  va_end(ap);
  difference[used] = '\0';
  return false;
}

// Below the work directory.
static const char *
directory_path(int dir)
{
  static char path[] = "d0";
  path[1] = (char)('0' + dir);
  return dir == 0 ? "." : path;
}

static const char *
file_path(struct place at, char *path)
{
  strcpy(path, directory_path(at.dir));
  strcpy(path + strlen(path), "/f0");
  path[strlen(path) - 1] = (char)('0' + at.name);
  return path;
}

// The bytes of a file's unit, as written by a step.
static void
fill(char *unit, int step, int index)
{
  uint32_t x = (seed * 31 + (uint32_t)step) * 2654435761U ^ (uint32_t)index * 40503U;
  for (int i = 0; i < UNIT; i++) {
    x = x * 1664525U + 1013904223U;
    unit[i] = (char)(x >> 24);
  }
}

static bool
skip(int fd, int count)
{
  static char unit[UNIT];
  for (int i = 0; i < count; i++)
    if (read(fd, unit, UNIT) != UNIT)
      return false;
  return true;
}

static bool
write_units(int fd, const struct step *step, int first)
{
  for (int i = 0; i < step->units; i++)
    fill(units + i * UNIT, step->number, first + i);
  return write(fd, units, step->units * UNIT) == step->units * UNIT;
}

// Open a file, write to it from unit first on if the step writes, and close it.
static bool
change_file(const char *path, int flags, const struct step *step, int first)
{
  int fd = open(path, flags);
  bool ok = fd >= 0;
  if (ok && writes_units(step))
    ok = skip(fd, first) && write_units(fd, step, first);
  return ok && close(fd) == 0;
}

// The system calls of a step. Only the last changes something, or nothing before it
// can be seen by name.
static bool
perform(const struct step *step)
{
  char path[8], to[8];
  file_path(step->at, path);
  int file = plan_file(&plan, step->at);
  switch (step->op) {
  case CREATE:
    return change_file(path, O_CREATE | O_RDWR, step, 0);
  case APPEND:
    return change_file(path, O_RDWR, step, plan.contents[file].units);
  case OVERWRITE:
    return change_file(path, O_WRONLY, step, 0);
  case TRUNCATE:
    return change_file(path, O_WRONLY | O_TRUNC, step, 0);
  case LINK:
    return link(path, file_path(step->to, to)) == 0;
  case UNLINK:
    return unlink(path) == 0;
  case MAKE_DIR:
    return mkdir(directory_path(step->at.dir)) == 0;
  case REMOVE_DIR:
    return unlink(directory_path(step->at.dir)) == 0;
  case ORPHAN:
    orphan = open(path, O_RDWR);
    return orphan >= 0 && unlink(path) == 0;
  case GROW_ORPHAN:
    return write_units(orphan, step, 0);
  case CLOSE_ORPHAN:
    return close(orphan) == 0;
  }
  return false;
}

static void
work_path(char *path)
{
  int used = 0;
  char digits[12];
  uint32_t rest = seed;
  do
    digits[used++] = (char)('0' + rest % 10);
  while (rest /= 10);
  strcpy(path, "/cw");
  for (path += 3; used > 0; path++)
    *path = digits[--used];
  *path = '\0';
}

static bool
make_work_directory(void)
{
  char path[16];
  work_path(path);
  if (mkdir(path) == 0 && chdir(path) == 0)
    return true;
  printf("@%s failed: cannot make %s\n", nonce, path);
  return false;
}

static int
run(bool aloud)
{
  plan_start(&plan, seed);
  for (;;) {
    if (aloud)
      printf("@%s step %d\n", nonce, plan.steps);
    struct step step = plan_next(&plan);
    if (!perform(&step)) {
      printf("@%s failed: operation %d of step %d\n", nonce, step.op, step.number);
      return 1;
    }
    plan_done(&plan, &step, step.units);
  }
}

static bool
same_content(int fd, const char *path, const struct content *content)
{
  static char found[UNIT], wanted[UNIT];
  for (int i = 0; i < content->units; i++) {
    fill(wanted, content->writer[i], i);
    if (read(fd, found, UNIT) != UNIT)
      return differs("%s: cannot read unit %d", path, i);
    if (memcmp(found, wanted, UNIT) != 0)
      return differs("%s: unit %d is not what step %d wrote", path, i,
                     content->writer[i]);
  }
  return true;
}

// Compare what a name stands for with the plan; its bytes only if asked to, for that
// takes longer. inums has each file's inode number, 0 while no name of it has been
// seen.
static bool
same_file(struct place at, uint32_t *inums, bool bytes)
{
  char path[8];
  struct stat st;
  int index = different = plan_file(&plan, at);
  int fd = open(file_path(at, path), O_RDONLY);
  if (index < 0) {
    if (fd < 0)
      return true;
    close(fd);
    return differs("%s should not be there", path);
  }
  const struct content *content = &plan.contents[index];
  if (fd < 0)
    return differs("%s is missing", path);
  bool same = fstat(fd, &st) == 0;
  if (inums[index] == 0)
    inums[index] = st.ino;
  if (!same || st.type != T_FILE || st.ino != inums[index])
    same = differs("%s is another inode: %u, type %d", path, st.ino, st.type);
  else if (st.nlink != content->links)
    same = differs("%s has %d links, should have %d", path, st.nlink, content->links);
  else if (st.size != (uint64_t)content->units * UNIT)
    same = differs("%s has %lu bytes, should have %d", path, st.size,
                   content->units * UNIT);
  else if (bytes)
    same = same_content(fd, path, content);
  close(fd);
  return same;
}

// Compare the number of entries: a name that nobody ever made would not be looked for.
static bool
same_directory(int dir)
{
  struct dirent entry;
  const char *path = directory_path(dir);
  different = -1;
  int fd = open(path, O_RDONLY);
  if (!plan.dir[dir]) {
    if (fd < 0)
      return true;
    close(fd);
    return differs("%s should not be there", path);
  }
  if (fd < 0)
    return differs("%s is missing", path);
  int wanted = 2, found = 0; // . and ..
  for (int i = 0; i < NAMES; i++)
    wanted += plan.file[dir][i] >= 0;
  for (int i = 1; dir == 0 && i < DIRS; i++)
    wanted += plan.dir[i];
  while (read(fd, &entry, sizeof(entry)) == sizeof(entry))
    found += entry.inum != 0;
  close(fd);
  return found == wanted ||
         differs("%s has %d entries, should have %d", path, found, wanted);
}

static bool
same_files(bool bytes)
{
  uint32_t inums[FILES];
  memset(inums, 0, sizeof(inums));
  for (int dir = 0; dir < DIRS; dir++)
    for (int name = 0; name < NAMES; name++) {
      struct place at = {dir, name};
      if (!same_file(at, inums, bytes))
        return false;
    }
  for (int i = 0; i < FILES; i++)
    for (int j = 0; j < i; j++)
      if (inums[i] != 0 && inums[i] == inums[j])
        return differs("two files share inode %u", inums[i]);
  return true;
}

static bool
same(void)
{
  for (int dir = 0; dir < DIRS; dir++)
    if (!same_directory(dir))
      return false;
  return same_files(false) && same_files(true);
}

// Whether the disk is as the steps so far leave it, and perhaps a part of the next one.
static bool
same_or_cut_short(void)
{
  static struct plan before;
  if (same())
    return true;
  int file = different;
  memcpy(&before, &plan, sizeof(plan));
  struct step step = plan_next(&plan);
  bool suspect = (step.op == APPEND || step.op == OVERWRITE) && file >= 0 &&
                 plan_file(&plan, step.at) == file;
  bool found = false;
  for (int i = 1; suspect && i < step.units && !found; i++) {
    memcpy(&plan, &before, sizeof(plan));
    plan_done(&plan, &step, i);
    uint32_t inums[FILES] = {0};
    found = same_file(step.at, inums, true) && same();
  }
  memcpy(&plan, &before, sizeof(plan));
  return found || same(); // notes the difference from the whole step
}

static int
verify(int from, int to)
{
  char path[16];
  work_path(path);
  if (chdir(path) < 0) {
    printf("@%s broken: %s is missing\n", nonce, path);
    return 1;
  }
  for (int last = to; last >= from; last--) {
    plan_start(&plan, seed);
    while (plan.steps < last) {
      struct step step = plan_next(&plan);
      plan_done(&plan, &step, step.units);
    }
    if (same_or_cut_short()) {
      printf("@%s verified %d\n", nonce, last);
      return 0;
    }
  }
  printf("@%s broken: after step %d, %s\n", nonce, from, difference);
  return 1;
}

int
main(int argc, char **argv)
{
  int number, from, to, writers = 1;
  if (argc < 4 || !parse_number(argv[3], &number) || number < 1)
    goto usage;
  nonce = argv[1];
  seed = (uint32_t)number;
  if (strcmp(argv[2], "verify") == 0 && argc == 6 && parse_number(argv[4], &from) &&
      parse_number(argv[5], &to))
    return verify(from, to);
  if (strcmp(argv[2], "run") != 0 || argc > 5 ||
      (argc == 5 && !parse_number(argv[4], &writers)))
    goto usage;
  // While nobody else writes: what others write at the same time may delay the commit.
  if (!make_work_directory())
    return 1;
  for (int i = 1; i < writers; i++)
    if (fork() == 0) {
      seed += (uint32_t)i;
      return make_work_directory() ? run(false) : 1;
    }
  return run(true);

usage:
  fprintf(2, "usage: crashwork NONCE run SEED [WRITERS] | verify SEED FROM TO\n");
  return 2;
}
