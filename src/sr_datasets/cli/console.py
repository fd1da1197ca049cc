"""How commands show themselves: bars on a terminal, plain lines elsewhere, tables of 80 columns."""

import json
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from sr_datasets.files import human_bytes
from sr_datasets.progress import Bar, Progress

if TYPE_CHECKING:
    import rich.progress

_PLAIN_SECONDS = 10.0
_DRAW_SECONDS = 0.1


@contextmanager
def progress_on_stderr(*, as_json: bool = False) -> Iterator[Progress]:
    """Give a ``Progress`` that draws bars on a terminal and prints plain lines elsewhere.

    Args:
        as_json: Write JSON lines to standard output instead (``JsonProgress``).
    """
    if as_json:
        yield JsonProgress(sys.stdout)
        return
    if not sys.stderr.isatty():
        yield _PlainProgress()
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as RichProgress

    with RichProgress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[count]}"),
        TextColumn("{task.fields[pace]}"),
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


class _Meter:
    """Counts of one bar, and the pace of what this run did; several threads may count at once."""

    def __init__(self, label: str, total: int | None, unit: str) -> None:
        self.label, self.total, self.unit = label, total, unit
        self.done, self.note_text = 0, ""
        self.start = time.monotonic()
        self._new = 0
        self._lock = threading.Lock()

    def advance(self, amount: int, *, present: bool = False) -> None:
        with self._lock:
            self.done += amount
            self._new += 0 if present else amount
        self.changed()

    def expect(self, amount: int) -> None:
        with self._lock:
            self.total = amount if self.total is None else max(self.total + amount, 0)
        self.changed()

    def note(self, text: str) -> None:
        self.note_text = text
        self.changed()

    def changed(self) -> None:
        """Show the counts, now or later."""

    def rate(self) -> float:
        """Return units a second since the start, of those that this run did."""
        return max(self._new, 0) / max(time.monotonic() - self.start, 1e-3)

    def pace(self) -> str:
        """Return rate and time left, in words."""
        rate = self.rate()
        speed = human_bytes(round(rate)) if self.unit == "bytes" else f"{rate:.1f} {self.unit}"
        left = ""
        if rate and self.total is not None and 0 < self.done < self.total:
            left = f", {_duration((self.total - self.done) / rate)} left"
        return f"{speed}/s{left}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes / 60:.1f} h"


class _RichProgress:
    def __init__(self, bars: "rich.progress.Progress") -> None:
        self._bars = bars

    def bar(self, label: str, *, total: int | None, unit: str) -> Bar:
        return _RichBar(self._bars, label, total, unit)

    def log(self, text: str) -> None:
        self._bars.console.print(text, highlight=False, markup=False)

    def event(self, kind: str, **facts: object) -> None:
        pass


class _RichBar(_Meter):
    def __init__(self, bars: "rich.progress.Progress", label: str, total: int | None, unit: str) -> None:
        super().__init__(label, total, unit)
        self._bars, self._shown = bars, 0.0
        self._task = bars.add_task(label, total=total, count="", pace="", note="")

    def changed(self) -> None:
        now = time.monotonic()
        if now - self._shown < _DRAW_SECONDS and self.done != self.total:
            return
        self._shown = now
        self._bars.update(
            self._task,
            completed=self.done,
            total=self.total,
            count=done_text(self.done, self.total, self.unit),
            pace=self.pace(),
            note=self.note_text,
        )

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

    def event(self, kind: str, **facts: object) -> None:
        pass


class _PlainBar(_Meter):
    """One line every ten seconds, and one at the end of work that took longer than that."""

    def __init__(self, label: str, total: int | None, unit: str) -> None:
        super().__init__(label, total, unit)
        self._last = self.start

    def changed(self) -> None:
        if time.monotonic() - self._last >= _PLAIN_SECONDS:
            self._print()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and self._last > self.start:
            self._print()

    def _print(self) -> None:
        self._last = time.monotonic()
        note = f" {self.note_text}" if self.note_text else ""
        line = f"{self.label}: {done_text(self.done, self.total, self.unit)} ({self.pace()}){note}"
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


class JsonProgress:
    """One JSON object a line: ``start``, ``progress`` (once a second at most) and ``end`` of bars, ``log``, and events.

    Args:
        out: Where the lines go.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.Lock()

    def bar(self, label: str, *, total: int | None, unit: str) -> Bar:
        """Start a bar."""
        return _JsonBar(self, label, total, unit)

    def log(self, text: str) -> None:
        """Say one line."""
        self.event("log", text=text)

    def event(self, kind: str, **facts: object) -> None:
        """Write one line."""
        line = json.dumps({"event": kind, **facts})
        with self._lock:
            self._out.write(line + "\n")
            self._out.flush()


class _JsonBar(_Meter):
    def __init__(self, progress: JsonProgress, label: str, total: int | None, unit: str) -> None:
        super().__init__(label, total, unit)
        self._progress, self._last = progress, self.start
        self._tell("start")

    def changed(self) -> None:
        if time.monotonic() - self._last >= 1:
            self._last = time.monotonic()
            self._tell("progress")

    def _tell(self, kind: str) -> None:
        facts = {"label": self.label, "done": self.done, "total": self.total, "unit": self.unit}
        self._progress.event(kind, **facts, per_second=round(self.rate()))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tell("end")
