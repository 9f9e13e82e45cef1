// What the plugin writes: one JSON object a line. The first is {"faultline-tlb": 1, …};
// each violation is one; {"more": true} if there were more than the limit.
//
// All of these are called with the plugin's lock held.

#ifndef FAULTLINE_PLUGIN_REPORT_H
#define FAULTLINE_PLUGIN_REPORT_H

#include "plugin_guest.h"
#include "tlb.h"

// Begin a report in the file `path`, of at most `limit` violations. False, with errno,
// if it cannot be written.
bool report_open(const char *path, unsigned limit, unsigned harts);

// Return the site that stands for a place; equal places have equal sites.
tlb_site report_site(const struct place *place);

// Report a violation, unless one with the same rule, change and use has been. `use` is
// the place of the access, or NULL if the violation's own site says where the use is.
void report_violation(const struct tlb_violation *v, const struct place *use);

// Note, once, that translation has been turned on: {"paging": true}.
void report_paging(void);

#endif
