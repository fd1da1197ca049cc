"""Looks into clips that strangers made, in a process of its own: a decoder that hangs or crashes costs one clip.

The process is started at the first clip that a decoder has to read, and kept. y4m and raw planes need no decoder: they are
read here, without it.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from sr_datasets.errors import DecodeError
from sr_datasets.guarded import Began, StuckError, run_guarded
from sr_datasets.manifest import Clip, VideoInfo
from sr_datasets.video import open_clip, probe
from sr_datasets.video.pictures import picture_size
from sr_datasets.video.probe import kind_of
from sr_datasets.video.scan import with_scan

_Result = TypeVar("_Result")

SILENT_SECONDS: Final = 120.0
"""Longest time in which a decoder may take in nothing further. Frames of 134 million pixels, the largest that are read, take
single seconds; a limit for a clip as a whole would be wrong for long ones."""


@dataclass(frozen=True, slots=True)
class _Look:
    path: Path
    clip: Clip | None
    info: VideoInfo | None = None


def probe_safely(path: Path, *, name: str, clip: Clip | None = None) -> VideoInfo:
    """Return what ``video.probe`` returns.

    Args:
        path: A file, or a folder of pictures.
        name: What messages call the clip.
        clip: What the manifest declares.

    Raises:
        DecodeError: As ``video.probe``; or the decoder hung or crashed.
    """
    return _look(_probe, _Look(path, clip), name)


def scan_safely(path: Path, info: VideoInfo, *, name: str, clip: Clip) -> VideoInfo:
    """Return what ``video.scan.with_scan`` returns.

    Args:
        path: A file, or a folder of pictures.
        info: What was probed.
        name: What messages call the clip.
        clip: What the manifest declares.

    Raises:
        DecodeError: As ``with_scan``; or the decoder hung or crashed.
    """
    if info.scan != "unknown" or info.num_frames < 2:
        return info
    return _look(_scan, _Look(path, clip, info), name)


def read_last_frame(path: Path, info: VideoInfo, *, name: str, clip: Clip) -> None:
    """Decode the last frame of a clip that was probed before.

    Args:
        path: A file, or a folder of pictures.
        info: What was probed.
        name: What messages call the clip.
        clip: What the manifest declares.

    Raises:
        DecodeError: It cannot be read; or the decoder hung or crashed.
    """
    _look(_read_last, _Look(path, clip, info), name)


def pixels_sha256(path: Path, info: VideoInfo, *, name: str, clip: Clip) -> str:
    """Return the SHA-256 of a picture's samples: rows from the top, R, G, B interleaved.

    Args:
        path: The picture.
        info: What was probed.
        name: What messages call the clip.
        clip: What the manifest declares.

    Raises:
        DecodeError: It cannot be read; or the decoder hung or crashed.
    """
    return _look(_hash_pixels, _Look(path, clip, info), name)


def size_of_picture(path: Path) -> tuple[int, int] | None:
    """Return width and height as a picture's header has them; None for what is no picture."""
    try:
        return run_guarded(_size, path, silent_seconds=SILENT_SECONDS)
    except StuckError:
        return None  # the probe says what is wrong with it


def _look(function: Callable[[_Look, Began], _Result], look: _Look, name: str) -> _Result:
    if kind_of(look.path, look.clip) in ("y4m", "raw"):
        return function(look, lambda _: None)
    try:
        return run_guarded(function, look, silent_seconds=SILENT_SECONDS)
    except StuckError as error:
        if not error.piece:
            raise  # no fault of the clip's: no process could be started, or it was ended while it waited
        raise DecodeError(
            f"{name}: {look.path} could not be read: {error.reason}. The file is damaged, or this decoder cannot cope with it: "
            "get it again, or leave the clip out."
        ) from error


def _probe(look: _Look, began: Began) -> VideoInfo:
    began(str(look.path))
    return probe(look.path, clip=look.clip)


def _scan(look: _Look, began: Began) -> VideoInfo:
    began(str(look.path))
    assert look.info is not None
    return with_scan(look.path, look.info, clip=look.clip)


def _read_last(look: _Look, began: Began) -> None:
    began(str(look.path))
    assert look.info is not None
    with open_clip(look.path, look.info, clip=look.clip) as reader:
        reader.frame_at(look.info.num_frames - 1)


def _hash_pixels(look: _Look, began: Began) -> str:
    import numpy as np

    began(str(look.path))
    assert look.info is not None
    with open_clip(look.path, look.info, clip=look.clip) as reader:
        planes = reader.frame_at(0).planes
    rgb = planes if len(planes) == 3 else planes * 3
    return hashlib.sha256(np.stack(rgb, axis=-1).tobytes()).hexdigest()


def _size(path: Path, began: Began) -> tuple[int, int] | None:
    began(str(path))
    return picture_size(path)
