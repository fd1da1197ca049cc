"""What the samples mean: declared by the manifest, tagged by the stream, or guessed by the rule here.

The rule is stated in the docstring of ``sr_datasets.video``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sr_datasets.errors import DecodeError
from sr_datasets.manifest import Clip, ColorTags, VideoInfo
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
    transfer: str
    if clip is not None and clip.transfer is not None:
        transfer, transfer_from = clip.transfer, "declared"
    elif tags.transfer in _TRANSFERS:
        transfer, transfer_from = _TRANSFERS[tags.transfer], "tagged"
    else:
        transfer, transfer_from = ("iec61966-2-1" if pixels.model == "rgb" or picture else "bt709"), "guessed"
    siting: Siting
    if pixels.model != "yuv" or (pixels.log2_x, pixels.log2_y) == (0, 0):
        siting, siting_from = "none", "tagged"
    elif clip is not None and clip.siting is not None:
        siting, siting_from = clip.siting, "declared"
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


def row_tags(
    info: VideoInfo,
    color: Literal["y", "rgb", "yuv420"],
    *,
    rgb_from_yuv: Literal["exact", "swscale-default"] = "exact",
) -> dict[str, str]:
    """Return what the rows of a clip say of their samples: the columns of ``shards.schema.Row``.

    Args:
        info: What the clip says of itself.
        color: What the rows hold.
        rgb_from_yuv: Who makes ``rgb`` of Y'CbCr.

    Returns:
        matrix, range, transfer, siting, each with ``_from``, and chroma_filter.
    """
    tags: dict[str, str] = {**info.color.model_dump(mode="json"), "chroma_filter": "none"}
    if info.model == "rgb" and color == "y":
        # Luma of pictures is our own computation: MATLAB's rgb2ycbcr, whatever the file says.
        tags |= {"matrix": "bt601", "range": "limited", "matrix_from": "declared", "range_from": "declared"}
    if info.model == "yuv" and color == "rgb":
        if rgb_from_yuv == "swscale-default":
            # Where the ffmpeg command is told nothing it takes BT.601 and limited, at every size.
            if tags["matrix_from"] == "guessed":
                tags["matrix"] = "bt601"
            if tags["range_from"] == "guessed":
                tags["range"] = "limited"
            tags["chroma_filter"] = "swscale-default"
        elif info.chroma_log2_x or info.chroma_log2_y:
            tags["chroma_filter"] = "linear"
    return tags


def with_declared(info: VideoInfo, clip: Clip) -> VideoInfo:
    """Return what is known of a clip, with what its manifest declares now.

    A record keeps what the manifest declared when the clip came in; the manifest may say more since.
    Samples without a matrix (RGB), or without subsampled chroma, keep having none.
    """
    declared: dict[str, str | None] = {"transfer": clip.transfer}
    if info.model != "rgb":
        declared["range"] = clip.range
        declared["matrix"] = None if clip.matrix == "rgb" else clip.matrix
    if info.color.siting != "none":
        declared["siting"] = clip.siting
    changed: dict[str, str] = {}
    for fact, value in declared.items():
        if value is not None:
            changed |= {fact: value, f"{fact}_from": "declared"}
    if not changed:
        return info
    return info.model_copy(update={"color": info.color.model_copy(update=changed)})


_RULES = {
    "matrix": "by size: bt709 from 720 rows or 1280 columns, bt601 below; bt2020nc where the transfer is PQ or HLG",
    "range": "limited for video, full for pictures",
    "transfer": "bt709 for video, iec61966-2-1 (sRGB) for RGB and pictures",
    "siting": "by the custom of the codec or format",
}


def guessed_facts(
    info: VideoInfo,
    color: Literal["y", "rgb", "yuv420"],
    *,
    rgb_from_yuv: Literal["exact", "swscale-default"] = "exact",
) -> tuple[str, ...]:
    """Name what rows of this clip would state of their samples by a guess; ``--strict-color`` refuses them.

    Every fact that a row states counts, also one that changes no sample of this colour (the matrix of
    ``y``): whoever reads the row takes it for known. Of luma of RGB, matrix and range are our own
    computation, and so known.

    Returns:
        A sentence for each, which ends with the field of the manifest that settles it. Empty: all is
        declared or tagged.
    """
    tags = row_tags(info, color, rgb_from_yuv=rgb_from_yuv)
    swscale = tags["chroma_filter"] == "swscale-default"
    rules = _RULES | ({"matrix": "as the ffmpeg command does"} if swscale else {})
    return tuple(
        f"{fact} {tags[fact]} is guessed ({rules[fact]}): declare `{fact}`"
        for fact in _RULES
        if tags[f"{fact}_from"] == "guessed"
    )
