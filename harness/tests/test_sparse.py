"""Files with holes in the place of zeros."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from faultline import sparse
from faultline.bench import Bench
from faultline.build import Build
from faultline.grade import put_probe
from faultline.sparse import CHUNK

RANDOM = random.Random(1).randbytes(CHUNK // 2)
CONTENTS = {
    "empty": b"",
    "short": b"x",
    "zeros": bytes(9 * CHUNK),
    "data": RANDOM * 3,
    "hole-first": bytes(5 * CHUNK) + RANDOM,
    "hole-last": RANDOM + bytes(5 * CHUNK + 7),
    "hole-between": RANDOM + bytes(7 * CHUNK) + RANDOM + b"\0x\0",
}


def copied(path: Path, content: bytes) -> None:
    """Copy a file without holes, and that copy once more."""
    path.with_suffix(".given").write_bytes(content)
    for source, target in ((".given", ".first"), (".first", "")):
        with path.with_suffix(source).open("rb") as file:
            sparse.copy(file, path.with_suffix(target))


@pytest.mark.parametrize("make", [sparse.write, copied])
@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_the_content_is_the_same_and_zeros_take_no_room(
    tmp_path: Path, make: Callable[[Path, bytes], None], content: bytes
) -> None:
    path = tmp_path / "file"
    make(path, content)
    assert path.read_bytes() == content
    data = sum(any(content[at : at + CHUNK]) for at in range(0, len(content), CHUNK))
    assert path.stat().st_blocks * 512 <= data * CHUNK


def test_what_was_in_the_file_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 3 * CHUNK)
    sparse.write(path, bytes(CHUNK))
    assert path.read_bytes() == bytes(CHUNK)


@pytest.mark.parametrize("given", [True, False])
def test_a_machine_gets_a_disk_without_room_for_its_zeros(
    tmp_path: Path, made: bytes, given: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "fs.img"
    disk.write_bytes(made + bytes(64 * CHUNK))
    assert put_probe(disk, b"a probe") == ""
    assert disk.stat().st_blocks * 512 < 64 * CHUNK
    found: list[os.stat_result] = []

    class Stops(Exception):
        """Nothing is booted here."""

    def machine(config: object, scratch: Path) -> None:
        (copy,) = scratch.glob("disk-*")
        assert copy.read_bytes() == disk.read_bytes()
        found.append(copy.stat())
        raise Stops

    monkeypatch.setattr("faultline.bench.Machine", machine)
    bench = Bench(Build(tmp_path / "kernel", disk, tmp_path), tmp_path)
    with pytest.raises(Stops), bench.machine(disk=disk.read_bytes() if given else b""):
        pass
    assert found[0].st_blocks * 512 < 64 * CHUNK
