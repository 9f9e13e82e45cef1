"""What `explain` tells people to type in gdb: every name in it is one that gdb finds.

The commands are not run but looked up, in the kernel that they are meant for: a function to
break at must exist, and an expression must have a type where the machine stands by then.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from conftest import ROOT

from faultline.commands import facts
from faultline.build import build_clean
from faultline.checks import all_rules

GDB = "gdb-multiarch"
# Rules about what never becomes a machine.
NOT_RUN = {"does-not-build", "file-missing", "file-no-number"}
PLACEHOLDERS = {"PID", "ADDRESS", "PAGE", "CLASS", "NAME"}

BREAKS = ("break", "tbreak")
RUNS = ("continue", "finish", "next", "step")
PLAIN = (*RUNS, "backtrace", "commands", "silent", "end")
VALUED = ("print", "display", "x", "ptype", "watch", "awatch", "while")
LOOKS = ("print", "display", "x", "backtrace", "next", "finish")
REGISTERS = set(
    "pc ra sp gp tp a0 a1 a7 satp scause sepc stval stvec mcause mepc mtval mtvec".split()
)
# A name that is not a member's, a register's or a letter's.
NAME = re.compile(r"(?<![\w.>$:'\"])[A-Za-z_]\w*")

# gdb runs this: it tries commands, and prints what is wrong with each.
TRY = """
import gdb, json
def said(command):
    try:
        return gdb.execute(command, to_string=True)
    except gdb.error as error:
        return "error: " + str(error)
gdb.execute("set breakpoint pending off")
print("ANSWERS " + json.dumps([said(command) for command in json.load(open({path!r}))]))
"""


@dataclass
class Reader:
    """Reads one rule's text, line by line, and notes what gdb is to be asked about it."""

    locals: dict[str, set[str]]  # names of arguments and variables, of each function
    broken_at: list[str] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)  # of gdb's own variables
    last: str = "0"  # what was printed last
    running: bool = False  # once the machine has been let go
    in_commands: bool = False
    asked: list[tuple[str, str]] = field(default_factory=list)  # line, gdb command
    wrong: list[str] = field(default_factory=list)

    def value(self, line: str, expression: str) -> None:
        """Have an expression looked up where the machine stands."""
        self.last = f"({self.in_scope(expression)})"
        self.asked.append((line, f"whatis {self.last}"))

    def in_scope(self, expression: str) -> str:
        """Return an expression that means the same with no program running."""

        def variable(found: re.Match[str]) -> str:
            name = found[1]
            if name in REGISTERS:
                return "((long)0)"
            return self.values.get(name, self.last if not name else found[0])

        def name(found: re.Match[str]) -> str:
            if found[0] in PLACEHOLDERS:
                return "0"
            for function in reversed(self.broken_at):
                if found[0] in self.locals.get(function, ()):
                    return f"{function}::{found[0]}"
            return found[0]

        return re.sub(r"\$(\w*)", variable, NAME.sub(name, expression))

    def read(self, line: str) -> None:
        """Take in one line."""
        command = re.sub(r"^thread apply all ", "", line.split("#")[0].strip())
        verb, _, rest = command.partition(" ")
        verb, rest = verb.partition("/")[0], rest.strip()
        if verb in LOOKS and not self.running and not self.in_commands:
            self.wrong.append(f"{line}: looks at a machine that has not been started")
        self.in_commands = verb != "end" and (self.in_commands or verb == "commands")
        self.running |= verb == "continue" and not self.in_commands
        if verb in BREAKS:
            self.break_at(line, rest)
        elif verb in VALUED:
            self.value(line, rest)
        elif verb == "condition":
            self.value(line, rest.partition(" ")[2])
        elif verb == "set" and (assigned := re.fullmatch(r"\$(\w+) = (.*)", rest)):
            self.value(line, assigned[2])
            self.values.setdefault(assigned[1], self.last)
        elif verb == "info":
            self.info(line, rest)
        elif verb == "add-symbol-file":
            if not (ROOT / rest).exists():
                self.wrong.append(f"{line}: no such file")
        elif verb not in PLAIN:
            self.wrong.append(f"{line}: what is {verb!r}?")

    def break_at(self, line: str, rest: str) -> None:
        """Take in a breakpoint's place and condition."""
        place, _, condition = rest.partition(" if ")
        if place in PLACEHOLDERS:
            return
        self.asked.append((line, f"tbreak {place}"))
        self.broken_at.append(place)
        if condition:
            self.value(line, condition)

    def info(self, line: str, rest: str) -> None:
        """Take in one of gdb's infos."""
        topic, _, about = rest.partition(" ")
        if topic == "registers":
            unknown = set(about.split()) - REGISTERS
            if unknown:
                self.wrong.append(f"{line}: no register {', '.join(sorted(unknown))}")
        elif topic in ("line", "symbol"):
            self.value(line, about.removeprefix("*"))
        elif topic not in ("threads", "args", "locals"):
            self.wrong.append(f"{line}: what is info {topic}?")


def ask(elf: Path, questions: list[str], folder: Path) -> list[str]:
    """Return what gdb answers to commands about a kernel that does not run."""
    path = folder / "questions.json"
    path.write_text(json.dumps(questions))
    script = folder / "try.py"
    script.write_text(TRY.format(path=str(path)))
    done = subprocess.run(
        [GDB, "-nx", "-batch", "-x", str(script), str(elf)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    answers = re.search(r"^ANSWERS (.*)$", done.stdout, re.MULTILINE)
    assert answers, done.stdout + done.stderr
    found: list[str] = json.loads(answers[1])
    return found


def scopes(elf: Path, texts: list[str], folder: Path) -> dict[str, set[str]]:
    """Return the arguments and variables of each function that texts break at."""
    functions = sorted(set(re.findall(r"^t?break ([a-z_]\w*)", "\n".join(texts), re.MULTILINE)))
    answers = ask(elf, [f"info scope {function}" for function in functions], folder)
    found = (set(re.findall(r"^Symbol (\w+) is", answer, re.MULTILINE)) for answer in answers)
    return dict(zip(functions, found, strict=True))


def problems(elf: Path, texts: dict[str, str], folder: Path) -> list[str]:
    """Return what is wrong with texts of gdb commands, each by its name."""
    known = scopes(elf, list(texts.values()), folder)
    found, asked = [], []
    for name, text in texts.items():
        reader = Reader(known)
        for line in text.splitlines():
            reader.read(line)
        found += [f"{name}: {wrong}" for wrong in reader.wrong]
        asked += [(f"{name}: {line}", question) for line, question in reader.asked]
    answers = ask(elf, [question for _, question in asked], folder)
    for (line, _), answer in zip(asked, answers, strict=True):
        if answer.startswith("error: "):
            found.append(f"{line}: {answer}")
    return found


@pytest.fixture(scope="module")
def kernel() -> Path:
    """Return the kernel that `explain` tells people to load into gdb."""
    if shutil.which(GDB) is None:
        pytest.skip(f"{GDB} is not installed: apt-get install {GDB}")
    build_clean(ROOT, "share")
    named = re.search(rf"{GDB} (\S+\.elf)", facts.DEBUGGER)
    assert named, "explain's header names no kernel"
    return ROOT / named[1]


def test_every_rule_has_a_meaning_a_next_step_and_gdb_commands() -> None:
    for name, (rule, _) in all_rules().items():
        assert rule.meaning and rule.hint, name
        assert rule.debug or name in NOT_RUN, name


def test_gdb_knows_all_that_people_are_told_to_type(kernel: Path, tmp_path: Path) -> None:
    texts = {name: rule.debug for name, (rule, _) in all_rules().items()}
    assert problems(kernel, texts, tmp_path) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("break no_such_function\ncontinue", 'Function "no_such_function" not defined'),
        ("break kfree if table == 0\ncontinue", 'No symbol "table"'),
        ("break kfree\ncontinue\nprint pages", 'No symbol "pages"'),
        ("break freeproc\ncontinue\nprint p->table", "no member named table"),
        ("continue\nprint cpus[$tp].process", "no member named process"),
        ("continue\nprint kmem.free\nprint *$.previous", "no member named previous"),
        ("set $p = proc\ncontinue\nprint $p->page", "no member named page"),
        ("break kvmswitch\ncondition 1 tabel\ncontinue", 'No symbol "tabel"'),
        ("watch *(long *)WHERE\ncontinue", 'No symbol "WHERE"'),
        ("break usertrapret\nprint kmem.free", "has not been started"),
        ("continue\ninfo registers satp spec", "no register spec"),
        ("continue\nbacktracé", "what is"),
        ("add-symbol-file build/no-such.elf", "no such file"),
    ],
)
def test_what_gdb_would_refuse_is_found(
    kernel: Path, tmp_path: Path, text: str, says: str
) -> None:
    found = problems(kernel, {"rule": text}, tmp_path)
    assert len(found) == 1 and says in found[0], found


def test_arguments_and_placeholders_are_understood(kernel: Path, tmp_path: Path) -> None:
    text = (
        "break kfree if (long)pa == PAGE && $satp << 12 != (long)kernel_pagetable\n"
        "continue\nprint/x pa\nset $p = proc\nwhile $p->pid != PID\nset $p = $p + 1\nend\n"
        "thread apply all print/x $scause\ntbreak NAME"
    )
    assert problems(kernel, {"rule": text}, tmp_path) == []
