// The console: lines in, bytes out.
//
//   backspace, DEL  rub out a byte       ^P  list the processes
//   ^U              rub out the line     ^T  print their page tables
//   ^D              end of file

#include "defs.h"
#include "file.h"
#include "proc.h"
#include "spinlock.h"

#define CTRL(letter) ((letter) - '@')
#define DEL          0x7f

// What was typed. The counters only grow, edit ahead of write ahead of read: readers
// get what is before write, and what lies from there to edit can still be rubbed out.
#define INPUT 128
static struct {
  struct spinlock lock;
  char bytes[INPUT];
  unsigned read, write, edit;
} input;

// Send one byte to the terminal, now; may be called from anywhere.
void
consputc(int c)
{
  uartputc_sync(c);
}

// Write n bytes from addr. Returns how many were written before a bad address, or -1 if
// none.
static int
console_write(bool user, uint64_t addr, int n)
{
  char chunk[32];
  int done = 0;
  while (done < n) {
    int want = n - done < (int)sizeof(chunk) ? n - done : (int)sizeof(chunk);
    // A chunk that ends in a bad page may still begin in a good one.
    while (want > 0 && copy_from(user, chunk, addr + done, want))
      want /= 2;
    if (want == 0)
      return done ? done : -1;
    for (int i = 0; i < want; i++)
      uartputc(chunk[i]);
    done += want;
  }
  return done;
}

// Read at most a line into n bytes at addr; wait until there is one. Returns how many
// bytes, 0 at the end of file, -1 if addr is bad or the process was killed.
static int
console_read(bool user, uint64_t addr, int n)
{
  int done = 0;
  acquire(&input.lock);
  while (done < n) {
    while (input.read == input.write) {
      if (killed(myproc())) {
        release(&input.lock);
        return -1;
      }
      sleep(&input.read, &input.lock);
    }
    char c = input.bytes[input.read % INPUT];
    // An end of file after other bytes is left for the next read, which returns 0.
    if (c == CTRL('D') && done > 0)
      break;
    input.read++;
    if (c == CTRL('D'))
      break;
    if (copy_to(user, addr + done, &c, 1)) {
      if (done == 0)
        done = -1;
      break;
    }
    done++;
    if (c == '\n')
      break;
  }
  release(&input.lock);
  return done;
}

// Take back the last byte typed, on the screen as well. input.lock must be held.
static void
rub_out(void)
{
  input.edit--;
  consputc('\b');
  consputc(' ');
  consputc('\b');
}

// Put a byte into the line, and hand the line over if it is complete or fills the
// buffer. input.lock must be held.
static void
type(int c)
{
  if (input.edit - input.read == INPUT)
    return;
  if (c == '\r')
    c = '\n';
  if (c != CTRL('D'))
    consputc(c);
  input.bytes[input.edit++ % INPUT] = c;
  if (c == '\n' || c == CTRL('D') || input.edit - input.read == INPUT) {
    input.write = input.edit;
    wakeup(&input.read);
  }
}

// A byte has come from the terminal.
void
consoleintr(int c)
{
  acquire(&input.lock);
  switch (c) {
  case CTRL('P'):
    procdump();
    break;
  case CTRL('T'):
    tabledump();
    break;
  case CTRL('U'):
    while (input.edit != input.write && input.bytes[(input.edit - 1) % INPUT] != '\n')
      rub_out();
    break;
  case '\b':
  case DEL:
    if (input.edit != input.write)
      rub_out();
    break;
  case 0:
    break;
  default:
    type(c);
    break;
  }
  release(&input.lock);
}

void
consoleinit(void)
{
  initlock(&input.lock, "console");
  uartinit();
  devices[CONSOLE].read = console_read;
  devices[CONSOLE].write = console_write;
}
