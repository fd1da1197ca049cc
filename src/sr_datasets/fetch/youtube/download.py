"""One video through yt-dlp, in a process of its own.

yt-dlp is the ``youtube`` extra. No cookies are used unless a file of them is given, no proxy but that of the environment,
no account; one video at a time.
"""

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from sr_datasets.errors import MissingExtraError
from sr_datasets.fetch.youtube.ledger import Status
from sr_datasets.fetch.youtube.names import Piece
from sr_datasets.fetch.youtube.outcome import Verdict, may_pass, plain
from sr_datasets.progress import Bar

_MAX_LINE = 1 << 20


@dataclass(frozen=True, slots=True)
class Manners:
    """How a site is asked."""

    pause_seconds: float = 5.0
    """Wait before each video."""
    request_pause_seconds: float = 1.0
    """Wait between the requests that one video takes."""
    tries: int = 3
    """Attempts at a video that fails for a reason that may pass."""
    socket_seconds: float = 30.0
    """Longest silence of the site."""
    video_seconds: float = 3600.0
    """Longest time for one video."""
    rate_limit: int | None = None
    """Bytes a second; None for no limit."""
    cookies: Path | None = None
    """A file of cookies in Netscape's format; None for none."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one video."""

    status: Verdict
    """``ok``, why not, or ``stop``: the site asks us to stop."""
    path: Path | None = None
    """The file that came."""
    reason: str = ""
    """Why none came."""
    title: str = ""
    """The video's title."""
    uploader: str = ""
    """Who published it."""
    uploader_url: str = ""
    """Their page."""
    url: str = ""
    """The video's page."""
    license_claimed: str = ""
    """The licence as the site's metadata has it."""
    format_note: str = ""
    """Which format it was, and by which version of yt-dlp."""


def require_yt_dlp() -> None:
    """Make sure that yt-dlp is installed.

    Raises:
        MissingExtraError: It is not.
    """
    if importlib.util.find_spec("yt_dlp") is None:
        raise MissingExtraError("fetching from YouTube", extra="youtube")


def download(
    piece: Piece, address: str, stem: Path, *, height: int, any_license: bool, manners: Manners, bar: Bar
) -> Outcome:
    """Bring one video, or a piece of one, without audio.

    Of the site's formats the smallest is taken whose shorter side has at least ``height`` pixels, of standard dynamic
    range. A whole video keeps its bytes; a piece is cut at its times and coded again without loss (FFV1 in Matroska), so
    its pixels are those that the site's stream decodes to.

    Args:
        piece: What to bring.
        address: Pattern of the video's page, with ``{youtube_id}``.
        stem: Path of the file without a suffix; partial files lie beside it and are continued.
        height: Least length of the shorter side; what is known to be smaller is not downloaded.
        any_license: Take videos whose metadata claims no Creative Commons licence too.
        manners: How the site is asked.
        bar: Told how many bytes came.

    Raises:
        MissingExtraError: yt-dlp is not installed.
    """
    require_yt_dlp()
    job = {
        "url": address.format(youtube_id=piece.youtube_id),
        "stem": str(stem.resolve()),
        "height": height,
        "any_license": any_license,
        "start_ms": piece.start_ms,
        "end_ms": piece.end_ms,
        "cookies": str(manners.cookies.resolve()) if manners.cookies else None,
        "rate_limit": manners.rate_limit,
        "socket_seconds": manners.socket_seconds,
        "request_pause_seconds": manners.request_pause_seconds,
    }
    outcome = _once(job, manners, bar)
    for attempt in range(1, manners.tries):
        if outcome.status != "failed" or not may_pass(outcome.reason):
            break
        time.sleep(manners.pause_seconds * 2**attempt)
        outcome = _once(job, manners, bar)
    return outcome


def _once(job: dict[str, Any], manners: Manners, bar: Bar) -> Outcome:
    root = str(Path(__file__).resolve().parents[3])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    # -P: a file of the working folder must not stand in for a module.
    command = [sys.executable, "-P", "-m", "sr_datasets.fetch.youtube.worker"]
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        late = threading.Event()

        def end() -> None:
            late.set()
            _kill(process)

        timer = threading.Timer(manners.video_seconds, end)
        timer.start()
        result: dict[str, Any] | None = None
        try:
            process.stdin.write(json.dumps(job).encode() + b"\n")
            process.stdin.flush()
            shown = 0
            while line := process.stdout.readline(_MAX_LINE):
                answer = json.loads(line)
                if answer.get("event") == "progress":
                    bar.advance(answer["bytes"] - shown)
                    shown = answer["bytes"]
                elif answer.get("event") == "result":
                    result = answer
                    break
        except (BrokenPipeError, ValueError):
            result = None
        finally:
            timer.cancel()
            _kill(process)
        said.seek(max(0, said.seek(0, os.SEEK_END) - 2000))
        last = _last_lines(said.read())
    if result is None:
        late_text = f"it took longer than {manners.video_seconds:.0f} s"
        return Outcome(
            "failed", reason=late_text if late.is_set() else f"the process of yt-dlp ended early: {last}"
        )
    if "ffmpeg exited" in str(result.get("reason")):
        result["reason"] += f": {last}"
    return _outcome(result)


def _outcome(result: dict[str, Any]) -> Outcome:
    known: dict[str, Verdict] = {word: word for word in (*get_args(Status), "stop")}
    status = known.get(str(result.get("status")), "failed")
    texts = {
        name: str(result.get(name, ""))[:500]
        for name in ("reason", "title", "uploader", "uploader_url", "url", "license_claimed", "format_note")
    }
    path = Path(result["path"]) if status == "ok" else None
    return Outcome(status, path, **texts)


def _last_lines(said: bytes) -> str:
    lines = [line for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    telling = [plain(line) for line in lines if not line.startswith("ERROR:")] or [
        plain(line) for line in lines
    ]
    return "; ".join(telling[-4:]) or "it said nothing"


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """End a process and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
