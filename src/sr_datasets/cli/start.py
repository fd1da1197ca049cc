"""Where ``sr-data`` begins: a SIGTERM is answered from here on, before what takes a tenth of a second to import."""

import os
import signal
import sys
from types import FrameType

_AGAIN_SECONDS = 0.01
_MOST_WAITS = 500
_BELOW = ("<frozen importlib", "<frozen abc")
"""Code that others run who swallow exceptions, or make others of them: an import, a check of a type."""


_is_asked = False
"""Whether a SIGTERM came that could not be raised yet."""
_more: list[str] = []
"""Words that the command needs beside its own, to go on."""


class EndedError(BaseException):
    """A scheduler, or whoever sends SIGTERM, wants this command to end."""


def main() -> None:
    """Run the command line."""
    try:
        try:
            answer_sigterm()
            from sr_datasets.cli.main import main as run

            if _is_asked:  # a short command would be over before the alarm
                raise EndedError
            run()
        finally:
            _answer_no_more()  # the interpreter's own end has no place for an exception
    except EndedError:
        end()


def answer_sigterm() -> None:
    """Let SIGTERM raise ``EndedError`` where the program is, until it arrives; a second one ends it at once."""
    waits = 0

    def _end(number: int, frame: FrameType | None) -> None:
        global _is_asked
        nonlocal waits
        # Libraries may swallow it, also where it has arrived already, and whoever sent SIGTERM sends it once.
        signal.signal(signal.SIGALRM, _end)
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)
        if _has_arrived(sys.exception()):
            return
        waits += 1
        _is_asked = True
        if waits < _MOST_WAITS and _would_be_lost(frame):
            return
        # Who asks again does not wait for what is being put away.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise EndedError

    signal.signal(signal.SIGTERM, _end)


def _has_arrived(error: BaseException | None) -> bool:
    """Return whether the program is putting away what was under way."""
    while error is not None and not isinstance(error, EndedError):
        error = error.__context__
    return error is not None


def _would_be_lost(frame: FrameType | None) -> bool:
    """Return whether the program is where an exception is swallowed, or becomes another one."""
    while frame is not None:
        if frame.f_code.co_filename.startswith(_BELOW) or frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


def _answer_no_more() -> None:
    # In this order, since what comes first may start the next two again.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, 0)


def end() -> None:
    """End the command as SIGTERM asks, with a sentence."""
    _answer_no_more()
    say_how_to_go_on()
    sys.exit(143)


def go_on_with(*words: str) -> None:
    """Note words that the command needs beside its own, to go on."""
    _more.extend(words)


def say_how_to_go_on() -> None:
    """Say that the command was interrupted, and what to type to go on."""
    import shlex

    if os.environ.get("LOCAL_RANK", "0") != "0":
        return  # one of several processes of torchrun: the first one says it
    sys.stderr.write(
        "sr-data: interrupted. What was finished is kept, and what came of files under way. To go on, type:\n"
        f"  sr-data {shlex.join([*sys.argv[1:], *_more])}\n"
    )
