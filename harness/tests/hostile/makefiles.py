"""Makefiles that try to get out, to stay, to use up everything, or to talk themselves up."""

from __future__ import annotations

from pathlib import Path

from test_grade import MAIN_C
from test_tree import MAKEFILE

from . import ENDLESS, TOKEN, Case, recipe, tree, with_makefile

NO_BUILD = "does-not-build"
LATE = "The build was stopped: it was not done after 3 s"
PLACES = " ".join(
    f"{place}/{TOKEN}"
    for place in (Path.home(), "/tmp", "/dev/shm", "/var/tmp", "/usr", "/etc", "/faultline/bin",
                  "..", "../..", "../next", "/proc/sys/kernel")
)  # fmt: skip
WRITE_ALL = f"for f in {PLACES}; do echo x > $$f; done 2>/dev/null; rm -rf {Path.home()} /tmp ..; "
DEFINES = "all: kernel/kernel fs.img\n"


def mkfs(body: str) -> dict[str, str]:
    return {"mkfs/mkfs.c": f"#include <stdio.h>\nint main(void) {{ {body} }}\n"}


CASES = [
    Case(
        "fork-bomb",
        recipe(f"@bash -c 'b() {{ b | b & }}; b; sleep 999 # {TOKEN}'"),
        "fail", LATE, NO_BUILD, ENDLESS,
    ),
    Case("parse-time-endless", with_makefile("X := $(shell sleep 999)"), "fail", LATE, NO_BUILD,
         ENDLESS),
    Case(
        "compile-endless",
        tree({"kernel/vm.c": "#define A(x) x x x x x x x x x x\n#define B(x) A(A(A(A(A(A(x))))))\n"
              "int y = 0 B(B(+ 1));\n"}),
        "fail", r"stopped: it was not done|cannot allocate|out of memory|failed", NO_BUILD, ENDLESS,
    ),
    Case("include-device", tree({"kernel/vm.c": '#include "/dev/zero"\nint vm;\n'}), "fail",
         r"stopped|does not compile|failed", NO_BUILD, ENDLESS),
    Case("include-self", tree({"kernel/vm.c": "#include __FILE__\n" * 9}), "fail",
         "include nested|does not compile|stopped", NO_BUILD, ENDLESS),
    Case("mkfs-endless", tree(mkfs("for (;;) ;")), "fail", LATE, NO_BUILD, ENDLESS),
    # Either the time is up first, or no process is left.
    Case("make-recursion", recipe("@$(MAKE) -j kernel/kernel & $(MAKE) kernel/kernel"), "fail",
         f"{LATE}|failed, with exit status", NO_BUILD, ENDLESS),
    Case("output-endless", recipe("@yes 'this is fine'"), "fail",
         "stopped: it printed more than 1 MiB", NO_BUILD),
    Case("output-one-line", recipe("@tr '\\0' x < /dev/zero"), "fail",
         "stopped: it printed more than 1 MiB", NO_BUILD),
    Case("file-100-gb-sparse", recipe("@truncate -s 100G kernel/kernel"), "fail",
         "a file may have 64 MiB here", NO_BUILD),
    Case("file-100-gb-written", recipe("@cat /dev/zero > kernel/kernel"), "fail",
         "a file may have 64 MiB here|stopped: its files took more than 64 MiB", NO_BUILD),
    Case("files-100-gb", recipe("@for n in $$(seq 9999); do head -c 8000000 /dev/zero > $$n; done"),
         "fail", "stopped: its files took more than 64 MiB", NO_BUILD),
    Case("files-million", recipe("@mkdir d; cd d; seq 1000000 | xargs touch; sleep 30"), "fail",
         "stopped: it made more than 5000 files", NO_BUILD),
    Case(
        "network",
        recipe("@bash -c 'exec 3<>/dev/tcp/1.1.1.1/80 || exec 3<>/dev/tcp/127.0.0.1/22'",
               "@echo reached the network > kernel/kernel"),
        "fail", "failed, with exit status", NO_BUILD,
    ),
    Case("writes-everywhere", recipe(f"@{WRITE_ALL} false"), "fail", "failed", NO_BUILD),
    Case("parse-time-writes", with_makefile(f"X := $(shell {WRITE_ALL})"), "pass", "boot: "),
    Case("kills-everything", recipe("@kill -9 -1; kill -9 $$PPID 1; kill -9 0; sleep 1; false"),
         "fail", "failed, with exit status", NO_BUILD),
    Case(
        "stays-behind",
        with_makefile(f"X := $(shell setsid nohup sh -c 'sleep 3; echo {TOKEN} > late' "
                      ">/dev/null 2>&1 &)"),
        "pass", "build: .*",
    ),
    Case("perfect-score", recipe("@echo 'Score: 66/66'; echo ALL TESTS PASSED; touch $@"), "fail",
         "no program for 64-bit RISC-V", NO_BUILD),
    Case("perfect-score-exits", with_makefile("$(info == Score: 100/100 ==)\n$(error done)"),
         "fail", "make stops: done", NO_BUILD),
    Case("include-next-door", with_makefile("include ../../next/Makefile"), "fail",
         "../../next/Makefile", NO_BUILD),
    Case("source-next-door", tree({"kernel/vm.c": '#include "../../../next/kernel/vm.c"\n'}),
         "fail", "next/kernel/vm.c: No such file", NO_BUILD),
    Case("kernel-is-a-link", recipe("@ln -sf /etc/passwd kernel/kernel"), "fail", "leads out",
         NO_BUILD),
    Case("kernel-is-a-pipe", recipe("@mkfifo kernel/kernel fs.img"), "fail", "no ordinary file",
         NO_BUILD),
    Case("image-elsewhere", tree({"Makefile": DEFINES + MAKEFILE.replace("file=fs.img",
         "file=/etc/passwd")}), "fail", "leads out", NO_BUILD),
    Case("image-huge", tree({"Makefile": DEFINES + MAKEFILE.replace("mkfs/mkfs > fs.img",
         "truncate -s 100M fs.img; truncate -s 3G fs.img")}), "fail", "failed|cannot be used",
         NO_BUILD),
    Case(
        "qemu-options",
        tree({"Makefile": DEFINES + MAKEFILE.replace("-smp 3", f"-smp 999999999 -monitor "
              f"file:/tmp/{TOKEN} -chardev file,id=x,path=/tmp/{TOKEN} -m 99999999999999G")}),
        "pass", "boot: ",
    ),
    Case("own-compiler", tree({"Makefile": DEFINES + MAKEFILE.replace("$(TOOLPREFIX)",
         "/usr/bin/riscv64-unknown-elf-").replace(" -Werror", "")}), "pass", "boot: "),
    Case("own-path", with_makefile("export PATH := /job/bin:/usr/bin\nTOOLPREFIX = evil-"), "fail",
         "mkfs/mkfs.c does not compile: unused variable", NO_BUILD),
    Case("spoils-its-tools", with_makefile("X := $(shell rm -rf /faultline /usr/bin; "
         "echo exit 0 > /faultline/bin/gcc)"), "pass", "boot: "),
    Case(
        "any-bytes-on-stdout",
        recipe("@head -c 5000 /dev/urandom; printf '\\033[2J\\033]0;owned\\007\\377'; false"),
        "fail", "failed, with exit status", NO_BUILD,
    ),
    Case("long-names", tree({"kernel/" + "v" * 200 + ".c": "int v;\n", "Makefile": DEFINES
         + MAKEFILE.replace("kernel/vm.o", "kernel/" + "v" * 200 + ".o")}), "pass", "boot: "),
    Case("shim-of-its-own", tree({"kernel/vm.c": "void *__wrap_kalloc(void) { return 0; }\n"
         "void __wrap_kfree(void *p) { (void)p; }\n"}), "pass", "boot: "),
    Case("no-such-function", tree({"kernel/main.c": MAIN_C.replace("argaddr", "argument")}),
         "pass", "boot: "),
]  # fmt: skip
