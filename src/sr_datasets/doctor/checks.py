"""One thing that was looked at, and how all of them are told."""

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from typing import Any, Literal

State = Literal["ok", "note", "broken"]
"""``note``: nothing is wrong, but it is worth knowing, such as an extra that is not installed."""

_WIDTH = 80


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    topic: str
    """``versions``, ``extras``, ``codecs``, ``disk``, ``network``, ``gpu`` or ``store``."""
    name: str
    """Of the thing, a word or two."""
    state: State
    """Whether it works."""
    found: str
    """What was found."""
    fix: str = ""
    """The next step, where there is one."""
    facts: dict[str, Any] = field(default_factory=dict)
    """The same as plain JSON values, for programs."""


def render(checks: Sequence[Check]) -> str:
    """Return all that was found as text of at most 80 columns, ending with a line that sums it up."""
    lines: list[str] = []
    width = max((len(check.name) for check in checks), default=0)
    indent = " " * (10 + width + 2)
    for topic, group in groupby(checks, key=lambda check: check.topic):
        lines += [topic] if not lines else ["", topic]
        for check in group:
            head = f"  {check.state:<6}  {check.name:<{width}}  "
            lines += _wrapped(check.found, head, indent)
            lines += _wrapped(check.fix, indent, indent) if check.fix else []
    return "\n".join([*lines, "", summary(checks)])


def summary(checks: Iterable[Check]) -> str:
    """Return in one line how much is broken, and how much is worth a look.

    Example:
        >>> summary([Check("disk", "free", "note", "2.1 GB")])
        'nothing is broken, 1 note'
    """
    states = [check.state for check in checks]
    broken, notes = states.count("broken"), states.count("note")
    told = "nothing is broken" if not broken else f"{broken} broken"
    return told + (f", {notes} note{'s' if notes > 1 else ''}" if notes else "")


def to_json(checks: Sequence[Check]) -> dict[str, Any]:
    """Return all that was found as plain JSON values."""
    return {
        "broken": sum(check.state == "broken" for check in checks),
        "checks": [asdict(check) for check in checks],
    }


def _wrapped(text: str, head: str, indent: str) -> list[str]:
    return [
        line
        for number, part in enumerate(text.splitlines() or [""])
        for line in textwrap.wrap(
            part,
            _WIDTH,
            initial_indent=head if number == 0 else indent,
            subsequent_indent=indent,
            break_on_hyphens=False,
            # A path or a command may be longer than the column; cut in two it could not be copied.
            break_long_words=False,
        )
        or [head.rstrip()]
    ]
