"""The frames of a clip by index, whatever its kind."""

from __future__ import annotations

from pathlib import Path

from sr_datasets.manifest import Clip, VideoInfo
from sr_datasets.video import pictures, raw, y4m
from sr_datasets.video.base import ClipReader
from sr_datasets.video.probe import kind_of


def open_clip(path: Path, info: VideoInfo, *, clip: Clip | None = None, threads: int = 1) -> ClipReader:
    """Open a clip that was probed, to read its frames by index.

    Args:
        path: A file, or a folder of pictures.
        info: What ``probe`` said of it.
        clip: What the manifest declares; raw planes need it.
        threads: Decoder threads for compressed clips. They change no sample.

    Raises:
        DecodeError: The file is not what it was when it was probed.
    """
    match kind_of(path, clip):
        case "y4m":
            return y4m.Y4mReader(path, info)
        case "raw":
            return raw.RawReader(path, info, clip)
        case "pictures":
            return pictures.PictureReader(path, info)
        case "compressed":
            from sr_datasets.video.compressed import CompressedReader  # PyAV takes 0.1 s to import

            return CompressedReader(path, info, threads=threads)
