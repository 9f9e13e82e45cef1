"""The hooks in the reference kernel's source: where they are, and the source without them.

A hook is ``FAULT(name)`` in one of the forms that faults/hook.h allows. Resolving replaces each
by what it is in a normal build, so that what is left is the source of a kernel that never had
hooks; or, for one fault, by the mistake itself.
"""

from __future__ import annotations

import re

HOOK = re.compile(r"\bFAULT\((\w+)\)")
_INCLUDE = re.compile(r'^#include "\.\./faults/hook\.h"\n', re.MULTILINE)


class HookError(Exception):
    """A hook is in none of the forms of faults/hook.h."""


def resolve(text: str, planted: str = "") -> str:
    """The text of a C or assembly file as it is without its hooks.

    The hooks called `planted` become the mistake that they stand for, all others the right code.
    Raises HookError at a hook in a form that faults/hook.h does not allow.
    """
    text = _INCLUDE.sub("", text)
    while match := HOOK.search(text):
        text = _resolve_first(text, match, match[1] == planted)
    return text


def _resolve_first(text: str, hook: re.Match[str], wrong: bool) -> str:
    start = text.rfind("\n", 0, hook.start()) + 1
    head = text[start : hook.start()]
    if re.fullmatch(r"\s*#\s*if (!?)", head):
        return _resolve_conditional(text, start, wrong != head.endswith("!"))
    if choice := re.compile(r"\s*\?\s*").match(text, hook.end()):
        colon = _colon(text, choice.end())
        if wrong:
            first = text[choice.end() : colon].rstrip()
            return text[: hook.start()] + first + text[_expression_end(text, colon + 1) :]
        return text[: hook.start()] + text[colon + 1 :].lstrip()
    if re.fullmatch(r"\s*if \(", head):
        condition = _closing(text, text.index("(", start))
        end = _statement_end(text, condition + 1)
        if not wrong:
            return text[:start] + text[end:]
        rest = re.compile(r"\s*&&\s*").match(text, hook.end())
        if rest:  # another condition remains
            return text[: hook.start()] + text[rest.end() :]
        return text[:start] + _body(text[condition + 1 : end]) + text[end:]
    if re.fullmatch(r"\s*if \(!", head) and text[hook.end() :].startswith(")\n"):
        body = hook.end() + 2
        end = _statement_end(text, body)
        return text[:start] + ("" if wrong else _dedent(text[body:end])) + text[end:]
    line = text.count("\n", 0, hook.start()) + 1
    raise HookError(
        f"line {line}: FAULT({hook[1]}) is in none of the forms that faults/hook.h allows:"
        f" {text[start:].splitlines()[0].strip()}"
    )


def _dedent(text: str) -> str:
    """The lines of a statement, one level further out."""
    return re.sub(r"^  ", "", text, flags=re.MULTILINE)


def _body(text: str) -> str:
    """What follows a condition, without the condition: a statement or those of a block."""
    block = re.fullmatch(r"\s*\{\n(.*\n)?\s*\}\n", text, re.DOTALL)
    return _dedent(block[1] or "") if block else _dedent(text.lstrip("\n"))


def _resolve_conditional(text: str, start: int, kept: bool) -> str:
    """Drop an #if … #endif about a hook, and what is between unless it is to be kept."""
    body = text.index("\n", start) + 1
    end = re.compile(r"^\s*#\s*endif.*\n", re.MULTILINE).search(text, body)
    if end is None:
        raise HookError("#if FAULT(…) without #endif")
    return text[:start] + (text[body : end.start()] if kept else "") + text[end.end() :]


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
    """The index behind the line on which the statement that begins at an index ends, and behind
    the lines that go on with the comment at its end."""
    i = start
    while text[i].isspace():
        i += 1
    if text[i] == "{":
        i = _closing(text, i)
    while text[i] not in ";}":
        i = _past(text, i)
    end = text.index("\n", i) + 1
    comment = text.find("//", i, end)
    if comment >= 0:
        column = comment - (text.rfind("\n", 0, i) + 1)
        more = re.compile(rf"(?: {{{column}}}//.*\n)+").match(text, end)
        end = more.end() if more else end
    return end


def _colon(text: str, start: int) -> int:
    """The index of the colon of a conditional expression whose ? stands before an index."""
    i = start
    while text[i] != ":":
        if text[i] in ";?":
            raise HookError("a conditional expression about a hook has no plain first choice")
        i = _past(text, i)
    return i


def _expression_end(text: str, start: int) -> int:
    """The index behind an expression that begins at an index: where its statement, its argument
    or its bracket ends."""
    i = start
    while text[i] not in ",;)]}":
        i = _past(text, i)
    return i
