// The platform-level interrupt controller (RISC-V PLIC specification; SiFive FU540
// manual, chapter 10). Hart n's supervisor mode is context 2 n + 1.

#include "defs.h"
#include "memlayout.h"

#define CONTEXT() (2 * cpuid() + 1)

static inline volatile uint32_t *
priority(int irq)
{
  return (volatile uint32_t *)PLIC + irq;
}

static inline volatile uint32_t *
enabled(void)
{
  return (volatile uint32_t *)(PLIC + 0x2000 + 0x80 * CONTEXT());
}

static inline volatile uint32_t *
threshold(void)
{
  return (volatile uint32_t *)(PLIC + 0x200000 + 0x1000 * CONTEXT());
}

static inline volatile uint32_t *
claim(void)
{
  return threshold() + 1;
}

// Give the devices a priority above 0, which means never.
void
plicinit(void)
{
  *priority(UART0_IRQ) = 1;
  *priority(VIRTIO0_IRQ) = 1;
}

// Let this hart take the devices' interrupts.
void
plicinithart(void)
{
  *enabled() = (1 << UART0_IRQ) | (1 << VIRTIO0_IRQ);
  *threshold() = 0;
}

// The interrupt this hart is to serve, or 0.
int
plic_claim(void)
{
  return *claim();
}

// The interrupt has been served; the device may raise it again.
void
plic_complete(int irq)
{
  *claim() = irq;
}
