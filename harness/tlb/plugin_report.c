#include "plugin_report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Places are kept in a hash table with open addressing that doubles when it is half
// full; a site is an index into `places`, plus one.
static struct place *places;
static uint64_t place_count, place_room;
static uint32_t *slots;
static uint64_t slot_count;

// What has been reported.
struct seen {
  enum tlb_rule rule;
  uint64_t change, use;
};
static struct seen *seen;
static unsigned seen_count, seen_limit;
static bool more, paging;
static FILE *out;

static void *
need(void *memory)
{
  if (memory == NULL) {
    fprintf(stderr, "faultline-tlb: out of memory\n");
    exit(1);
  }
  return memory;
}

bool
report_open(const char *path, unsigned limit, unsigned harts)
{
  out = fopen(path, "we");
  if (out == NULL)
    return false;
  setvbuf(out, NULL, _IOLBF, 0); // whole lines, for who reads while the guest runs
  seen_limit = limit;
  seen = need(calloc(limit + 1, sizeof(*seen)));
  fprintf(out, "{\"faultline-tlb\": 1, \"harts\": %u}\n", harts);
  return true;
}

static uint64_t
hash_of(const struct place *place)
{
  uint64_t hash = place->pc;
  for (int i = 0; i < PATH_DEPTH; i++)
    hash = (hash ^ place->path[i]) * 0x9e3779b97f4a7c15ull;
  return hash ^ hash >> 29;
}

static void
grow_slots(void)
{
  slot_count = slot_count ? 2 * slot_count : 1024;
  slots = need(realloc(slots, slot_count * sizeof(*slots)));
  memset(slots, 0, slot_count * sizeof(*slots));
  for (uint64_t i = 0; i < place_count; i++) {
    uint64_t at = hash_of(&places[i]) % slot_count;
    while (slots[at] != 0)
      at = (at + 1) % slot_count;
    slots[at] = (uint32_t)(i + 1);
  }
}

tlb_site
report_site(const struct place *place)
{
  if (2 * (place_count + 1) > slot_count)
    grow_slots();
  uint64_t at = hash_of(place) % slot_count;
  for (; slots[at] != 0; at = (at + 1) % slot_count)
    if (memcmp(&places[slots[at] - 1], place, sizeof(*place)) == 0)
      return slots[at];
  if (place_count == place_room) {
    place_room = place_room ? 2 * place_room : 512;
    places = need(realloc(places, place_room * sizeof(*places)));
  }
  places[place_count++] = *place;
  return slots[at] = (uint32_t)place_count;
}

static const struct place *
place_of(tlb_site site)
{
  return site != 0 && site <= place_count ? &places[site - 1] : NULL;
}

static void
write_place(const char *key, const struct place *place)
{
  if (place == NULL)
    return;
  fprintf(out, ", \"%s\": {\"pc\": \"0x%" PRIx64 "\", \"path\": [", key, place->pc);
  for (int i = 0; i < PATH_DEPTH && place->path[i] != 0; i++)
    fprintf(out, "%s\"0x%" PRIx64 "\"", i ? ", " : "", place->path[i]);
  fputs("]}", out);
}

// Whether this is the first violation with its rule, change and use.
static bool
is_new(const struct tlb_violation *v, const struct place *change,
       const struct place *use)
{
  struct seen one = {v->rule, change ? change->pc : 0, use ? use->pc : 0};
  for (unsigned i = 0; i < seen_count; i++)
    if (seen[i].rule == one.rule && seen[i].change == one.change &&
        seen[i].use == one.use)
      return false;
  if (seen_count == seen_limit) {
    if (!more)
      fputs("{\"more\": true}\n", out);
    more = true;
    return false;
  }
  seen[seen_count++] = one;
  return true;
}

void
report_violation(const struct tlb_violation *v, const struct place *use)
{
  static const char *const kinds[] = {"fetch", "load", "store", "none"};
  const struct place *change = place_of(v->change);
  if (use == NULL)
    use = place_of(v->use);
  if (!is_new(v, change, use))
    return;

  fprintf(out,
          "{\"rule\": \"%s\", \"severity\": \"%s\", \"hart\": %u, \"va\": \"0x%" PRIx64
          "\", \"asid\": %u, \"change_hart\": %u, \"use_hart\": %u, \"level\": %d",
          tlb_rule_name(v->rule), tlb_severity_name(v->severity), v->hart, v->va,
          v->asid, v->change_hart, v->use_hart, v->level);
  fprintf(out,
          ", \"left\": %s, \"entry\": \"0x%" PRIx64 "\", \"old\": \"0x%" PRIx64
          "\", \"new\": \"0x%" PRIx64 "\", \"page\": \"0x%" PRIx64
          "\", \"was_freed\": %s, \"was_reused\": %s",
          v->left ? "true" : "false", v->entry, v->old_pte, v->new_pte, v->page,
          v->was_freed ? "true" : "false", v->was_reused ? "true" : "false");
  fprintf(out, ", \"access\": \"%s\", \"fence\": \"%s\"", kinds[v->kind],
          tlb_fence_name(v->fence));
  write_place("change", change);
  write_place("use", use);
  write_place("freed", place_of(v->freed));
  fputs("}\n", out);
}

void
report_paging(void)
{
  if (!paging)
    fputs("{\"paging\": true}\n", out);
  paging = true;
}
