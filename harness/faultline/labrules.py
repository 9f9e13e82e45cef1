"""The rules of what a lab asks for itself, besides the checks."""

from __future__ import annotations

from .finding import Rule

COUNT_DIFFERS = Rule(
    "count-differs",
    "error",
    "A command that prints counters was run twice, and the second run's do not exceed the "
    "first's by as much as the lab says. Such a counter is kept by code that may not be "
    "changed, and counts how often a function of the lab is really called; two runs of the "
    "same command call it equally often. If it stands still, the new function is not called "
    "at all, and the old one does the work, on real hardware as well.",
    "Does every call go to the function that the lab hands out, and to no other?",
    "break copyin               # or whatever the counter counts\n"
    "commands\n"
    "backtrace 3                # who still calls it, and is it this one that counts?\n"
    "continue\n"
    "end\n"
    "continue                   # at the shell: the command, twice",
)
FILE_MISSING = Rule(
    "file-missing",
    "error",
    "A file that the lab asks for was not handed in, or there is next to nothing in it. It is "
    "looked for in the tree as it was handed in, before anything is built.",
    "Is it in the tree's top folder, under exactly this name, and committed?",
)
FILE_NO_NUMBER = Rule(
    "file-no-number",
    "error",
    "A file must hold one whole number and nothing else, such as the hours that the lab took; "
    "it holds something else, or it is not there.",
    "Write just the number, in decimal digits, without a unit.",
)
RULES = (COUNT_DIFFERS, FILE_MISSING, FILE_NO_NUMBER)
