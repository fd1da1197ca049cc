"""Still pictures: one PNG, JPEG or BMP, or a folder of them as the frames of a clip.

Frames are ordered by name with numbers taken as numbers, so that ``2.png`` comes before
``10.png``. Samples are what the file stores: gamma chunks and colour profiles are not applied.
Palettes become R, G, B; grey stays one plane; 1, 2 and 4 bits of grey are spread to 8. JPEG is
decoded to R'G'B' by libjpeg. JPEG and PNG are turned as their EXIF orientation says.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from sr_datasets.errors import DecodeError
from sr_datasets.guarded import alive
from sr_datasets.manifest import Clip, VideoInfo
from sr_datasets.video.base import ClipReader, Frame, Plane, tick_of
from sr_datasets.video.formats import find_format
from sr_datasets.video.tags import StreamTags, color_tags

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
_MAGICS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM")
_CODECS = {"PNG": "png", "JPEG": "mjpeg", "BMP": "bmp"}
_ORIENTATION = 0x0112  # EXIF tag; values 5 to 8 swap width and height
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_EXIF_BYTES = 1 << 20
"""As much of a PNG's EXIF is read; the orientation stands in front."""
_PILLOW_ERRORS = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


@dataclass(frozen=True, slots=True)
class _Head:
    container: str
    width: int
    height: int
    pixel_format: str

    def __str__(self) -> str:
        return f"{self.container} {self.width}x{self.height} {self.pixel_format}"


def no_picture(path: Path) -> DecodeError:
    """Return the error about a file that is only named as a picture."""
    return DecodeError(
        f"{path}: is named as a picture, and holds no PNG, JPEG or BMP. Name another file, or convert it."
    )


def is_picture(head: bytes) -> bool:
    """Tell whether a file that begins with these bytes is a picture that is read here."""
    return head.startswith(_MAGICS[:2]) or (head.startswith(_MAGICS[2]) and head[6:10] == bytes(4))


def natural_key(name: str) -> tuple[object, ...]:
    """Return the key that orders names with their numbers taken as numbers.

    Example:
        >>> sorted(["10.png", "2.png", "1.png"], key=natural_key)
        ['1.png', '2.png', '10.png']
    """
    parts = re.split(r"(\d+)", name)
    return (*((int(part) if i % 2 else part) for i, part in enumerate(parts)), name)


def frame_paths(folder: Path) -> list[Path]:
    """Return the pictures of a folder in frame order; hidden and other files are left out.

    Raises:
        DecodeError: There is none.
    """
    paths = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    ]
    if not paths:
        raise DecodeError(
            f"{folder}: no frames in this folder; pictures named {', '.join(SUFFIXES)} are its frames."
        )
    return sorted(paths, key=lambda path: natural_key(path.name))


def probe_pictures(path: Path, clip: Clip | None) -> VideoInfo:
    """Return what a picture, or a folder of them, holds; each is decoded once to prove it whole.

    Raises:
        DecodeError: A picture is damaged, of a kind that is not read, or unlike the others.
    """
    folder = path.is_dir()
    paths = frame_paths(path) if folder else [path]
    heads = [_read_head(one) for one in paths]
    common, count = Counter(heads).most_common(1)[0]
    for one, head in zip(paths, heads, strict=True):
        if head != common:
            raise DecodeError(
                f"{one}: is {head}, but {count} of the {len(paths)} pictures of {path} are {common}. The frames of a "
                "clip must be alike: take the odd one out of the folder, or convert it."
            )
    for one in paths:
        _load(one)
    pixels = find_format(common.pixel_format)
    assert pixels is not None
    frame_rate = clip.frame_rate if folder and clip is not None else None
    return VideoInfo(
        media="frames" if folder else "image",
        container=common.container,
        codec=_CODECS[common.container.upper()],
        width=common.width,
        height=common.height,
        num_frames=len(paths),
        frame_rate=frame_rate,
        pixel_format=pixels.name,
        bit_depth=pixels.bit_depth,
        model=pixels.model,
        chroma_log2_x=0,
        chroma_log2_y=0,
        time_base=tick_of(frame_rate),
        scan="progressive",
        color=color_tags(
            path,
            pixels,
            width=common.width,
            height=common.height,
            tags=StreamTags(matrix=0),
            guessed_siting="none",
            clip=clip,
            picture=True,
        ),
    )


class PictureReader(ClipReader):
    """One picture, or the pictures of a folder as frames."""

    def __init__(self, path: Path, info: VideoInfo) -> None:
        super().__init__(path, info)
        self._paths = frame_paths(path) if path.is_dir() else [path]
        if len(self._paths) != info.num_frames:
            raise DecodeError(
                f"{path}: holds {len(self._paths)} pictures, but had {info.num_frames} when it was probed. "
                "Import the folder again."
            )

    def _read(self, wanted: Sequence[int]) -> Iterator[Frame]:
        info = self.info
        for index in wanted:
            planes = _load(self._paths[index])
            found = (len(planes), planes[0].shape, planes[0].dtype.itemsize)
            expected = (1 if info.model == "gray" else 3, (info.height, info.width), 1 + (info.bit_depth > 8))
            if found != expected:
                raise DecodeError(
                    f"{self._paths[index]}: is {planes[0].shape[1]}x{planes[0].shape[0]} of {len(planes)} planes, but "
                    f"was {info.width}x{info.height} {info.pixel_format} when it was probed. Import it again."
                )
            yield Frame(planes, index, index)

    def close(self) -> None:
        """Do nothing: no file stays open."""


def _read_head(path: Path) -> _Head:
    alive()
    try:
        with path.open("rb") as file:
            start = file.read(26)
        with Image.open(path) as image:
            kind, mode, (width, height) = image.format or "", image.mode, image.size
            kind = (
                "JPEG" if kind == "MPO" else kind
            )  # a JPEG with a second picture behind it, as cameras write
            if kind == "PNG" and getattr(image, "is_animated", False):
                raise DecodeError(
                    f"{path}: an animated PNG. Convert it to a video, or to a folder of frames."
                )
            if _orientation(path, image) in (5, 6, 7, 8):
                width, height = height, width
    except _PILLOW_ERRORS as error:
        raise _damaged(path, error) from error
    if kind not in _CODECS:
        raise DecodeError(
            f"{path}: a picture of the kind {kind}; PNG, JPEG and BMP are read here. Convert it."
        )
    wide = _is_wide_png(start)
    gray = mode in ("1", "L", "LA", "I;16", "I") if not wide else start[25] in (0, 4)
    if not wide and not gray and mode not in ("RGB", "RGBA", "P"):
        raise DecodeError(
            f"{path}: a {kind} with samples of the kind {mode}; grey, RGB and palettes are read here."
        )
    name = ("gray16le" if gray else "rgb48le") if wide else ("gray" if gray else "rgb24")
    return _Head(kind.lower(), width, height, name)


def _is_wide_png(start: bytes) -> bool:
    """Tell a PNG of 16 bits by its IHDR chunk: Pillow would cut its RGB to 8 bits without a word."""
    return start.startswith(_MAGICS[0]) and len(start) >= 26 and start[24] == 16


def _load(path: Path) -> tuple[Plane, ...]:
    alive()
    try:
        with path.open("rb") as file:
            start = file.read(26)
        if _is_wide_png(start):
            from sr_datasets.video.compressed import decode_picture

            turn = _TURNS.get(_png_orientation(path))
            planes = decode_picture(path)
            return planes if turn is None else tuple(_turned(plane, turn) for plane in planes)
        with Image.open(path) as image:
            turn = _TURNS.get(_orientation(path, image))
            image.load()
            return _planes(path, image if turn is None else image.transpose(turn))
    except _PILLOW_ERRORS as error:
        raise _damaged(path, error) from error
    except MemoryError as error:
        raise DecodeError(
            f"{path}: asks for more memory than there is. It is damaged, or too large for this machine: fetch or copy it again."
        ) from error


def _orientation(path: Path, image: Image.Image) -> int:
    """Return how an opened picture is to be turned, as EXIF numbers it."""
    if image.format == "PNG":
        return _png_orientation(path)
    return int(image.getexif().get(_ORIENTATION, 1)) if image.format in ("JPEG", "MPO") else 1


def _png_orientation(path: Path) -> int:
    """Return the orientation in a PNG's eXIf chunk, wherever that stands; Pillow would decode the picture for it."""
    with path.open("rb") as file:
        file.seek(len(_MAGICS[0]))
        while len(head := file.read(8)) == 8 and head[4:] != b"IEND":
            length = int.from_bytes(head[:4], "big")
            if head[4:] == b"eXIf":
                exif = Image.Exif()
                try:
                    exif.load(b"Exif\0\0" + file.read(min(length, _EXIF_BYTES)))
                    return int(exif.get(_ORIENTATION, 1))
                except (*_PILLOW_ERRORS, TypeError, struct.error):
                    return 1  # what a damaged note says of a whole picture does not count
            file.seek(length + 4, 1)
    return 1


def _turned(plane: Plane, turn: Image.Transpose) -> Plane:
    """Return samples of 16 bits as Pillow would turn them."""
    match turn:
        case Image.Transpose.FLIP_LEFT_RIGHT:
            turned = plane[:, ::-1]
        case Image.Transpose.FLIP_TOP_BOTTOM:
            turned = plane[::-1]
        case Image.Transpose.ROTATE_180:
            turned = plane[::-1, ::-1]
        case Image.Transpose.TRANSPOSE:
            turned = plane.T
        case Image.Transpose.TRANSVERSE:
            turned = plane[::-1, ::-1].T
        case Image.Transpose.ROTATE_90:
            turned = plane.T[::-1]
        case Image.Transpose.ROTATE_270:
            turned = plane.T[:, ::-1]
    return np.ascontiguousarray(turned)


def picture_size(path: Path) -> tuple[int, int] | None:
    """Return width and height as a picture's header has them, not turned; None for what is none of the kinds that are read."""
    try:
        with Image.open(path, formats=list(_CODECS)) as image:
            return image.size
    except _PILLOW_ERRORS:
        return None


def icc_profile(path: Path) -> bytes | None:
    """Return the colour profile that a picture carries, as it stands there; it is not looked at or applied.

    Raises:
        DecodeError: It is no picture.
    """
    try:
        with Image.open(path) as image:
            profile = image.info.get("icc_profile")
    except _PILLOW_ERRORS as error:
        raise _damaged(path, error) from error
    return profile if isinstance(profile, bytes) and profile else None


def _planes(path: Path, image: Image.Image) -> tuple[Plane, ...]:
    gray = image.mode in ("1", "L", "LA")
    if image.mode in ("LA", "RGBA") or "transparency" in image.info:
        image = image.convert("LA" if gray else "RGBA")
        *colors, alpha = (np.asarray(band) for band in image.split())
        if int(alpha.min()) < 255:
            raise DecodeError(
                f"{path}: partly transparent, so it has no colour without a background. Put it on one first."
            )
        return tuple(colors)
    if gray:
        return (np.asarray(image.convert("L")),)
    # One contiguous plane per colour: the picture is turned once, here.
    return tuple(np.ascontiguousarray(np.moveaxis(np.asarray(image.convert("RGB")), 2, 0)))


def _damaged(path: Path, error: BaseException) -> DecodeError:
    return DecodeError(
        f"{path}: cannot be read as a picture: {error}. It is damaged or cut: fetch or copy it again."
    )
