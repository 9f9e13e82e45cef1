// The disk: a virtio block device, of version 1 (legacy) or 2.
//
// A request is a chain of three descriptors: header, data, status byte. The header is
// on the caller's stack, which only the caller's kernel table maps: the device gets its
// physical address, and the interrupt handler leaves it alone.

#include "defs.h"
#include "buf.h"
#include "memlayout.h"
#include "virtio.h"

// The queue in the legacy layout, which does for both versions: descriptors and what is
// offered in one page, what is done in the next (2.6.2).
static struct {
  struct virtq_desc desc[QUEUE];
  struct virtq_avail avail;
  uint8_t pad[PGSIZE - QUEUE * sizeof(struct virtq_desc) - sizeof(struct virtq_avail)];
  struct virtq_used used;
  uint8_t tail[PGSIZE - sizeof(struct virtq_used)];
} queue __attribute__((aligned(PGSIZE)));

_Static_assert(sizeof(queue) == 2 * PGSIZE, "the legacy layout is two pages");

static struct {
  struct spinlock lock; // protects all this and the queue
  bool busy[QUEUE];     // the descriptor is part of a request
  uint16_t used_seen;   // requests taken from queue.used so far
  struct {
    struct buf *b;  // the request that begins at this descriptor
    uint8_t status; // written by the device; 0 is success
  } request[QUEUE];
} disk;

static inline volatile uint32_t *
reg(int offset)
{
  return (volatile uint32_t *)(VIRTIO0 + offset);
}

static void
set_address(int low, const void *pa)
{
  *reg(low) = (uint64_t)pa;
  *reg(low + 4) = (uint64_t)pa >> 32;
}

// Accept what is needed of the device's features: nothing but, if it is not a legacy
// one, to be told so.
static void
negotiate(uint32_t version)
{
  *reg(VIRTIO_DRIVER_SELECT) = 0;
  *reg(VIRTIO_DRIVER_FEATURES) = 0;
  if (version == 1)
    return;
  *reg(VIRTIO_DRIVER_SELECT) = 1;
  *reg(VIRTIO_DRIVER_FEATURES) = FEATURE_VERSION_1;
  *reg(VIRTIO_STATUS) |= STATUS_FEATURES_OK;
  if (!(*reg(VIRTIO_STATUS) & STATUS_FEATURES_OK))
    panic("virtio_disk_init: the disk does not accept our features");
}

// Bring the device up (3.1.1, 4.2.3.1).
void
virtio_disk_init(void)
{
  initlock(&disk.lock, "virtio_disk");
  uint32_t version = *reg(VIRTIO_VERSION);
  if (*reg(VIRTIO_MAGIC) != 0x74726976 || *reg(VIRTIO_DEVICE_ID) != 2)
    panic("virtio_disk_init: no virtio disk at 0x%lx", VIRTIO0);
  if (version != 1 && version != 2)
    panic("virtio_disk_init: virtio-mmio version %u, expected 1 or 2", version);

  *reg(VIRTIO_STATUS) = 0;
  *reg(VIRTIO_STATUS) |= STATUS_ACKNOWLEDGE;
  *reg(VIRTIO_STATUS) |= STATUS_DRIVER;
  negotiate(version);

  if (version == 1)
    *reg(VIRTIO_GUEST_PAGE_SIZE) = PGSIZE;
  *reg(VIRTIO_QUEUE_SELECT) = 0;
  if (*reg(VIRTIO_QUEUE_NUM_MAX) < QUEUE)
    panic("virtio_disk_init: the disk's queue is shorter than %d", QUEUE);
  *reg(VIRTIO_QUEUE_NUM) = QUEUE;
  if (version == 1) {
    *reg(VIRTIO_QUEUE_ALIGN) = PGSIZE;
    *reg(VIRTIO_QUEUE_PFN) = (uint64_t)&queue / PGSIZE;
  } else {
    set_address(VIRTIO_QUEUE_DESC_LOW, queue.desc);
    set_address(VIRTIO_QUEUE_DRIVER_LOW, &queue.avail);
    set_address(VIRTIO_QUEUE_DEVICE_LOW, &queue.used);
    *reg(VIRTIO_QUEUE_READY) = 1;
  }
  *reg(VIRTIO_STATUS) |= STATUS_DRIVER_OK;
}

// Take three free descriptors, or none. disk.lock must be held.
static bool
take_three(int d[3])
{
  int n = 0;
  for (int i = 0; i < QUEUE && n < 3; i++)
    if (!disk.busy[i])
      d[n++] = i;
  if (n < 3)
    return false;
  for (int i = 0; i < 3; i++)
    disk.busy[d[i]] = true;
  return true;
}

// Fill in the chain of a request and offer it to the device. disk.lock must be held.
static void
submit(const int d[3], struct virtio_blk_header *header, struct buf *b)
{
  bool write = header->type == BLK_OUT;
  disk.request[d[0]].b = b;
  disk.request[d[0]].status = 0xff;
  queue.desc[d[0]] = (struct virtq_desc){
      .addr = kvmpa((uint64_t)header), .len = sizeof(*header), DESC_NEXT, d[1]};
  queue.desc[d[1]] = (struct virtq_desc){.addr = (uint64_t)b->data,
                                         .len = BSIZE,
                                         DESC_NEXT | (write ? 0 : DESC_WRITE),
                                         d[2]};
  queue.desc[d[2]] = (struct virtq_desc){
      .addr = (uint64_t)&disk.request[d[0]].status, .len = 1, DESC_WRITE, 0};

  // The device may look as soon as idx says so (2.6.13).
  queue.avail.ring[queue.avail.idx % QUEUE] = d[0];
  __sync_synchronize();
  queue.avail.idx++;
  __sync_synchronize();
  *reg(VIRTIO_QUEUE_NOTIFY) = 0;
}

// Read or write one block and wait until it is done. b->lock must be held.
void
virtio_disk_rw(struct buf *b, bool write)
{
  struct virtio_blk_header header = {.type = write ? BLK_OUT : BLK_IN,
                                     .sector = (uint64_t)b->blockno * (BSIZE / 512)};
  int d[3];

  acquire(&disk.lock);
  while (!take_three(d))
    sleep(disk.busy, &disk.lock);
  b->disk = true;
  submit(d, &header, b);
  while (b->disk)
    sleep(b, &disk.lock);

  uint8_t status = disk.request[d[0]].status;
  if (status != 0)
    panic("virtio_disk_rw: %s block %u failed with status %d",
          write ? "writing" : "reading", b->blockno, status);
  for (int i = 0; i < 3; i++)
    disk.busy[d[i]] = false;
  wakeup(disk.busy);
  release(&disk.lock);
}

// The device is done with some requests.
void
virtio_disk_intr(void)
{
  acquire(&disk.lock);
  // Acknowledged first: a request done after this raises the interrupt again.
  *reg(VIRTIO_INTERRUPT_ACK) = *reg(VIRTIO_INTERRUPT_STATUS) & 3;
  __sync_synchronize();
  while (disk.used_seen != __atomic_load_n(&queue.used.idx, __ATOMIC_ACQUIRE)) {
    struct buf *b = disk.request[queue.used.ring[disk.used_seen % QUEUE].id].b;
    b->disk = false;
    wakeup(b);
    disk.used_seen++;
  }
  release(&disk.lock);
}
