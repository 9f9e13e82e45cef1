"""What a kernel must not do when an allocation fails."""

from __future__ import annotations

from collections.abc import Sequence

from ..finding import Finding, Rule, Where

_ARM = (
    "break __wrap_kalloc if faultline_ctl.calls + 1 == faultline_ctl.n\n"
    "continue                   # then type the finding's probe command at the shell\n"
    "backtrace                  # the allocation that is about to fail\n"
)

PANIC = Rule(
    "alloc-failure-panic",
    "error",
    "An allocation failed, and the kernel gave up: it panicked, took a trap that it does not "
    "provide for, or turned the machine off. Running out of memory is no mistake of the "
    "kernel's: any program can bring it about by asking for much, so any program can now stop "
    "the machine, and on real hardware it takes all others with it. A panic(\"kalloc\") that "
    "was right at boot is called for a fork, or nobody looked at what kalloc(), walk() or "
    "mappages() returned, or what is undone was never done.",
    "Follow the call path of the allocation outwards: who learns that it failed, and what does "
    "each do then? In the end the system call must return -1.",
    _ARM + "break panic\n"
    "continue\n"
    "backtrace                  # where the failure was not expected",
)
HANG = Rule(
    "alloc-failure-hang",
    "error",
    "An allocation failed, and the kernel never came back, or never stopped writing. Usually "
    "the way out of the failure returns without releasing a lock, so that the next one who "
    "wants it waits for ever, or tries again and again until there is memory, which there never "
    "will be. A real machine just stands still, under load, with nothing on its console.",
    "Which locks are held where the allocation fails? Each of them must be released on the way "
    "out.",
    _ARM + "continue                   # and, when it hangs, ctrl-C\n"
    "info threads               # a thread is a hart\n"
    "thread apply all backtrace 6\n"
    "print cpus[$tp]            # noff, intena: are interrupts off?",
)
LEAK = Rule(
    "alloc-failure-leak",
    "error",
    "An allocation failed, the call ended, and pages that it had allocated before were never "
    "freed. They are lost just when there are none left: a machine that is short of memory "
    "for a moment stays so. The error path gives back less than was taken: it returns too "
    "early, frees the table but not what it maps, or forgets what an inner function had "
    "already done.",
    "What has been allocated when this allocation fails? All of it must be freed on the way "
    "out.",
    _ARM + "break kfree                # what is given back on the way out?\n"
    "commands\n"
    "backtrace 4\n"
    "continue\n"
    "end\n"
    "continue",
)
DOUBLE_FREE = Rule(
    "alloc-failure-double-free",
    "error",
    "An allocation failed, and on the way out a page was freed twice, or something that is no "
    "page. Two clean-ups overlap: the inner function undoes its work, and its caller undoes it "
    "once more, or what was not yet allocated is freed with the rest. The page will have two "
    "owners, who overwrite each other's data: the crash comes later, and somewhere else; with "
    "more harts, as on real hardware, somewhere else each time.",
    "Decide who undoes what: either the function that fails, or its caller.",
    _ARM + "break kfree                # the finding's page: who frees it, each time?\n"
    "commands\n"
    "backtrace 6\n"
    "continue\n"
    "end\n"
    "continue",
)
FALSE_SUCCESS = Rule(
    "alloc-failure-false-success",
    "error",
    "An allocation failed, and the system call reported success although it had not done what "
    "it should: memory that is not there, a child that does not run, data that was not written. "
    "The program goes on and believes it, and fails later where nothing points back here. A "
    "result was not looked at, or -1 was lost between an inner function and the system call.",
    "Follow the result of the failed call outwards: where does it get lost?",
    _ARM + "finish                     # again and again: what does each function return?\n"
    "print (long)myproc()->trapframe->a0",
)
FALSE_FAILURE = Rule(
    "alloc-failure-false-failure",
    "error",
    "An allocation failed, and the system call reported a failure although it had done what it "
    "was asked to. The program does not know of the file, the child or the memory that it now "
    "has; it tries again, and has two of them, or works around what is not missing. The point "
    "after which a call can no longer fail was passed before everything was allocated.",
    "Allocate all that is needed first, and change nothing before that has succeeded.",
    _ARM + "finish                     # what is done already when the failure is returned?",
)
CHANGED = Rule(
    "alloc-failure-changed-state",
    "error",
    "An allocation failed, the system call said so, but something is not as it was: the "
    "process's size, an open file, the memory's contents, a file. A call that fails must have "
    "done nothing: a program that gets -1 relies on what it had before, and goes on with it. "
    "The call undoes a part of its work only, or changed the process before it knew that it "
    "would succeed.",
    "Build the new state aside, and take it over in one step that cannot fail.",
    _ARM + "print *myproc()            # before\n"
    "break usertrapret          # or whatever returns to the program\n"
    "continue\n"
    "print *myproc()            # and after: what has changed?",
)
INSANE = Rule(
    "alloc-failure-insane",
    "error",
    "An allocation failed, the system call ended, and afterwards the same call does not work "
    "any more although there is memory enough. The failure has left something behind that is "
    "not shown by the count of pages: a process slot, a file, an inode, a lock that is still "
    "taken, a table entry. Real machines that were once short of memory then need a reboot.",
    "What does the call take besides pages, before this allocation? It must give that back, "
    "too.",
    _ARM + "finish                     # which of the steps before it are undone?\n"
    "break syscall              # and the next call: where does it fail?",
)
CANNOT_RUN = Rule(
    "sweep-cannot-run",
    "error",
    "One of the sweep's workloads does not work although no allocation fails, so nothing can be "
    "said of how it fails. The workloads do ordinary things: fork, exec, files, pipes, memory. "
    "Programs on a real machine would meet the same.",
    "Try the same calls in a small program of your own.",
    "break syscall if myproc()->name[0] == 'p'   # the probe's\n"
    "continue\n"
    "finish\n"
    "print (long)myproc()->trapframe->a0         # -1: this one failed",
)
BOUNDARY = Rule(
    "sweep-boundary",
    "note",
    "The workloads copyin, copyout and copyinstr have the kernel copy up to each boundary of "
    "user memory, over it, and beyond: it must copy what the user may use, and nothing else. "
    "This kernel does not, although no allocation fails, so they were not swept. That is no "
    "allocation failure, and where it can do harm another check says so; but a program on a "
    "real machine may be refused a good pointer, or read what it may not. (The course's own "
    "vmcopyin.c of 2020 refuses the last byte.)",
    "Compare the check of the address's end with the process's size: < or <=?",
    "break copyin                # or copyout, copyinstr\n"
    "continue\n"
    "info args                   # from where, and how far?\n"
    "finish",
)
ANYWAY = Rule(
    "sweep-broken-anyway",
    "note",
    "Page tables, or what belongs to them, are not as they should be after a workload in which "
    "no allocation fails. So no allocation is to blame, and none is blamed for what breaks the "
    "same rules. `audit` looks for such mistakes, and says more of each; on real hardware they "
    "do harm whether memory runs out or not.",
    "`faultline audit` has them as findings of their own, if one of its poses shows them.",
    "break sys_sbrk             # or what else the workload is named after\n"
    "continue                   # at the shell: probe NONCE sweep WORKLOAD nth 1 0\n"
    "finish",
)
RULES = (
    PANIC, HANG, LEAK, DOUBLE_FREE, FALSE_SUCCESS, FALSE_FAILURE, CHANGED, INSANE, CANNOT_RUN,
    BOUNDARY, ANYWAY,
)  # fmt: skip

# Workloads that copy at boundaries of user memory; what the probe calls these.
COPIES = ("copyin", "copyout", "copyinstr")
BOUNDARIES = {
    "page-start": "the start of a page",
    "page-end": "the end of a page",
    "last-bytes": "the last bytes of user memory",
    "across-end": "the end of user memory, and beyond",
    "end": "the first byte beyond user memory",
    "guard": "the guard page",
    "guard-end": "the guard page's last byte",
    "plic": "the PLIC",
    "kernel": "the kernel's memory",
    "trampoline": "the trampoline",
    "top": "the top of the address space",
    "wrapping": "an address that wraps around",
}
MUST_COPY = ("page-start", "page-end", "last-bytes")

OF_RESULT = {
    "false-success": FALSE_SUCCESS,
    "false-failure": FALSE_FAILURE,
    "changed": CHANGED,
}
OF_DEATH = {
    "panic": PANIC,
    "exited": PANIC,
    "reboot-loop": PANIC,
    "hang": HANG,
    "silent": HANG,
    "endless-output": HANG,
}


def broken_anyway(found: Sequence[tuple[str, Finding]]) -> Finding:
    """Return what is to be said of rules that are broken although nothing fails, each after
    the workload that showed it first."""
    names = ", ".join(dict.fromkeys(one.rule for _, one in found))
    return ANYWAY.finding(
        f"Broken although no allocation fails, and so laid to none: {names}.",
        evidence="\n".join(f"after `{name}`: {one.message} At {one.where}" for name, one in found),
    )


def cannot_run(
    workloads: Sequence[str], what: str, evidence: str, where: Where | None = None
) -> Finding:
    """Return what is to be said of workloads that do not work although nothing fails, all for
    the same reason."""
    place = what.partition(":")[2]
    if workloads[0] in COPIES and place in BOUNDARIES:
        does = "copies less than it should" if place in MUST_COPY else "copies what it may not"
        return BOUNDARY.finding(
            f"The kernel {does} at {BOUNDARIES[place]}: so `{workloads[0]}` was not swept.",
            evidence=f"probe NONCE sweep {workloads[0]} nth 1 0 answered cannot={what}",
        )
    names = "`, `".join(workloads)
    several = len(workloads) > 1
    return CANNOT_RUN.finding(
        f"The workload{'s' * several} `{names}` {'do' if several else 'does'} not work although no "
        f"allocation is made to fail: {what}.",
        where=where or Where(),
        evidence=evidence,
    )
