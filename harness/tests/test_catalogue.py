"""Strict reading of the catalogue."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from faultline.catalogue import (
    CatalogueError, Fault, check_expectations, hooks, load, load_fault,
)  # fmt: skip
from faultline.commands.running import load_catalogue

GOOD = """
id = "some-fault"
class = "unmap"
summary = "a summary"
story = "a story"
smp = 3
[define]
FAULT_N = 400
[expect]
check = "leaks"
rule = "page-leaked"
function = "fork"
"""


def entry(folder: Path, text: str, name: str = "some-fault") -> Path:
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


def test_a_good_entry(tmp_path: Path) -> None:
    fault = load_fault(entry(tmp_path, GOOD))
    assert (fault.id, fault.hook, fault.fault_class) == ("some-fault", "some_fault", "unmap")
    assert (fault.harts, fault.options) == (3, "-DFAULT_N=400")
    assert (fault.expect.check, fault.expect.function) == ("leaks", "fork")


def test_what_a_fault_expects_of_the_sweep(tmp_path: Path) -> None:
    more = 'function = "fork"\nworkload = "forkbig"\nthrough = "mirror_map"'
    text = GOOD.replace('"leaks"', '"sweep"').replace('function = "fork"', more)
    expect = load_fault(entry(tmp_path, text)).expect
    assert (expect.workload, expect.through) == ("forkbig", "mirror_map")
    shown = expect.as_json()
    assert (shown["workload"], shown["through"]) == ("forkbig", "mirror_map")


def test_the_test_that_shows_a_fault_is_where_it_is_found(tmp_path: Path) -> None:
    text = GOOD.replace('"leaks"', '"usertests"').replace('function = "fork"', 'test = "forks"')
    expect = load_fault(entry(tmp_path, text)).expect
    assert (expect.function, expect.test) == ("", "forks")  # a panic in it may be anywhere
    text = text.replace('"page-leaked"', '"usertest-failed"')
    expect = load_fault(entry(tmp_path, text)).expect
    assert (expect.function, expect.test) == ("forks", "forks")
    assert expect.as_json()["test"] == "forks"


@pytest.mark.parametrize(
    ("old", "new", "key", "words"),
    [
        ('id = "some-fault"', "", "id", "missing"),
        ('"some-fault"', '"other"', "id", "file is called some-fault.toml"),
        ('"some-fault"', '"Some_fault"', "id", "hyphens"),
        ('class = "unmap"', 'class = "odd"', "class", "expected one of kalloc"),
        ('summary = "a summary"', 'summary = ""', "summary", "must not be empty"),
        ('story = "a story"', "story = 3", "story", "expected a text, found 3"),
        ('rule =', 'workload = "fork"\nrule =', "expect.workload", "only findings of check sweep"),
        ('rule =', 'through = "walk"\nrule =', "expect.through", "only findings of check sweep"),
        ("smp = 3", "smp = 9", "smp", "expected 1 to 8"),
        ("smp = 3", "smp = true", "smp", "expected a whole number, found true or false (true)"),
        ("smp = 3", "spm = 3", "spm", "unknown key"),
        ("FAULT_N = 400", "fault_n = 400", "define", "fault_n: expected a macro's name in capitals"),
        ("FAULT_N = 400", 'FAULT_N = "a b"', "define", "FAULT_N: expected a whole number"),
        ('check = "leaks"', "", "expect.check", "missing"),
        ('rule = "page-leaked"', "", "expect.rule", "missing"),
        ('function = "fork"', "line = 3", "expect.line", "unknown key"),
        ('check = "leaks"', 'no-oracle = "why"', "expect.rule", "unknown key"),
        ('check = "leaks"', 'no-oracle = ""', "expect.no-oracle", "must not be empty"),
        ('function = "fork"', 'test = "t"', "expect.test", "only check usertests has tests"),
    ],
)
def test_errors_name_the_file_and_the_key(
    tmp_path: Path, old: str, new: str, key: str, words: str
) -> None:
    assert old in GOOD
    path = entry(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(CatalogueError) as error:
        load_fault(path)
    place = re.fullmatch(rf"{path}:(\d+): {re.escape(key)}: (.*)", str(error.value))
    assert place and words in place[2]
    if words != "missing":
        line = path.read_text().splitlines()[int(place[1]) - 1]
        assert key.rpartition(".")[2] in line


def test_a_file_that_is_no_toml(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="some-fault.toml"):
        load_fault(entry(tmp_path, "id = "))


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    folder = tmp_path / "kernel"
    folder.mkdir()
    (folder / "proc.c").write_text("if (FAULT(some_fault)) return;\nif (!FAULT(some_fault))\n")
    return folder


def test_entries_and_hooks_match(tmp_path: Path, kernel: Path) -> None:
    entry(tmp_path, GOOD)
    assert [fault.id for fault in load(tmp_path, kernel)] == ["some-fault"]
    assert hooks(kernel) == {"some_fault": [kernel / "proc.c"]}


def test_an_entry_without_a_hook(tmp_path: Path, kernel: Path) -> None:
    entry(tmp_path, GOOD)
    (kernel / "proc.c").write_text("")
    with pytest.raises(CatalogueError, match=r"no source in .* has a hook FAULT\(some_fault\)"):
        load(tmp_path, kernel)


def test_a_hook_without_an_entry(tmp_path: Path, kernel: Path) -> None:
    entry(tmp_path, GOOD)
    (kernel / "entry.S").write_text("#if FAULT(forgotten)\n#endif\n")
    with pytest.raises(CatalogueError, match=r"entry.S: hook FAULT\(forgotten\) has no entry"):
        load(tmp_path, kernel)


def test_an_empty_catalogue(tmp_path: Path, kernel: Path) -> None:
    with pytest.raises(CatalogueError, match="no .*toml"):
        load(tmp_path, kernel)


@pytest.mark.parametrize(
    ("rules", "key"),
    [({"boot": {"page-leaked"}}, "expect.check"), ({"leaks": {"other"}}, "expect.rule")],
)
def test_expectations_that_no_check_can_meet(
    tmp_path: Path, rules: dict[str, set[str]], key: str
) -> None:
    fault: Fault = load_fault(entry(tmp_path, GOOD))
    with pytest.raises(CatalogueError, match=rf"some-fault.toml: {key}"):
        check_expectations([fault], rules, tmp_path)


def test_this_project_s_catalogue() -> None:
    assert len(load_catalogue()) >= 10
