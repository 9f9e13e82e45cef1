"""The hooks in the reference kernel's source: where they are, and the source without them.

A hook is ``FAULT(name)`` in one of the forms that faults/hook.h allows. Resolving replaces each
by what it is in a normal build, so that what is left is the source of a kernel that never had
hooks.
"""

from __future__ import annotations

import re

HOOK = re.compile(r"\bFAULT\((\w+)\)")
_INCLUDE = re.compile(r'^#include "\.\./faults/hook\.h"\n', re.MULTILINE)


class HookError(Exception):
    """A hook is in none of the forms of faults/hook.h."""


def resolve(text: str) -> str:
    """The text of a C or assembly file as it is without its hooks.

    Raises HookError at a hook in a form that faults/hook.h does not allow.
    """
    text = _INCLUDE.sub("", text)
    while match := HOOK.search(text):
        text = _resolve_first(text, match)
    return text


def _resolve_first(text: str, hook: re.Match[str]) -> str:
    start = text.rfind("\n", 0, hook.start()) + 1
    head = text[start : hook.start()]
    if re.fullmatch(r"\s*#\s*if (!?)", head):
        return _resolve_conditional(text, start, positive=not head.endswith("!"))
    if choice := re.compile(r"\s*\?\s*").match(text, hook.end()):
        colon = _colon(text, choice.end())
        return text[: hook.start()] + text[colon + 1 :].lstrip()
    if re.fullmatch(r"\s*if \(", head):
        end = _statement_end(text, _closing(text, text.index("(", start)) + 1)
        return text[:start] + text[end:]
    if re.fullmatch(r"\s*if \(!", head) and text[hook.end() :].startswith(")\n"):
        body = hook.end() + 2
        end = _statement_end(text, body)
        return text[:start] + re.sub(r"^  ", "", text[body:end], flags=re.MULTILINE) + text[end:]
    line = text.count("\n", 0, hook.start()) + 1
    raise HookError(
        f"line {line}: FAULT({hook[1]}) is in none of the forms that faults/hook.h allows:"
        f" {text[start:].splitlines()[0].strip()}"
    )


def _resolve_conditional(text: str, start: int, positive: bool) -> str:
    """Drop an #if … #endif about a hook; keep what is between if the condition is negated."""
    body = text.index("\n", start) + 1
    end = re.compile(r"^\s*#\s*endif.*\n", re.MULTILINE).search(text, body)
    if end is None:
        raise HookError("#if FAULT(…) without #endif")
    kept = "" if positive else text[body : end.start()]
    return text[:start] + kept + text[end.end() :]


_LITERAL = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'')


def _past(text: str, i: int) -> int:
    """The index behind what begins at an index: a literal, what is in brackets, a character."""
    if literal := _LITERAL.match(text, i):
        return literal.end()
    return _closing(text, i) + 1 if text[i] in "([{" else i + 1


def _closing(text: str, opening: int) -> int:
    """The index of the bracket that closes the one at an index."""
    i = opening + 1
    while i < len(text) and text[i] not in ")]}":
        i = _past(text, i)
    if i == len(text):
        raise HookError("a bracket is not closed")
    return i


def _statement_end(text: str, start: int) -> int:
    """The index behind the line on which the statement that begins at an index ends."""
    i = start
    while text[i].isspace():
        i += 1
    if text[i] == "{":
        i = _closing(text, i)
    while text[i] not in ";}":
        i = _past(text, i)
    return text.index("\n", i) + 1


def _colon(text: str, start: int) -> int:
    """The index of the colon of a conditional expression whose ? stands before an index."""
    i = start
    while text[i] != ":":
        if text[i] in ";?":
            raise HookError("a conditional expression about a hook has no plain first choice")
        i = _past(text, i)
    return i
