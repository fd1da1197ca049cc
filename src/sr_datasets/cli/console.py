"""How commands show themselves: bars on a terminal, plain lines elsewhere, tables of 80 columns."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self

from sr_datasets.files import human_bytes
from sr_datasets.progress import Bar, Progress

if TYPE_CHECKING:
    import rich.progress

_PLAIN_SECONDS = 10.0


@contextmanager
def progress_on_stderr() -> Iterator[Progress]:
    """Give a ``Progress`` that draws bars on a terminal and prints plain lines elsewhere."""
    if not sys.stderr.isatty():
        yield _PlainProgress()
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    with RichProgress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[count]}"),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
        transient=True,
    ) as bars:
        yield _RichProgress(bars)


def done_text(done: int, total: int | None, unit: str) -> str:
    """Return how far work is, in words.

    Example:
        >>> done_text(7, 14, "clips"), done_text(1500, None, "bytes")
        ('7 of 14 clips', '1.5 kB')
    """
    if unit == "bytes":
        return human_bytes(done) if total is None else f"{human_bytes(done)} of {human_bytes(total)}"
    return f"{done} {unit}" if total is None else f"{done} of {total} {unit}"


def table(rows: Sequence[Sequence[str]], *, header: Sequence[str]) -> str:
    """Lay out text cells in columns; columns whose cells are all numbers stand to the right."""
    cells = [list(header), *[list(row) for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    numeric = [all(_is_number(row[column]) for row in rows) for column in range(len(header))]
    lines = [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in cells
    ]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def _is_number(text: str) -> bool:
    head = text.split(" ")[0]
    return not head or head.replace(".", "").replace("-", "").isdigit()


class _RichProgress:
    def __init__(self, bars: "rich.progress.Progress") -> None:
        self._bars = bars

    def bar(self, label: str, *, total: int | None, unit: str) -> Bar:
        return _RichBar(self._bars, label, total, unit)

    def log(self, text: str) -> None:
        self._bars.console.print(text, highlight=False, markup=False)


class _RichBar:
    def __init__(self, bars: "rich.progress.Progress", label: str, total: int | None, unit: str) -> None:
        self._bars, self._total, self._unit, self._done = bars, total, unit, 0
        self._task = bars.add_task(label, total=total, count="", note="")

    def advance(self, amount: int) -> None:
        self._done += amount
        self._bars.update(self._task, advance=amount, count=done_text(self._done, self._total, self._unit))

    def note(self, text: str) -> None:
        self._bars.update(self._task, note=text)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.remove_task(self._task)


class _PlainProgress:
    def bar(self, label: str, *, total: int | None, unit: str) -> Bar:
        return _PlainBar(label, total, unit)

    def log(self, text: str) -> None:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


class _PlainBar:
    """One line every ten seconds, and one at the end of work that took longer than that."""

    def __init__(self, label: str, total: int | None, unit: str) -> None:
        self._label, self._total, self._unit = label, total, unit
        self._done, self._note = 0, ""
        self._start = self._last = time.monotonic()

    def advance(self, amount: int) -> None:
        self._done += amount
        if time.monotonic() - self._last >= _PLAIN_SECONDS:
            self._print()

    def note(self, text: str) -> None:
        self._note = text

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and self._last > self._start:
            self._print()

    def _print(self) -> None:
        self._last = time.monotonic()
        rate = self._done / (self._last - self._start)
        speed = human_bytes(round(rate)) if self._unit == "bytes" else f"{rate:.1f} {self._unit}"
        left = ""
        if self._total is not None and 0 < self._done < self._total:
            left = f", {(self._total - self._done) / rate:.0f} s left"
        note = f" {self._note}" if self._note else ""
        line = f"{self._label}: {done_text(self._done, self._total, self._unit)} ({speed}/s{left}){note}"
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
