// Supervisor mode begins: hart 0 sets the kernel up, the others join it.

#include "defs.h"

static volatile bool started;

void
main(void)
{
  if (cpuid() == 0) {
    consoleinit();
    printfinit();
    printf("\nfaultline kernel is booting\n\n");
    kinit();
    kvminit();
    kvminithart();
    procinit();
    trapinit();
    trapinithart();
    plicinit();
    plicinithart();
    binit();
    inodeinit();
    fileinit();
    kstatsinit();
    virtio_disk_init();
    userinit();
    __atomic_store_n(&started, true, __ATOMIC_RELEASE);
  } else {
    while (!__atomic_load_n(&started, __ATOMIC_ACQUIRE))
      ;
    kvminithart();
    trapinithart();
    plicinithart();
    printf("hart %d starting\n", cpuid());
  }
  scheduler();
}
