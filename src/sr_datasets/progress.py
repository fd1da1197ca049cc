"""How long work tells how far it is, without knowing who watches."""

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, Self


class Bar(Protocol):
    """One piece of work under way; leaving its ``with`` block ends it."""

    def advance(self, amount: int) -> None:
        """Count ``amount`` more units as done (negative when work starts over)."""

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


class _SilentBar(AbstractContextManager["_SilentBar"]):
    def advance(self, amount: int) -> None:
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
