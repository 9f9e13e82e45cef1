"""Kernels that answer in the probe's place, and write over what the shim has noted.

They have no programs at all: the kernel itself reads the command line that the harness types,
and takes the nonce from it.
"""

from __future__ import annotations

import functools
import subprocess
import tempfile
from pathlib import Path

from conftest import ROOT
from test_grade import MAIN_C
from test_tree import MAKEFILE

from . import LEAKS, Case, Make, tree

KALLOC_C = """\
static char pages[64][4096] __attribute__((aligned(4096)));
static int next;
void *kalloc(void) { return next < 64 ? pages[next++] : 0; }
void kfree(void *pa) { *(void **)pa = pages; if (next) next--; }
"""
ANSWER = """\
static int is(const char *s, const char *word)
{
  while (*word && *s == *word) s++, word++;
  return !*word;
}
static void answer(char *line)
{
  char *nonce = line + 6, *rest = nonce;
  while (*rest && *rest != ' ') rest++;
  *rest++ = 0;
  say("@"); say(nonce);
  if (is(rest, "hello")) say(" hello shim=1\\n");
  if (is(rest, "list")) say(" actions fork\\n");
  if (is(rest, "leak")) {
    BEFORE
    say(" leak fork rounds=20 before=7 after=7 ok\\n");
  }
}
"""
# The fields of the control block, as the tree may know them: they are public.
CTL = '#include "ctl.h"\n#define CTL faultline_ctl\n'


@functools.cache
def image() -> bytes:
    """A file system that the probe can be put into."""
    with tempfile.TemporaryDirectory() as folder:
        tool = Path(folder, "mkfs")
        subprocess.run(["cc", "-o", tool, ROOT / "user/mkfs.c"], check=True)
        subprocess.run([tool, Path(folder, "fs.img")], check=True)
        return Path(folder, "fs.img").read_bytes()


def forger(before: str = "", boot: str = "kfree(kalloc());") -> Make:
    """A tree whose kernel does this before it forges the answer to `leak`."""
    main = MAIN_C.replace("void main(void)", ANSWER.replace("BEFORE", before) + "void main(void)")
    echo = "    if (line[0] == 'e'"
    main = main.replace(echo, f'    if (is(line, "probe ")) answer(line);\n{echo}')
    main = main.replace("  kfree(kalloc());\n", f"  {boot}\n")

    def make(path: Path) -> Path:
        ctl = (ROOT / "faults/ctl.h").read_text()
        ctl = ctl.replace("../kernel/pagestat.h", "pagestat.h")
        return tree(
            {
                "kernel/main.c": CTL + main,
                "kernel/ctl.h": ctl,
                "kernel/pagestat.h": (ROOT / "kernel/pagestat.h").read_text(),
                "kernel/kalloc.c": KALLOC_C,
                "Makefile": MAKEFILE.replace("mkfs/mkfs > fs.img", "cp given.bin fs.img"),
                "given.bin": image(),
            }
        )(path)

    return make


# What a forger must do to the control block to look as if it had been asked.
ASKED = "CTL.watched++; CTL.mark = CTL.seq; CTL.seq += 40; CTL.end = CTL.seq;"
TAMPERED = "evidence-tampered"
CASES = [
    Case("forges-answers", forger(), "fail", "the shim was asked 0 times", TAMPERED, LEAKS),
    Case("forges-in-memory", forger("CTL.watched++;"), "fail",
         "takes at least 40 kallocs and kfrees, there were 0", TAMPERED, LEAKS),
    Case("hides-lost-pages", forger(ASKED + "CTL.gained += 20;"), "fail",
         "0 pages more are in use .* the shim has counted 20", TAMPERED, LEAKS),
    Case("forges-the-count", forger(ASKED + "kalloc(); CTL.live = 0;"), "fail",
         "0 pages are counted as live, and 1 are noted as live", TAMPERED, LEAKS),
    Case("wipes-the-ledger", forger(ASKED + "kalloc(); for (char *p = (char *)faultline_ledger; "
         "p < (char *)(faultline_ledger + FL_PAGES); p++) *p = 0;"), "fail",
         "1 pages are counted as live, and 0 are noted as live", TAMPERED, LEAKS),
    Case("wipes-the-control-block", forger("for (char *p = (char *)&CTL; p < (char *)(&CTL + 1); "
         "p++) *p = 0;"), "fail", r"faultline_ctl.magic is 0x0", TAMPERED, LEAKS),
    Case("fills-the-ledger", forger(ASKED + "for (uint64_t *p = (uint64_t *)faultline_ledger; "
         "p < (uint64_t *)(faultline_ledger + FL_PAGES); p++) *p = 1;"), "fail",
         "are noted as live", TAMPERED, LEAKS),
    Case("noise-in-the-ledger", forger(ASKED + "uint64_t x = 1; for (uint64_t *p = (uint64_t *)"
         "faultline_ledger; p < (uint64_t *)(faultline_ledger + FL_PAGES); p++) "
         "*p = x = x * 6364136223846793005u + 1442695040888963407u;"), "fail",
         "are noted as live", TAMPERED, LEAKS),
    Case("seq-backwards", forger("kfree(kalloc()); CTL.watched++; CTL.seq = 0;"), "fail",
         "is noted, and there were only 0", TAMPERED, LEAKS),
    # It builds, and that is all: nobody could look at it.
    Case("uses-no-shim", forger(boot=";"), "fail",
         "leaks: skip no kalloc.. of this kernel goes through the shim", "", LEAKS),
]  # fmt: skip
