// What crashwork does to the file system, step by step, and what should be there after
// each step. Both follow from the seed alone.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define DIRS     4   // directories that files are in; number 0 is the work directory
#define NAMES    4   // names of files in each
#define FILES    12  // files at a time
#define UNIT     128 // bytes that are written together
#define MAXUNITS 160 // of a file: its direct blocks and some more
#define MAXWRITE 64  // units of one write(): more than the log takes at once

enum op {
  CREATE,       // an empty file
  APPEND,       // units at a file's end
  OVERWRITE,    // a file's first units
  TRUNCATE,     // a file to nothing
  LINK,         // another name for a file
  UNLINK,       // one of a file's names
  MAKE_DIR,     // a directory in the work directory
  REMOVE_DIR,   // an empty one
  ORPHAN,       // the only name of a file that is kept open
  GROW_ORPHAN,  // that file's first units, or more than it had
  CLOSE_ORPHAN, // that file
};

struct place {
  int dir;
  int name;
};

struct step {
  enum op op;
  int number; // from 1
  struct place at;
  struct place to; // LINK: the new name
  int units;       // APPEND, OVERWRITE, GROW_ORPHAN
};

struct content {
  int links; // names; 0 if there is no such file
  int units;
  uint16_t writer[MAXUNITS]; // step that wrote each
};

struct plan {
  uint32_t random;
  int steps;                // that were done
  struct step queue[2];     // that must come next
  int queued;               // how many
  bool dir[DIRS];           // which exist
  int8_t file[DIRS][NAMES]; // index into contents, -1 if there is no such name
  struct content contents[FILES];
};

// crashplan.c
void plan_start(struct plan *plan, uint32_t seed);
struct step plan_next(struct plan *plan);
int plan_file(const struct plan *plan, struct place at);
void plan_done(struct plan *plan, const struct step *step, int units);
bool writes_units(const struct step *step);
