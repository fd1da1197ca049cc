"""Where ``sr-data`` begins: SIGTERM and Ctrl-C are answered from here on, before what takes a tenth of a second to import."""

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing takes longer to import than the rest
    from typing import NoReturn

_AGAIN_SECONDS = 0.01
_MOST_WAITS = 500
_BELOW = ("<frozen importlib", "<frozen abc")
"""Code that others run who swallow exceptions, or make others of them: an import, a check of a type."""
_SCHEMAS = f"{os.sep}pydantic{os.sep}"
"""Code that makes an error of its own of all that comes while it reads a class."""
Handler = Callable[[int, FrameType | None], object] | signal.Handlers


_asked: type[BaseException] | None = None
"""What came and could not be raised yet."""
_more: list[str] = []
"""Words that the command needs beside its own, to go on."""


class EndedError(BaseException):
    """A scheduler, or whoever sends SIGTERM, wants this command to end."""


def main() -> None:
    """Run the command line."""
    try:
        try:
            answer_signals()
            from sr_datasets.cli.main import main as run

            if _asked:  # a short command would be over before the alarm
                raise _asked
            run()
        finally:
            _answer_no_more()  # the interpreter's own end has no place for an exception
    except EndedError:
        end()
    except KeyboardInterrupt:
        interrupted()


def answer_signals() -> None:
    """Let SIGTERM raise ``EndedError``, and Ctrl-C ``KeyboardInterrupt``, where the program is, until it arrives.

    A second SIGTERM ends it at once, a second Ctrl-C raises at once.
    """
    signal.signal(signal.SIGTERM, _raising(EndedError, signal.SIGTERM, signal.SIG_DFL))
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell's background jobs ignore it
        # Programs that start others pass a Ctrl-C on to those who have it already: a second one must not end it unsaid.
        again = signal.default_int_handler
        signal.signal(signal.SIGINT, _raising(KeyboardInterrupt, signal.SIGINT, again))


def _raising(error: type[BaseException], number: signal.Signals, then: Handler) -> Handler:
    """Return what raises an error until it arrives; afterwards the signal is answered by ``then``."""
    waits = 0

    def _raise(_: int, frame: FrameType | None) -> None:
        global _asked
        nonlocal waits
        # Libraries may swallow it, also where it has arrived already, and who sent the signal sends it once.
        signal.signal(signal.SIGALRM, _raise)
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)
        if _has_arrived(error, sys.exception()):
            return
        waits += 1
        _asked = error
        if waits < _MOST_WAITS and _would_be_lost(frame):
            return
        # Who asks again does not wait for what is being put away.
        signal.signal(number, then)
        raise error

    return _raise


def _has_arrived(wanted: type[BaseException], error: BaseException | None) -> bool:
    """Return whether the program is putting away what was under way."""
    while error is not None and not isinstance(error, wanted):
        error = error.__context__
    return error is not None


def _would_be_lost(frame: FrameType | None) -> bool:
    """Return whether the program is where an exception is swallowed, or becomes another one."""
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(_BELOW) or _SCHEMAS in file or frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


def _answer_no_more() -> None:
    # In this order, since what comes first may start the next two again.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) not in (signal.SIG_IGN, None):
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, 0)


def end() -> "NoReturn":
    """End the command as SIGTERM asks, with a sentence."""
    _answer_no_more()
    say_how_to_go_on()
    _leave(143)


def interrupted() -> "NoReturn":
    """End the command as a Ctrl-C asks, with a sentence."""
    say_how_to_go_on()
    _leave(130)


def _leave(code: int) -> "NoReturn":
    """End the process, without what is waited for at a place that does not answer."""
    remotes = sys.modules.get("sr_datasets.remotes")
    if remotes is not None and remotes.is_waiting():
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def go_on_with(*words: str) -> None:
    """Note words that the command needs beside its own, to go on."""
    _more.extend(words)


def say_how_to_go_on() -> None:
    """Say that the command was interrupted, and what to type to go on."""
    from sr_datasets.cli.hints import how_to_go_on

    if os.environ.get("LOCAL_RANK", "0") != "0":
        return  # one of several processes of torchrun: the first one says it
    sys.stderr.write(
        "sr-data: interrupted. What was finished is kept, and what came of files under way. To go on, type:\n"
        f"  {how_to_go_on(sys.argv[1:], _more)}\n"
    )
