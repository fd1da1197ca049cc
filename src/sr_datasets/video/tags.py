"""What the samples mean: declared by the manifest, tagged by the stream, or guessed by the rule here.

The rule is stated in the docstring of ``sr_datasets.video``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sr_datasets.errors import DecodeError
from sr_datasets.manifest import Clip, ColorTags
from sr_datasets.video.formats import PixelFormat

Matrix = Literal["bt601", "bt709", "bt2020nc", "rgb"]
Range = Literal["limited", "full"]
Siting = Literal["left", "center", "topleft", "none"]

# ITU-T H.273 table 4 (MatrixCoefficients); 2 is "unspecified". BT.470 System B/G and SMPTE 170M
# have the coefficients of BT.601.
_MATRICES: dict[int, Matrix] = {0: "rgb", 1: "bt709", 5: "bt601", 6: "bt601", 9: "bt2020nc"}
_OTHER_MATRICES = {
    4: "FCC",
    7: "SMPTE 240M",
    8: "YCgCo",
    10: "BT.2020 constant luminance",
    11: "SMPTE 2085",
    12: "chromaticity-derived",
    13: "chromaticity-derived constant luminance",
    14: "ICtCp",
    15: "IPT-C2",
    16: "YCgCo-Re",
    17: "YCgCo-Ro",
}
# H.273 table 3 (TransferCharacteristics), by FFmpeg's names.
_TRANSFERS = {
    1: "bt709",
    4: "gamma22",
    5: "gamma28",
    6: "smpte170m",
    7: "smpte240m",
    8: "linear",
    9: "log100",
    10: "log316",
    11: "iec61966-2-4",
    12: "bt1361e",
    13: "iec61966-2-1",
    14: "bt2020-10",
    15: "bt2020-12",
    16: "smpte2084",
    17: "smpte428",
    18: "arib-std-b67",
}
_UNSPECIFIED = 2


@dataclass(frozen=True, slots=True)
class StreamTags:
    """What a stream says of its samples, in the numbers of ITU-T H.273."""

    matrix: int = _UNSPECIFIED
    """MatrixCoefficients."""
    transfer: int = _UNSPECIFIED
    """TransferCharacteristics."""
    range: Range | None = None
    """Quantisation range."""
    siting: Siting | None = None
    """Where chroma lies."""


def color_tags(
    path: Path,
    pixels: PixelFormat,
    *,
    width: int,
    height: int,
    tags: StreamTags,
    guessed_siting: Siting,
    clip: Clip | None,
    picture: bool = False,
) -> ColorTags:
    """Say what samples mean, and how each of the four facts is known.

    Args:
        path: The file, for messages.
        pixels: Their format.
        width: Luma samples per row.
        height: Luma rows.
        tags: What the stream says.
        guessed_siting: Where chroma lies by the codec's custom, when the stream does not say.
        clip: What the manifest declares; it goes before the stream's tags.
        picture: A still picture: untagged grey is full range, untagged transfer sRGB.

    Raises:
        DecodeError: The stream is tagged with a matrix that is not read here and none is declared.
    """
    matrix, matrix_from = _matrix(path, pixels, width=width, height=height, tags=tags, clip=clip)
    range_: Range
    if pixels.full_range and pixels.model == "rgb":
        range_, range_from = "full", "tagged"
    elif clip is not None and clip.range is not None:
        range_, range_from = clip.range, "declared"
    elif pixels.full_range:
        range_, range_from = "full", "tagged"
    elif tags.range is not None:
        range_, range_from = tags.range, "tagged"
    else:
        range_, range_from = "full" if picture else "limited", "guessed"
    if tags.transfer in _TRANSFERS:
        transfer, transfer_from = _TRANSFERS[tags.transfer], "tagged"
    else:
        transfer, transfer_from = ("iec61966-2-1" if pixels.model == "rgb" or picture else "bt709"), "guessed"
    siting: Siting
    if pixels.model != "yuv" or (pixels.log2_x, pixels.log2_y) == (0, 0):
        siting, siting_from = "none", "tagged"
    elif tags.siting is not None:
        siting, siting_from = tags.siting, "tagged"
    else:
        siting, siting_from = guessed_siting, "guessed"
    return ColorTags.model_validate(
        {
            "matrix": matrix,
            "range": range_,
            "transfer": transfer,
            "siting": siting,
            "matrix_from": matrix_from,
            "range_from": range_from,
            "transfer_from": transfer_from,
            "siting_from": siting_from,
        }
    )


def _matrix(
    path: Path, pixels: PixelFormat, *, width: int, height: int, tags: StreamTags, clip: Clip | None
) -> tuple[Matrix, Literal["declared", "tagged", "guessed"]]:
    if pixels.model == "rgb":
        return "rgb", "tagged"
    if clip is not None and clip.matrix is not None:
        if clip.matrix == "rgb" and pixels.model == "yuv":
            raise DecodeError(
                f"{path}: the manifest declares the matrix rgb, but the stream has Y'CbCr samples ({pixels.name}). "
                "Correct `matrix` in the manifest."
            )
        return clip.matrix, "declared"
    if tags.matrix in _OTHER_MATRICES and pixels.model == "yuv":
        raise DecodeError(
            f"{path}: its samples are tagged with the matrix {_OTHER_MATRICES[tags.matrix]}; bt601, bt709 and "
            "bt2020nc are read here. If the tag is wrong, declare `matrix` in the manifest; else convert the clip."
        )
    if tags.matrix in _MATRICES and (pixels.model == "gray" or tags.matrix != 0):
        return _MATRICES[tags.matrix], "tagged"
    # PQ and HLG come with BT.2020 colour (ITU-R BT.2100).
    if tags.transfer in (14, 15, 16, 18):
        return "bt2020nc", "guessed"
    return ("bt709" if height >= 720 or width >= 1280 else "bt601"), "guessed"
