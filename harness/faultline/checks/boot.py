"""Does it boot?"""

from __future__ import annotations

from collections.abc import Iterator

from ..bench import Bench
from ..excerpt import last_lines
from ..finding import Finding, Rule
from ..machine import PROMPT, GuestDied
from . import check

STARTING = "init: starting sh"
ATTEMPTS = 5  # of init to start a shell, after which there will be none

NO_SHELL = Rule(
    "no-shell",
    "error",
    "The kernel boots and init runs, but the shell's prompt never comes. init starts the "
    "shell by fork and exec; if that fails, init tries again, for ever. So a system call "
    "that these need is broken: fork, exec, open, dup, write or wait. A step forgotten for "
    "one of the ways to make a process is enough. On real hardware the machine is up and "
    "nobody can use it.",
    "What does init or the shell do first that needs a pointer into user memory?",
    "break syscall if cpus[$tp].proc->pid > 1\n"
    "commands                   # what the shell asks for, up to the last call\n"
    "print cpus[$tp].proc->trapframe->a7\n"
    "continue\n"
    "end\n"
    "break usertrap if (long)$scause >= 0 && $scause != 8\n"
    "continue                   # or a fault in user mode: see $sepc, $stval",
)


@check(NO_SHELL, quick=True)
def boot(bench: Bench) -> Iterator[Finding]:
    """The kernel boots to the shell's prompt, and the shell runs a command"""
    with bench.machine() as machine:
        try:
            machine.expect(
                rf"{PROMPT}|(?:{STARTING}(?:(?!{PROMPT})[\s\S])*){{{ATTEMPTS}}}",
                "the shell's prompt",
                machine.config.limits.boot,
            )
        except GuestDied as died:
            if died.death.kind in ("hang", "endless-output") and STARTING in machine.said():
                yield no_shell(machine.said())
                return
            raise
        if machine.said().count(STARTING) >= ATTEMPTS:
            yield no_shell(machine.said())
            return
        word = f"faultline-{bench.nonce}"
        said = machine.shell(f"echo {word}")
        if word not in said:
            yield NO_SHELL.finding(
                "The shell gives a prompt, but does not run a command.",
                evidence=f"`echo {word}` printed:\n{last_lines(said)}",
            )


def no_shell(console: str) -> Finding:
    """Return the finding for a machine on which init runs and no prompt comes."""
    return NO_SHELL.finding(
        "init starts the shell, but the shell's prompt never comes.",
        evidence=f"init tried {console.count(STARTING)} times. The last output:\n"
        + last_lines(console),
    )
