// A lock to sleep on: it may be held across disk transfers.
#pragma once

#include "spinlock.h"

struct sleeplock {
  bool locked;
  struct spinlock guard; // protects the other fields
  const char *name;      // for messages
  int pid;               // the process that holds it, or 0
};
