"""Fingerprints: the points of the frames of pictures and clips, as files that hold hashes and no pixels.

A file is a zip of ``.npy`` arrays. Of a point it keeps place, scale and 128 signs, 22 bytes; magnitudes, means and
colours are not kept.
"""

import io
import json
import lzma
import math
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sr_datasets.audit.matching import build_gallery, find_matches
from sr_datasets.audit.points import DESCRIPTOR_BYTES, Points, find_points, join_points
from sr_datasets.errors import DecodeError, StoreError
from sr_datasets.files import atomic_path
from sr_datasets.manifest import Clip, VideoInfo
from sr_datasets.video import Frame, open_clip

FINGERPRINT_VERSION: Final = 1
"""Counts up when points or descriptors become others, so that old files are made again."""

_PLACE_STEPS = 8.0  # a place is kept to an eighth of a sample
_SCALE_STEPS = 32.0  # a scale to a 32nd of an octave
_SAME = 0.5  # a frame is left out when so many of its points stand in the last one that was kept
_FRAMES_PER_SECOND = 2
_MOST_FRAMES = 32  # of a clip that are looked at
# What a zip of arrays that is cut, overwritten or of another kind can end in; zipfile's NotImplementedError is a
# RuntimeError, as is what it says of encrypted members.
_DAMAGED = (
    OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, RuntimeError, MemoryError, struct.error,
    zipfile.BadZipFile, zlib.error, lzma.LZMAError,
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """The fingerprint of one picture or frame."""

    name: str
    """What it is called in a report: ``set5/bird``, ``vid4/calendar``."""
    frame: int | None
    """Frame of the clip, from 0; None of a picture."""
    width: int
    """Columns."""
    height: int
    """Rows."""
    points: Points
    """Its points, all with ``picture`` 0."""


def luma_of(planes: npt.NDArray[Any], *, color: str, bit_depth: int) -> npt.NDArray[np.float32]:
    """Return luma of the samples of rows, in 8-bit levels; a range or matrix changes no fingerprint.

    Args:
        planes: ``(..., channels, height, width)`` uint8 or uint16; yuv420 as a shard packs it.
        color: ``y``, ``rgb`` or ``yuv420``.
        bit_depth: Bits per sample.

    Returns:
        ``(..., height, width)``.
    """
    step = np.float32(1 / (1 << max(bit_depth - 8, 0)))
    if color == "yuv420":
        return planes[..., 0, : planes.shape[-2] * 2 // 3, :].astype(np.float32) * step
    if planes.shape[-3] == 3:
        # BT.601's weights; those of BT.709 move few signs.
        red, green, blue = (planes[..., channel, :, :].astype(np.float32) for channel in range(3))
        luma: npt.NDArray[np.float32] = (0.299 * red + 0.587 * green + 0.114 * blue) * step
        return luma
    return planes[..., 0, :, :].astype(np.float32) * step


def fingerprint_clip(name: str, path: Path, info: VideoInfo, clip: Clip | None = None) -> list[Picture]:
    """Return the fingerprints of the frames of a clip that differ enough from each other.

    Of a video two frames a second are looked at, at most 32, evenly spaced; of a folder of frames likewise. One is
    kept when less than half of its points stand in the frame that was kept before.

    Raises:
        DecodeError: The clip cannot be read.
    """
    rate = float(info.frame_rate) if info.frame_rate else float(_FRAMES_PER_SECOND)
    step = max(1, math.floor(rate / _FRAMES_PER_SECOND), math.ceil(info.num_frames / _MOST_FRAMES))
    single = info.num_frames == 1
    with open_clip(path, info, clip=clip) as reader:
        frames = reader.frames(range(0, info.num_frames, step))
        pictures = (
            fingerprint(name, None if single else frame.index, _luma_of_frame(frame, info))
            for frame in frames
        )
        return list(distinct(pictures))


def _luma_of_frame(frame: Frame, info: VideoInfo) -> npt.NDArray[np.float32]:
    if info.model == "rgb":
        return luma_of(np.stack(frame.planes), color="rgb", bit_depth=info.bit_depth)
    return luma_of(frame.planes[0][np.newaxis], color="y", bit_depth=info.bit_depth)


def fingerprint(name: str, frame: int | None, luma: npt.NDArray[np.float32]) -> Picture:
    """Return the fingerprint of one picture, as a file would give it back."""
    height, width = luma.shape
    points = find_points(luma[np.newaxis])
    return Picture(name, frame, width, height, _unpacked(*_packed(points)))


def distinct(pictures: Iterable[Picture]) -> Iterator[Picture]:
    """Leave out frames that hold little more than the last one that was kept."""
    last: Picture | None = None
    for picture in pictures:
        if last is not None and _shared(picture, last) >= _SAME:
            continue
        last = picture
        yield picture


def _shared(picture: Picture, last: Picture) -> float:
    gallery = build_gallery(
        last.points, widths=np.array([last.width]), heights=np.array([last.height]), ranks=np.array([-1])
    )
    found = find_matches(picture.points, gallery, widths=np.array([picture.width]), ranks=np.array([0]))
    return max((match.matched / len(picture.points) for match in found if not match.mirrored), default=0.0)


def write_fingerprints(path: Path, pictures: Sequence[Picture], about: dict[str, Any]) -> None:
    """Write a file of fingerprints.

    Args:
        path: Where, with the suffix ``.npz``.
        pictures: What goes in.
        about: What is said of them, as JSON values: where they come from.
    """
    points = join_points([picture.points for picture in pictures])
    places, scales, bits = _packed(points)
    text = json.dumps(
        {
            "version": FINGERPRINT_VERSION,
            **about,
            "pictures": [
                {
                    "name": one.name,
                    "frame": one.frame,
                    "width": one.width,
                    "height": one.height,
                    "points": len(one.points),
                }
                for one in pictures
            ],
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, npt.NDArray[Any]] = {
        "about": np.frombuffer(text.encode(), np.uint8),
        "places": places,
        "scales": scales,
        "bits": bits,
    }
    with atomic_path(path) as partial, zipfile.ZipFile(partial, "w") as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array, allow_pickle=False)
            # One fixed time for all members, so that the same fingerprints are the same bytes.
            entry = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, member.getvalue(), zipfile.ZIP_DEFLATED)


def read_fingerprints(path: Path) -> tuple[list[Picture], dict[str, Any]]:
    """Return the pictures of a file and what is said of them.

    Raises:
        StoreError: It is not a file of fingerprints of this version.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            about = json.loads(arrays["about"].tobytes())
            if about["version"] != FINGERPRINT_VERSION:
                raise StoreError(
                    f"{path} has fingerprints of version {about['version']}, this sr-datasets makes version "
                    f"{FINGERPRINT_VERSION}. Delete it: it is made again when it is needed."
                )
            places, scales, bits = arrays["places"], arrays["scales"], arrays["bits"]
        pictures, start = [], 0
        for one in about.pop("pictures"):
            part = slice(start, start + one["points"])
            points = _unpacked(places[part], scales[part], bits[part])
            pictures.append(Picture(one["name"], one["frame"], one["width"], one["height"], points))
            start += one["points"]
        if not start == len(places) == len(scales) == len(bits):
            raise ValueError(f"it names {start} points and holds {len(places)}")
    except _DAMAGED as error:
        raise StoreError(
            f"{path} is not a file of fingerprints ({error}). Delete it: it is made again when it is needed."
        ) from error
    return pictures, about


def _packed(
    points: Points,
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    places = np.stack([points.x, points.y], 1) * _PLACE_STEPS + 0.5
    if places.size and places.max() >= 1 << 16:
        raise DecodeError(
            "pictures of more than 8191 columns or rows cannot be fingerprinted; shrink them first."
        )
    scales = np.log2(points.sigma) * _SCALE_STEPS + 0.5
    return places.astype(np.uint16), np.clip(scales, 0, 255).astype(np.uint8), points.bits


def _unpacked(
    places: npt.NDArray[np.uint16], scales: npt.NDArray[np.uint8], bits: npt.NDArray[np.uint8]
) -> Points:
    x, y = (places.astype(np.float32) / np.float32(_PLACE_STEPS)).T
    sigma = np.exp2(scales.astype(np.float32) / np.float32(_SCALE_STEPS))
    return Points(np.zeros(len(x), np.int32), x, y, sigma, bits.reshape(-1, DESCRIPTOR_BYTES))
