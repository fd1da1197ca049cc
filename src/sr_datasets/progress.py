"""How long work tells how far it is, without knowing who watches."""

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, Self


class Bar(Protocol):
    """One piece of work under way; leaving its ``with`` block ends it."""

    def advance(self, amount: int, *, present: bool = False) -> None:
        """Count ``amount`` more units as done (negative when work starts over).

        Args:
            amount: How many.
            present: Whether they were done before this run, so that they say nothing about its pace.
        """

    def expect(self, amount: int) -> None:
        """Count ``amount`` more units as to be done (negative when some are not needed after all)."""

    def note(self, text: str) -> None:
        """Show a few words beside the bar, such as a loss."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Progress(Protocol):
    """Where work reports itself. ``cli`` draws it; ``Silent`` drops it."""

    def bar(self, label: str, *, total: int | None, unit: str) -> Bar:
        """Start a bar; ``unit`` is ``"bytes"``, ``"rows"``, ``"clips"``, ``"steps"``."""

    def log(self, text: str) -> None:
        """Say one line."""

    def event(self, kind: str, **facts: object) -> None:
        """Tell that something happened, for programs that watch; people see bars and lines.

        Args:
            kind: ``clip`` (recorded or found here), ``failed``, ``done``.
            facts: JSON values.
        """


class _SilentBar(AbstractContextManager["_SilentBar"]):
    def advance(self, amount: int, *, present: bool = False) -> None:
        pass

    def expect(self, amount: int) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class Silent:
    """A ``Progress`` that shows nothing."""

    def bar(self, label: str, *, total: int | None, unit: str) -> Bar:
        """Start a bar that nobody sees."""
        return _SilentBar()

    def log(self, text: str) -> None:
        """Say nothing."""

    def event(self, kind: str, **facts: object) -> None:
        """Tell nobody."""


class SumOfBytes:
    """A ``Progress`` for one piece of work whose bars of bytes also count in a bar for all work.

    Args:
        inner: Where bars and lines go.
        whole: The bar for all work.
        known: The bytes that ``whole`` expects of this work already.
    """

    def __init__(self, inner: Progress, whole: Bar, *, known: int) -> None:
        self._inner = inner
        self._whole = whole
        self._known = known
        self._done = 0

    def bar(self, label: str, *, total: int | None, unit: str) -> Bar:
        """Start a bar; one of bytes counts in the sum too."""
        bar = self._inner.bar(label, total=total, unit=unit)
        if unit != "bytes":
            return bar
        if total is not None:
            self._whole.expect(total - self._known)
            self._known = total
        return _CountedBar(bar, self)

    def log(self, text: str) -> None:
        """Say one line."""
        self._inner.log(text)

    def event(self, kind: str, **facts: object) -> None:
        """Tell that something happened."""
        self._inner.event(kind, **facts)

    def count(self, amount: int, *, present: bool) -> None:
        """Count bytes in the sum."""
        self._done += amount
        self._whole.advance(amount, present=present)

    def settle(self) -> None:
        """End the work: what did not come, or was here already, is expected no longer."""
        self._whole.expect(self._done - self._known)
        self._known = self._done


class _CountedBar:
    def __init__(self, bar: Bar, work: SumOfBytes) -> None:
        self._bar = bar
        self._work = work

    def advance(self, amount: int, *, present: bool = False) -> None:
        self._bar.advance(amount, present=present)
        self._work.count(amount, present=present)

    def expect(self, amount: int) -> None:
        self._bar.expect(amount)

    def note(self, text: str) -> None:
        self._bar.note(text)

    def __enter__(self) -> Self:
        self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.__exit__(kind, error, trace)
