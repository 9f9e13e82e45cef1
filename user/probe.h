// The probe's commands; see probe.c. Each returns the probe's exit status.
#pragma once

#include "probe_sys.h"

// -1 without an answer if there is no such action, or it cannot be done so often.
int leak_command(const char *name, uint64_t rounds);
void list_actions(void);

int poses(void);

// Make a system call without arguments that only the tree under test has.
int call_and_pose(long number);

// Grow and shrink as told on fd, until nobody can tell any more.
void obey(int fd);

// Fail the allocations of a workload, one after the other; first and last are n's, last
// may be 0 for no limit. mode is FL_NTH or FL_FROM; or FL_SITE, and first an address.
// -1 without an answer if there is no such workload.
int sweep_command(const char *name, enum faultline_mode mode, uint64_t first,
                  uint64_t last);
void list_workloads(void);

// From here on, a sweep stops for bad results only, for nobody looks at memory.
void watch_none(void);
