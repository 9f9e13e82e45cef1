// Virtio over MMIO, block device (virtio specification 1.1: 2.6 split virtqueues, 4.2
// MMIO, 5.2 block device).
#pragma once

#include <stdint.h>

// Register offsets (4.2.2; those marked legacy 4.2.4).
#define VIRTIO_MAGIC             0x000 // 0x74726976
#define VIRTIO_VERSION           0x004 // 1 legacy, 2
#define VIRTIO_DEVICE_ID         0x008 // 2 is a block device
#define VIRTIO_DEVICE_FEATURES   0x010
#define VIRTIO_FEATURES_SELECT   0x014
#define VIRTIO_DRIVER_FEATURES   0x020
#define VIRTIO_DRIVER_SELECT     0x024
#define VIRTIO_GUEST_PAGE_SIZE   0x028 // legacy
#define VIRTIO_QUEUE_SELECT      0x030
#define VIRTIO_QUEUE_NUM_MAX     0x034
#define VIRTIO_QUEUE_NUM         0x038
#define VIRTIO_QUEUE_ALIGN       0x03c // legacy
#define VIRTIO_QUEUE_PFN         0x040 // legacy
#define VIRTIO_QUEUE_READY       0x044
#define VIRTIO_QUEUE_NOTIFY      0x050
#define VIRTIO_INTERRUPT_STATUS  0x060
#define VIRTIO_INTERRUPT_ACK     0x064
#define VIRTIO_STATUS            0x070
#define VIRTIO_QUEUE_DESC_LOW    0x080
#define VIRTIO_QUEUE_DESC_HIGH   0x084
#define VIRTIO_QUEUE_DRIVER_LOW  0x090
#define VIRTIO_QUEUE_DRIVER_HIGH 0x094
#define VIRTIO_QUEUE_DEVICE_LOW  0x0a0
#define VIRTIO_QUEUE_DEVICE_HIGH 0x0a4

// VIRTIO_STATUS (2.1).
#define STATUS_ACKNOWLEDGE 1
#define STATUS_DRIVER      2
#define STATUS_DRIVER_OK   4
#define STATUS_FEATURES_OK 8

// Feature bit, in the second word: the device is not a legacy one (6).
#define FEATURE_VERSION_1 (1 << 0)

// Descriptor table entry (2.6.5).
struct virtq_desc {
  uint64_t addr; // physical
  uint32_t len;
  uint16_t flags;
  uint16_t next;
};
#define DESC_NEXT  1 // next is valid
#define DESC_WRITE 2 // the device writes this one

#define QUEUE 8 // descriptors; a power of two

// What the driver offers (2.6.6).
struct virtq_avail {
  uint16_t flags;
  uint16_t idx;
  uint16_t ring[QUEUE]; // first descriptor of each request
  uint16_t unused;
};

// What the device is done with (2.6.8).
struct virtq_used {
  uint16_t flags;
  uint16_t idx;
  struct {
    uint32_t id; // first descriptor of the request
    uint32_t len;
  } ring[QUEUE];
};

// The head of a block request (5.2.6).
struct virtio_blk_header {
  uint32_t type;
  uint32_t reserved;
  uint64_t sector; // of 512 bytes
};
#define BLK_IN  0 // read the disk
#define BLK_OUT 1 // write it
