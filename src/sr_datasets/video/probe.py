"""What a clip says of itself, whatever its kind."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from sr_datasets.errors import DecodeError
from sr_datasets.manifest import Clip, VideoInfo
from sr_datasets.video import pictures, raw, y4m

_RAW_SUFFIXES = {".yuv", ".raw", ".rgb", ".nv12", ".uyvy", ".yuyv", ".gray"}
Kind = Literal["y4m", "raw", "pictures", "compressed"]


def probe(path: Path, *, clip: Clip | None = None, threads: int = 1) -> VideoInfo:
    """Return what a clip says of itself; its frames are counted exactly.

    y4m is counted by its FRAME markers and raw planes by their size, pictures and compressed clips
    are decoded once from end to end, so that a damaged file is found here and not in a build.

    Args:
        path: A file, or a folder of pictures.
        clip: What the manifest declares: the geometry of raw planes, matrix and range of any clip.
        threads: Decoder threads for compressed clips. They change no sample.

    Raises:
        DecodeError: There is no such file; it is damaged, cut, or of a kind that is not read.
    """
    match kind_of(path, clip):
        case "y4m":
            return y4m.probe_y4m(path, clip)
        case "raw":
            return raw.probe_raw(path, clip)
        case "pictures":
            return pictures.probe_pictures(path, clip)
        case "compressed":
            from sr_datasets.video.compressed import probe_compressed  # PyAV takes 0.1 s to import

            return probe_compressed(path, clip, threads=threads)


def kind_of(path: Path, clip: Clip | None) -> Kind:
    """Tell how a clip is read, by its first bytes; raw planes have none, and are declared.

    Raises:
        DecodeError: There is no such file, or it is empty.
    """
    if path.is_dir():
        return "pictures"
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise DecodeError(
            f"{path}: cannot be opened: {error.strerror}. Fetch or import the clip again."
        ) from error
    if not head:
        raise DecodeError(f"{path}: the file is empty. Fetch or copy it again.")
    if head.startswith(y4m.MAGIC):
        return "y4m"
    if clip is not None and clip.media == "raw":
        return "raw"
    if pictures.is_picture(head):
        return "pictures"
    return "raw" if path.suffix.lower() in _RAW_SUFFIXES else "compressed"
