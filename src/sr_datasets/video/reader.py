"""The frames of a clip by index, whatever its kind."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from sr_datasets.errors import DecodeError
from sr_datasets.manifest import Clip, VideoInfo
from sr_datasets.video import pictures, raw, y4m
from sr_datasets.video.base import ClipReader
from sr_datasets.video.probe import kind_of


def open_clip(
    path: Path,
    info: VideoInfo,
    *,
    clip: Clip | None = None,
    threads: int = 1,
    interlaced: Literal["refuse", "deinterlace", "keep"] = "keep",
) -> ClipReader:
    """Open a clip that was probed, to read its frames by index.

    Args:
        path: A file, or a folder of pictures.
        info: What ``probe`` said of it.
        clip: What the manifest declares; raw planes need it.
        threads: Decoder threads for compressed clips. They change no sample.
        interlaced: What to do with a clip that ``info`` says is interlaced, by its stream or by a look at
            its frames: refuse it; deinterlace each frame (``DeinterlacingReader``); hand out the frames as
            they are, two moments woven.

    Raises:
        DecodeError: The file is not what it was when it was probed; it is interlaced and refused, or to be
            deinterlaced and of unknown field order.
    """
    if interlaced == "refuse":
        refuse_interlaced(path, info)
    reader = _open(path, info, clip, threads)
    if interlaced != "deinterlace" or info.scan != "interlaced":
        return reader
    from sr_datasets.video.deinterlace import DeinterlacingReader

    try:
        return DeinterlacingReader(reader, clip)
    except BaseException:
        reader.close()
        raise


def refuse_interlaced(path: Path, info: VideoInfo) -> None:
    """Refuse a clip that is known to be interlaced.

    Raises:
        DecodeError: It is.
    """
    if info.scan == "interlaced":
        known = "its frames show" if info.scan_from == "detected" else "its stream says"
        raise DecodeError(
            f"{path}: is interlaced, as {known}: each frame joins two moments, and the teeth at moving edges would be "
            "learned as detail. Leave it out (`where: {scan: [progressive, unknown]}`), or say `interlaced: "
            "deinterlace` or `interlaced: keep` in the recipe."
        )


def _open(path: Path, info: VideoInfo, clip: Clip | None, threads: int) -> ClipReader:
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
