"""What must hold in a file system image in xv6's format, and what is broken in one."""

from __future__ import annotations

from .fsimage import (
    BITS_PER_BLOCK,
    BLOCK,
    DEVICE,
    DIRECTORY,
    ENTRY,
    FILE,
    FREE,
    INODES_PER_BLOCK,
    MAX_FILE,
    ROOT,
    Image,
    Inode,
    log_problems,
)


def check(image: Image, *, orphans: bool = False) -> list[str]:
    """Return what is broken in an image whose log has been replayed, in sentences.

    `orphans` allows files without a name that still take room: they were open when the
    power went, and the kernel has not cleaned up yet.
    """
    problems = _super_problems(image)
    if problems:
        return problems
    problems = log_problems(image)
    count, _ = image.log()
    if count and not problems:
        problems.append(f"the log holds {count} committed blocks that are not yet home")
    return problems + _Check(image, orphans).run()


def _super_problems(image: Image) -> list[str]:
    sb = image.super
    if len(image.data) < sb.size * BLOCK:
        return [
            f"the super block says {sb.size} blocks, the image has {len(image.data) // BLOCK}"
        ]
    if sb.ninodes <= ROOT:
        return [f"the super block says {sb.ninodes} inodes: there is none for /"]
    if sb.nlog < 2:
        return [f"the super block says {sb.nlog} blocks of log: too few for any entry"]
    areas = [
        ("boot block and super block", 0, 2),
        ("log", sb.logstart, sb.nlog),
        ("inodes", sb.inodestart, -(-sb.ninodes // INODES_PER_BLOCK)),
        ("bitmap", sb.bmapstart, -(-sb.size // BITS_PER_BLOCK)),
        ("data", sb.datastart, sb.nblocks),
    ]
    for (name, start, length), (after, next_start, _) in zip(areas, areas[1:]):
        if start + length > next_start:
            return [
                f"the super block has the {name} in blocks {start} to {start + length - 1}, "
                f"but the {after} from block {next_start}"
            ]
    return []


class _Check:
    """One look over inodes, blocks and directories of an image with a sane super block."""

    def __init__(self, image: Image, orphans: bool) -> None:
        self.image = image
        self.orphans = orphans
        self.problems: list[str] = []
        inodes = (image.inode(number) for number in range(1, image.super.ninodes))
        self.inodes = {inode.number: inode for inode in inodes if inode.type != FREE}
        self.owner: dict[int, int] = {}  # inode of each block
        self.unreadable: set[int] = set()  # directories with missing blocks
        self.named: dict[int, list[int]] = {}  # directories that name an inode, with repeats
        self.children: dict[int, int] = {}  # directories named in each directory

    def run(self) -> list[str]:
        unused = self.image.inode(0)
        if unused.type != FREE:
            self._say(f"inode 0 has type {unused.type}, but it must stay free")
        for inode in self.inodes.values():
            self._inode(inode)
        self._bitmap()
        for inode in self.inodes.values():
            if inode.type == DIRECTORY and inode.number not in self.unreadable:
                self._directory(inode)
        self._parents()
        self._names()
        return self.problems

    def _say(self, sentence: str) -> None:
        self.problems.append(sentence)

    def _inode(self, inode: Inode) -> None:
        who = f"inode {inode.number}"
        if inode.type not in (DIRECTORY, FILE, DEVICE):
            self._say(f"{who} has type {inode.type}, which does not exist")
        sound = [self._reference(inode, address) for address in self._referenced(inode)]
        if all(sound):
            self._size(inode)
        else:
            self.unreadable.add(inode.number)
        if inode.type == DIRECTORY and inode.size % ENTRY.size:
            self._say(f"directory {who} has {inode.size} bytes, which is no whole entry")

    def _size(self, inode: Inode) -> None:
        addresses = self.image.addresses(inode)
        missing = [i for i, address in enumerate(addresses[: inode.blocks]) if not address]
        if len(addresses) < inode.blocks:
            missing.append(len(addresses))
        extra = [i for i, address in enumerate(addresses) if address and i >= inode.blocks]
        who = f"inode {inode.number} has {inode.size} bytes"
        if inode.size > MAX_FILE:
            self._say(f"{who}, more than the {MAX_FILE} of any file")
            self.unreadable.add(inode.number)
        elif missing:
            self._say(f"{who}, but no block for those from {missing[0] * BLOCK} on")
            self.unreadable.add(inode.number)
        elif extra:
            at = extra[0]
            self._say(f"{who}, but block {addresses[at]} for those from {at * BLOCK} on")

    def _referenced(self, inode: Inode) -> list[int]:
        indirect = [inode.indirect] if inode.indirect else []
        return indirect + [address for address in self.image.addresses(inode) if address]

    def _reference(self, inode: Inode, address: int) -> bool:
        """Note whose a block is. False if it cannot be read as part of a file."""
        who = f"inode {inode.number}"
        if not self.image.super.datastart <= address < self.image.super.size:
            self._say(f"{who} has block {address}, which is no data block")
            return False
        if address in self.owner:
            other = self.owner[address]
            again = "twice" if other == inode.number else f"and so has inode {other}"
            self._say(f"{who} has block {address} {again}")
        self.owner.setdefault(address, inode.number)
        return True

    def _bitmap(self) -> None:
        for number in range(self.image.super.size):
            metadata = number < self.image.super.datastart
            used = metadata or number in self.owner
            if self.image.marked(number) == used:
                continue
            if metadata:
                self._say(f"block {number} has a fixed use, but the bitmap has it as free")
            elif used:
                self._say(
                    f"block {number} belongs to inode {self.owner[number]}, but the bitmap "
                    "has it as free"
                )
            else:
                self._say(f"block {number} belongs to no inode, but the bitmap has it as used")

    def _directory(self, directory: Inode) -> None:
        who = f"directory inode {directory.number}"
        seen: set[str] = set()
        self.children[directory.number] = 0
        for entry in self.image.entries(directory):
            if entry.name in seen:
                self._say(f"{who} has two entries {entry.name}")
                continue
            seen.add(entry.name)
            target = self.inodes.get(entry.inode)
            if not entry.name or "/" in entry.name:
                self._say(f"{who} has an entry for inode {entry.inode} named {entry.name!r}")
            elif entry.inode >= self.image.super.ninodes:
                self._say(f"{who}: {entry.name} is inode {entry.inode}, which does not exist")
            elif target is None:
                self._say(f"{who}: {entry.name} is inode {entry.inode}, which is free")
            elif entry.name == "." and target is not directory:
                self._say(f"{who}: . is inode {entry.inode}")
            elif entry.name not in (".", ".."):
                self.named.setdefault(entry.inode, []).append(directory.number)
                self.children[directory.number] += target.type == DIRECTORY
        for name in (".", ".."):
            if name not in seen and not (directory.nlink == 0 and self.orphans):
                self._say(f"{who} has no entry {name}")

    def _parents(self) -> None:
        """Check that each ``..`` is the directory that names this one."""
        for number in self.children:
            directory = self.inodes[number]
            parents = [ROOT] if number == ROOT else self.named.get(number, [])
            if len(parents) > 1:
                self._say(f"directory inode {number} has {len(parents)} names")
            dots = [e.inode for e in self.image.entries(directory) if e.name == ".."]
            if dots and dots[0] in self.inodes and parents and dots[0] not in parents:
                self._say(
                    f"directory inode {number}: .. is inode {dots[0]}, but inode "
                    f"{parents[0]} has it"
                )

    def _names(self) -> None:
        """Check link counts, and that everything can be reached from /."""
        root = self.inodes.get(ROOT)
        if root is None or root.type != DIRECTORY:
            self._say(f"inode {ROOT} is not the directory /")
        reached, waiting = {ROOT}, [ROOT]
        by_parent: dict[int, set[int]] = {}
        for child, parents in self.named.items():
            for parent in parents:
                by_parent.setdefault(parent, set()).add(child)
        while waiting:
            new = by_parent.get(waiting.pop(), set()) - reached
            reached |= new
            waiting += new
        for inode in self.inodes.values():
            names = len(self.named.get(inode.number, [])) + (inode.number == ROOT)
            links = names + self.children.get(inode.number, 0)
            if inode.number not in reached:
                if not (inode.nlink == 0 and names == 0 and self.orphans):
                    self._say(f"inode {inode.number} is in use, but no path from / leads to it")
            elif inode.nlink != links:
                self._say(
                    f"inode {inode.number} says {inode.nlink} links, but there are {links}"
                )
