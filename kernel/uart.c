// The 16550 serial port (TI PC16550D data sheet).

#include "defs.h"
#include "memlayout.h"
#include "spinlock.h"

enum uart_register {
  RHR = 0, // read: received byte
  THR = 0, // write: byte to send
  DLL = 0, // divisor, low byte, while LCR_DLAB
  IER = 1, // interrupts enabled
  IIR = 2, // read: what interrupts, which acknowledges that the transmitter is empty
  DLM = 1, // divisor, high byte, while LCR_DLAB
  FCR = 2, // write: FIFO control
  LCR = 3, // line control
  LSR = 5, // line status
};

#define IER_RECEIVE  0x01
#define IER_TRANSMIT 0x02
#define FCR_ENABLE   0x07 // FIFOs on and emptied
#define LCR_8N1      0x03
#define LCR_DLAB     0x80 // registers 0 and 1 are the divisor
#define LSR_RECEIVED 0x01
#define LSR_IDLE     0x20 // THR takes a byte

static inline volatile uint8_t *
reg(enum uart_register r)
{
  return (volatile uint8_t *)UART0 + r;
}

// Bytes on their way out: head and tail count bytes put in and taken out.
#define RING 64
static struct {
  struct spinlock lock;
  char bytes[RING];
  unsigned head, tail;
} tx;

void
uartinit(void)
{
  initlock(&tx.lock, "uart");
  *reg(IER) = 0;
  *reg(LCR) = LCR_DLAB;
  *reg(DLL) = 3; // 38400 baud
  *reg(DLM) = 0;
  *reg(LCR) = LCR_8N1;
  *reg(FCR) = FCR_ENABLE;
  *reg(IER) = IER_RECEIVE | IER_TRANSMIT;
}

// Hand bytes to the device while it takes them. tx.lock must be held. Whoever sleeps in
// uartputc() found the queue full.
static void
transmit(void)
{
  bool was_full = tx.head - tx.tail == RING;
  while (tx.tail != tx.head && (*reg(LSR) & LSR_IDLE))
    *reg(THR) = tx.bytes[tx.tail++ % RING];
  if (was_full && tx.head - tx.tail != RING)
    wakeup(&tx.tail);
}

// Queue a byte; sleeps while the queue is full. For processes, not for handlers.
void
uartputc(int c)
{
  acquire(&tx.lock);
  while (panicked_elsewhere())
    wfi();
  while (tx.head - tx.tail == RING)
    sleep(&tx.tail, &tx.lock);
  tx.bytes[tx.head++ % RING] = c;
  transmit();
  release(&tx.lock);
}

// Send a byte at once, past the queue: for printf and echo, from anywhere. After a
// panic only the hart that panicked gets through.
void
uartputc_sync(int c)
{
  push_off();
  while (panicked_elsewhere())
    wfi();
  while (!(*reg(LSR) & LSR_IDLE))
    ;
  *reg(THR) = c;
  pop_off();
}

// Bytes have come, or the device can take more.
void
uartintr(void)
{
  (void)*reg(IIR);
  while (*reg(LSR) & LSR_RECEIVED)
    consoleintr(*reg(RHR));
  acquire(&tx.lock);
  transmit();
  release(&tx.lock);
}
