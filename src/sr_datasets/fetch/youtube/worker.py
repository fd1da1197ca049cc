"""The process in which yt-dlp runs: one video a process, a job on stdin, JSON lines on stdout.

Apart from us, so that a crash, a leak or a hang of yt-dlp or of ffmpeg ends one video and no more. When stdin ends, so
does this process with all that it started: whoever started it is gone.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from sr_datasets.fetch.youtube.outcome import is_open, plain, verdict_of

_PROGRESS_SECONDS = 0.5
# Cut pieces are coded again, since a cut rarely falls on a keyframe: without loss, each frame by itself, with CRCs.
_LOSSLESS = ["-an", "-sn", "-dn", "-c:v", "ffv1", "-level", "3", "-slicecrc", "1"]


class _RefusalError(Exception):
    """The video is not taken, for a reason of ours."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def main() -> None:
    """Read one job, do it, say what became of it."""
    # Whatever a library or ffmpeg prints must not stand between our lines.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    facts: dict[str, Any] = {}
    try:
        result = {"status": "ok", "path": _run(job, facts, answers)}
    except _RefusalError as refusal:
        result = {"status": refusal.status, "reason": str(refusal)}
    except Exception as error:  # noqa: BLE001 - whatever yt-dlp raises is an answer about this one video
        reason = plain(str(error)) or type(error).__name__
        result = {"status": verdict_of(reason), "reason": reason}
    _say(answers, {"event": "result", **facts, **result})


def _run(job: Mapping[str, Any], facts: dict[str, Any], answers: TextIO) -> str:
    """Download what a job names, and return the path of the file."""
    import yt_dlp
    from yt_dlp.utils import download_range_func
    from yt_dlp.version import __version__ as version

    part = job["start_ms"] is not None
    has_ffmpeg = shutil.which("ffmpeg") is not None
    if part and not has_ffmpeg:
        raise _RefusalError("failed", "cutting a piece out of a video needs the program ffmpeg: install it")
    choice = _Choice(job["height"], part=part)
    stem = Path(job["stem"])
    stem.parent.mkdir(parents=True, exist_ok=True)
    last = time.monotonic()

    def show(state: Mapping[str, Any]) -> None:
        nonlocal last
        if state.get("status") == "downloading" and time.monotonic() - last >= _PROGRESS_SECONDS:
            last = time.monotonic()
            _say(answers, {"event": "progress", "bytes": int(state.get("downloaded_bytes") or 0)})

    options: dict[str, Any] = {
        "quiet": True,
        "noprogress": True,
        "color": "never",
        "cachedir": False,
        "noplaylist": True,
        "updatetime": False,
        "overwrites": True,
        "continuedl": True,
        "socket_timeout": job["socket_seconds"],
        "retries": 3,
        "fragment_retries": 3,
        "extractor_retries": 1,
        "sleep_interval_requests": job["request_pause_seconds"],
        "outtmpl": {"default": str(stem).replace("%", "%%") + ".%(ext)s"},
        "format": choice,
        "progress_hooks": [show],
        # Any runtime that is installed: YouTube asks for one to hand out its addresses.
        "js_runtimes": {"deno": {}, "node": {}, "bun": {}, "quickjs": {}},
    }
    if job["rate_limit"]:
        options["ratelimit"] = job["rate_limit"]
    if job["cookies"]:
        # A copy: yt-dlp writes cookies back when it ends.
        copy = stem.with_name(stem.name + ".cookies")
        shutil.copyfile(job["cookies"], copy)
        options["cookiefile"] = str(copy)
    if part:
        span = (job["start_ms"] / 1000, job["end_ms"] / 1000)
        options["download_ranges"] = download_range_func(None, [span])
        options["force_keyframes_at_cuts"] = True
        options["external_downloader_args"] = {"ffmpeg_i": ["-loglevel", "error"], "ffmpeg_o": _LOSSLESS}
    try:
        with yt_dlp.YoutubeDL(options) as ydl:
            info = _look_up(ydl, job["url"])
            facts |= {
                "title": str(info.get("title") or ""),
                "uploader": str(info.get("uploader") or info.get("channel") or ""),
                "uploader_url": str(info.get("uploader_url") or info.get("channel_url") or ""),
                "url": str(info.get("webpage_url") or job["url"]),
                "license_claimed": str(info.get("license") or ""),
            }
            if not job["any_license"] and not is_open(facts["license_claimed"]):
                raise _RefusalError("not-open", "its metadata claims no Creative Commons licence")
            if info.get("is_live") or info.get("live_status") in ("is_live", "is_upcoming", "post_live"):
                raise _RefusalError("blocked", "it is a live stream")
            try:
                done = ydl.process_ie_result(info, download=True)
            except Exception:
                if choice.too_small:
                    raise _RefusalError("too-small", choice.too_small) from None
                raise
            (download,) = done["requested_downloads"]
            chosen = download.get("format_id") or done.get("format_id")
            facts["format_note"] = f"format {chosen} by yt-dlp {version}"
            path = Path(download["filepath"])
    finally:
        if job["cookies"]:
            Path(options["cookiefile"]).unlink(missing_ok=True)
    return str(path if part or choice.video_only else _without_audio(path, choice.has_audio, has_ffmpeg))


def _look_up(ydl: Any, url: str) -> dict[str, Any]:
    """Return what a site says of a video, before a format is chosen."""
    key = None
    for _ in range(4):
        info = ydl.extract_info(url, download=False, process=False, ie_key=key)
        kind = (info or {}).get("_type", "video")
        if info and kind == "video":
            return dict(info)
        if not info or kind not in ("url", "url_transparent"):
            raise _RefusalError("failed", f"the address leads to a {kind}, not to one video")
        url, key = info["url"], info.get("ie_key")
    raise _RefusalError("failed", "the address leads from one to the next")


class _Choice:
    """Chooses a format: video without audio, standard dynamic range, the smallest that is high enough."""

    def __init__(self, height: int, *, part: bool) -> None:
        self.height = height
        self.part = part
        self.too_small = ""
        self.video_only = False
        self.has_audio = False

    def __call__(self, context: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the one format; yt-dlp gives them from worst to best."""
        formats = [
            each
            for each in context["formats"]
            if each.get("vcodec") != "none" and each.get("dynamic_range") in (None, "SDR")
        ]
        high = [each for each in formats if _side_of(each) is None or _side_of(each) >= self.height]  # type: ignore[operator]
        if not high:
            sides = [side for each in formats if (side := _side_of(each))]
            if sides:
                self.too_small = f"its largest format has {max(sides)} rows, {self.height} were asked for"
            return
        silent = [each for each in high if each.get("acodec") == "none"]
        fitting = silent or high
        known = [side for each in fitting if (side := _side_of(each)) is not None]
        least = min(known, default=None)
        best = [each for each in fitting if _side_of(each) == least][-1]
        self.video_only = bool(silent)
        self.has_audio = best.get("acodec") not in (None, "none")
        # What is cut is coded again, into a container that holds every codec.
        yield {**best, "ext": "mkv"} if self.part else best


def _side_of(each: Mapping[str, Any]) -> int | None:
    """Return the shorter side of a format, which "720p" names, or None when it is not known."""
    sides = [int(side) for side in (each.get("width"), each.get("height")) if side]
    return min(sides) if sides else None


def _without_audio(path: Path, has_audio: bool, has_ffmpeg: bool) -> Path:
    """Copy the video stream alone, unchanged, into a file of its own."""
    if not has_ffmpeg:
        if has_audio:
            path.unlink()
            raise _RefusalError("failed", "leaving its audio out needs the program ffmpeg: install it")
        return path
    silent = path.with_name(path.stem + ".silent.mkv")
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", f"file:{path}", "-map", "0:v:0", "-c", "copy", f"file:{silent}"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        silent.unlink(missing_ok=True)
        raise _RefusalError("failed", f"its audio could not be left out: {plain(done.stderr)}")
    path.unlink()
    final = path.with_name(path.stem + ".mkv")
    silent.replace(final)
    return final


def _say(answers: TextIO, line: Mapping[str, Any]) -> None:
    answers.write(json.dumps(line) + "\n")
    answers.flush()


def _end_with_stdin() -> None:
    sys.stdin.read()
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
