"""A table that a system call prints, as in the labs since 2024, in a kernel that boots."""

from __future__ import annotations

from pathlib import Path

import pytest

from faultline.export import DATA, files, write
from faultline.exportstyle import load_styles
from faultline.grade import Plan, run_trees
from faultline.treesource import Source
from faultline.verdict import CheckResult, TargetResult

ROOT = Path(__file__).resolve().parents[2]
CALL = """
uint64_t
sys_kpgtbl(void)
{
  vmprint(myproc()->pagetable);
  return 0;
}
"""
ADDRESSES = """
#include "defs.h"

static void
print_below(pagetable_t table, int level, uint64_t base)
{
  for (uint64_t i = 0; i < 512; i++) {
    uint64_t va = base + (i << (12 + 9 * level));
    if (!(table[i] & PTE_V))
      continue;
    for (int dots = level; dots < 3; dots++)
      printf(" ..");
    printf("0x%016lx: pte 0x%016lx pa 0x%016lx\\n", va, table[i], PTE2PA(table[i]));
    if (!PTE_LEAF(table[i]))
      print_below((pagetable_t)PTE2PA(table[i]), level - 1, va);
  }
}

void
vmprint(pagetable_t table)
{
  printf("page table 0x%016lx\\n", (uint64_t)table);
  print_below(table, 2, 0);
}
"""


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def graded(tmp_path: Path, addresses: str) -> CheckResult:
    """Return the result of vmprint for a kernel with that vmprint.c and the system call 34."""
    tree = tmp_path / "tree"
    write(files(ROOT, None, load_styles(ROOT / DATA / "styles")["2022"]), tree)
    replace(tree / "kernel/exec.c", "vmprint(myproc()->pagetable)", "(void)0")
    (tree / "kernel/vmprint.c").write_text(addresses)
    calls = (tree / "kernel/syscall.c").read_text()
    table = calls.index("static uint64_t (*")
    calls = f"{calls[:table]}{CALL}\n{calls[table:]}"
    (tree / "kernel/syscall.c").write_text(calls)
    replace(tree / "kernel/syscall.c", "= sys_poweroff,", "= sys_poweroff, [34] = sys_kpgtbl,")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    events = run_trees([Source(tree)], Plan(ROOT, scratch, "vmprint"), 1)
    (result,) = (event for event in events if isinstance(event, TargetResult))
    (check,) = (one for one in result.checks if one.check == "vmprint")
    return check


@pytest.mark.live
def test_the_probe_makes_the_system_call_that_prints(tmp_path: Path) -> None:
    check = graded(tmp_path, ADDRESSES)
    assert (check.status, check.findings) == ("pass", ())


@pytest.mark.live
def test_a_wrong_address_is_found(tmp_path: Path) -> None:
    check = graded(tmp_path, ADDRESSES.replace("12 + 9 * level", "12 + 9 * (level + 1)"))
    assert [finding.rule for finding in check.findings] == ["vmprint-index"]
    assert check.findings[0].where.function == "print_below"


@pytest.mark.live
def test_a_call_that_does_not_come_back_is_found(tmp_path: Path) -> None:
    check = graded(tmp_path, ADDRESSES.replace("print_below(table, 2, 0);", "exit(1);"))
    (finding,) = check.findings
    assert finding.rule == "vmprint-missing"
    assert "did not come back" in finding.message and finding.where.function == "sys_kpgtbl"
