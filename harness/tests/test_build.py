"""What is built anew, and what is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from faultline.build import drop_stale


@pytest.mark.parametrize(("objects", "kept"), [((1, 3), True), ((1, 7), False), ((), True)])
def test_a_variant_older_than_a_clean_object_is_linked_anew(
    tmp_path: Path, objects: tuple[int, ...], kept: bool
) -> None:
    def made(name: str, when: int) -> Path:
        path = tmp_path / name
        path.touch()
        os.utime(path, ns=(when, when))
        return path

    kernels = [made("kernel.elf", 5), made("kernel-shim.elf", 5)]
    drop_stale(tmp_path, [made(f"{when}.o", when) for when in objects])
    assert [path.exists() for path in kernels] == [kept, kept]
