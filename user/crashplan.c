// The sequence of steps, and the model of a file system that it is made with.
#include "user/user.h"
#include "user/crashplan.h"

// Marsaglia's xorshift: the next of a sequence of numbers, below limit.
static int
draw(struct plan *plan, int limit)
{
  uint32_t x = plan->random;
  x ^= x << 13;
  x ^= x >> 17;
  x ^= x << 5;
  plan->random = x;
  return (int)(x % (uint32_t)limit);
}

// An empty work directory.
void
plan_start(struct plan *plan, uint32_t seed)
{
  memset(plan, 0, sizeof(*plan));
  plan->random = seed * 2654435761U | 1;
  plan->dir[0] = true;
  memset(plan->file, -1, sizeof(plan->file));
}

// The index in plan->contents of the file of that name, or -1.
int
plan_file(const struct plan *plan, struct place at)
{
  return plan->file[at.dir][at.name];
}

bool
writes_units(const struct step *step)
{
  return step->op == APPEND || step->op == OVERWRITE || step->op == GROW_ORPHAN;
}

static int
unused_content(const struct plan *plan)
{
  for (int i = 0; i < FILES; i++)
    if (plan->contents[i].links == 0)
      return i;
  return -1;
}

static bool
empty(const struct plan *plan, int dir)
{
  for (int i = 0; i < NAMES; i++)
    if (plan->file[dir][i] >= 0)
      return false;
  return true;
}

static struct place
draw_place(struct plan *plan)
{
  struct place at;
  at.dir = draw(plan, DIRS);
  at.name = draw(plan, NAMES);
  return at;
}

// Whether the step would succeed now.
static bool
possible(const struct plan *plan, const struct step *step)
{
  int file = plan_file(plan, step->at);
  const struct content *content = file >= 0 ? &plan->contents[file] : 0;
  switch (step->op) {
  case CREATE:
    return plan->dir[step->at.dir] && !content && unused_content(plan) >= 0;
  case APPEND:
    return content && content->units + step->units <= MAXUNITS;
  case OVERWRITE:
  case UNLINK:
    return content;
  case TRUNCATE:
    return content && content->units > 0;
  case LINK:
    return content && plan->dir[step->to.dir] && plan_file(plan, step->to) < 0;
  case MAKE_DIR:
    return !plan->dir[step->at.dir];
  case REMOVE_DIR:
    return step->at.dir > 0 && plan->dir[step->at.dir] && empty(plan, step->at.dir);
  case ORPHAN:
    return content && content->links == 1;
  default:
    return false;
  }
}

static void
enqueue(struct plan *plan, struct step step, enum op op)
{
  step.op = op;
  step.number++;
  if (plan->queued > 0)
    step.number++;
  plan->queue[plan->queued++] = step;
}

// The step after those that were done. Writing is the most frequent; a new name is
// often followed by the end of the old one, which makes it a renaming.
struct step
plan_next(struct plan *plan)
{
  static const enum op ops[] = {
      CREATE,   CREATE, CREATE, APPEND, APPEND, APPEND,   APPEND,     OVERWRITE,
      TRUNCATE, LINK,   LINK,   UNLINK, UNLINK, MAKE_DIR, REMOVE_DIR, ORPHAN,
  };
  if (plan->queued > 0) {
    struct step step = plan->queue[0];
    plan->queue[0] = plan->queue[1];
    plan->queued--;
    return step;
  }
  struct step step;
  do {
    step.op = ops[draw(plan, NELEM(ops))];
    step.number = plan->steps + 1;
    step.at = draw_place(plan);
    step.to = draw_place(plan);
    step.units = 1 + draw(plan, MAXWRITE);
  } while (!possible(plan, &step));
  if (step.op == LINK && draw(plan, 3) > 0)
    enqueue(plan, step, UNLINK);
  if (step.op == ORPHAN) {
    enqueue(plan, step, GROW_ORPHAN);
    enqueue(plan, step, CLOSE_ORPHAN);
  }
  return step;
}

// Note what a step has changed. Of a writing step, that was its first so many units.
void
plan_done(struct plan *plan, const struct step *step, int units)
{
  int8_t *file = &plan->file[step->at.dir][step->at.name];
  struct content *content = *file >= 0 ? &plan->contents[*file] : 0;
  int first = step->op == APPEND ? content->units : 0;
  plan->steps = step->number;
  switch (step->op) {
  case CREATE:
    *file = (int8_t)unused_content(plan);
    plan->contents[*file].links = 1;
    plan->contents[*file].units = 0;
    break;
  case APPEND:
  case OVERWRITE:
    for (int i = first; i < first + units; i++)
      content->writer[i] = (uint16_t)step->number;
    if (content->units < first + units)
      content->units = first + units;
    break;
  case TRUNCATE:
    content->units = 0;
    break;
  case LINK:
    content->links++;
    plan->file[step->to.dir][step->to.name] = *file;
    break;
  case UNLINK:
  case ORPHAN:
    content->links--;
    *file = -1;
    break;
  case MAKE_DIR:
    plan->dir[step->at.dir] = true;
    break;
  case REMOVE_DIR:
    plan->dir[step->at.dir] = false;
    break;
  case GROW_ORPHAN:
  case CLOSE_ORPHAN: // nothing that has a name
    break;
  }
}
