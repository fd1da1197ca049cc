"""What a row is: its columns, its Arrow schema, and the digests of its content.

``docs/shards.md`` says the same for readers in other languages.
"""

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

FORMAT_VERSION: Final = 2
"""Version of the format of shards and sets that is written; every earlier one is read, a higher one refused."""

META_PREFIX: Final = "sr-datasets."
"""What the file's own metadata keys begin with, so that they are told from other people's."""

MAX_GROUP_ROWS: Final = 20_000
"""Most rows of a row group: Arrow's writer starts a new page after so many, and a group has one page."""

MAX_GROUP_BYTES: Final = (1 << 30) - 1
"""Most bytes of pixels of a row group; Arrow's binary offsets end at 2 GiB, a page's size too."""

Pixels: TypeAlias = npt.NDArray[np.uint8 | np.uint16]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Row:
    """One patch pair with all that is known of it; each field is a column of the same name."""

    sample_id: str
    """Unique in the set, such as ``xiph/akiyo_cif/000012``."""
    source: str
    """Source id."""
    clip: str
    """Clip id inside the source."""
    split: str
    """Split that the clip was dealt to."""
    row: int
    """Number of the row in its pair, from 0."""
    frame_indices: tuple[int, ...]
    """Shown frames of the clip that ``lr`` holds, from 0; T of them."""
    pts: tuple[int, ...]
    """Their presentation times in ticks of ``time_base``; T of them."""
    time_base: str
    """Seconds of one tick, exact: ``1/25``."""
    top: int
    """First LR row of the patch in the LR frame; the HR patch starts at ``top * scale``."""
    left: int
    """First LR column of the patch in the LR frame."""
    frame_height: int = 0
    """Rows of the HR frame that the patch was cut from, mod-cropped; 0 where that is not known."""
    frame_width: int = 0
    """Columns of that frame; 0 where that is not known."""
    scale: int
    """HR-to-LR ratio per axis."""
    color: str
    """What the channels are: ``y`` (one), ``rgb`` (three, in this order) or ``yuv420`` (one: planes packed)."""
    bit_depth: int
    """Bits per sample: up to 8 in uint8, above in uint16."""
    matrix: str
    """Y'CbCr matrix of the clip: bt601, bt709, bt2020nc, or rgb for none."""
    matrix_from: str
    """How the matrix is known: declared, tagged or guessed."""
    range: str
    """Quantisation of the clip: limited or full."""
    range_from: str
    """As ``matrix_from``."""
    transfer: str
    """Transfer characteristic of the clip by FFmpeg's name."""
    transfer_from: str
    """As ``matrix_from``."""
    siting: str
    """Where the clip's chroma samples lie: left, center, topleft or none."""
    siting_from: str
    """As ``matrix_from``."""
    chroma_filter: str = "none"
    """How ``rgb`` was made of Y'CbCr: linear (interpolated at the siting), swscale-default, or none."""
    degradation: str
    """How LR was made of HR: the degradation's parameters as JSON."""
    drawn: str = "{}"
    """What was drawn for this row alone, as JSON."""
    lr: Pixels
    """``(C, h, w)`` planes, or ``(T, C, h, w)`` of several frames; uint8 or uint16. ``yuv420`` is ``(1, 3 h / 2, w)``."""
    hr: Pixels
    """``(C, scale h, scale w)``: the centre frame, or ``(T, C, scale h, scale w)``: every frame."""


SHAPE_COLUMNS: Final = (
    "num_frames",
    "hr_num_frames",
    "channels",
    "lr_height",
    "lr_width",
    "hr_height",
    "hr_width",
    "bit_depth",
)
"""Columns that say how the bytes of ``lr`` and ``hr`` become arrays."""

PIXEL_COLUMNS: Final = ("lr", "hr")

PREVIEW_COLUMN: Final = "preview"
"""A small picture of the row, where the recipe asks for it."""

BULKY_COLUMNS: Final = (*PIXEL_COLUMNS, PREVIEW_COLUMN)
"""Columns that no filter reads, and that ``index.parquet`` lacks."""

_REPEATED_STRINGS = (
    "source",
    "clip",
    "split",
    "time_base",
    "color",
    "matrix",
    "matrix_from",
    "range",
    "range_from",
    "transfer",
    "transfer_from",
    "siting",
    "siting_from",
    "chroma_filter",
    "degradation",
)


def _column(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


SCHEMA: Final = pa.schema(
    [
        _column("sample_id", pa.string()),
        _column("source", pa.string()),
        _column("clip", pa.string()),
        _column("split", pa.string()),
        _column("row", pa.int32()),
        _column("frame_indices", pa.list_(pa.field("element", pa.int32(), nullable=False))),
        _column("pts", pa.list_(pa.field("element", pa.int64(), nullable=False))),
        _column("time_base", pa.string()),
        _column("top", pa.int32()),
        _column("left", pa.int32()),
        _column("frame_height", pa.int32()),
        _column("frame_width", pa.int32()),
        _column("scale", pa.int32()),
        _column("num_frames", pa.int32()),
        _column("hr_num_frames", pa.int32()),
        _column("channels", pa.int32()),
        _column("lr_height", pa.int32()),
        _column("lr_width", pa.int32()),
        _column("hr_height", pa.int32()),
        _column("hr_width", pa.int32()),
        _column("bit_depth", pa.int32()),
        _column("color", pa.string()),
        _column("matrix", pa.string()),
        _column("matrix_from", pa.string()),
        _column("range", pa.string()),
        _column("range_from", pa.string()),
        _column("transfer", pa.string()),
        _column("transfer_from", pa.string()),
        _column("siting", pa.string()),
        _column("siting_from", pa.string()),
        _column("chroma_filter", pa.string()),
        _column("degradation", pa.string()),
        _column("drawn", pa.string()),
        _column("lr", pa.binary()),
        _column("hr", pa.binary()),
    ]
)
"""The columns of a shard, in file order."""

_ORDER: Final = {name: place for place, name in enumerate(SCHEMA.names)}


def unlike_schema(found: pa.Schema) -> str | None:
    """Say which column holds other values than ``SCHEMA`` says; None where each one that is there is like it.

    Other tools write the same values in other widths and layouts: large texts, lists of a fixed size, unsigned numbers.
    Pixels may be PNGs, in structs with a field ``bytes``.
    """
    for field in SCHEMA:
        places = found.get_all_field_indices(field.name)
        if not places:
            continue
        if len(places) > 1:
            return f"column {field.name} stands {len(places)} times"
        kind = found.field(places[0]).type
        if field.name in PIXEL_COLUMNS:
            like, expected = _holds_bytes(kind), "bytes"
        elif field.type == pa.string():
            like, expected = _holds_text(kind), "texts"
        elif field.type == pa.int32():
            like, expected = pa.types.is_integer(kind), "whole numbers"
        else:
            like, expected = _is_list(kind) and pa.types.is_integer(kind.value_type), "lists of whole numbers"
        if not like:
            return f"column {field.name} holds {str(kind)[:60]}, expected {expected}"
    return None


def _holds_bytes(kind: pa.DataType) -> bool:
    if _is_list(kind):
        kind = kind.value_type
    if pa.types.is_struct(kind):
        place = kind.get_field_index("bytes")
        if place < 0:
            return False
        kind = kind.field(place).type
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _holds_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
        or pa.types.is_list_view(kind)
        or pa.types.is_large_list_view(kind)
    )


LATER_COLUMNS: Final = {
    "chroma_filter": ("color", "siting"),
    "frame_height": (),
    "frame_width": (),
}
"""Columns that shards may lack since they were written before there were any, and what their values are told by."""

FRAME_COLUMNS: Final = ("frame_height", "frame_width")


def with_later_columns(table: pa.Table, wanted: Sequence[str] = tuple(LATER_COLUMNS)) -> pa.Table:
    """Return columns of a shard with those that were not there yet when it was written.

    Version 1 has no ``chroma_filter``: what wrote it interpolated the chroma of ``rgb`` linearly, at the siting. The
    first sets of version 2 do not know the size of the frame: it is 0.

    Args:
        table: Columns of a shard or an index.
        wanted: Which columns to add where they are missing; one whose value cannot be told is left out.
    """
    for name in wanted:
        needed = LATER_COLUMNS.get(name)
        if needed is None or name in table.column_names or not set(needed) <= set(table.column_names):
            continue
        name_at = _ORDER[name]
        if name in FRAME_COLUMNS:
            values = pa.repeat(pa.scalar(0, pa.int32()), len(table))
        else:
            kinds = zip(*(table.column(one).to_pylist() for one in needed), strict=True)
            texts = ["linear" if color == "rgb" and siting != "none" else "none" for color, siting in kinds]
            values = pa.array(texts, pa.string())
        before = [place for place, one in enumerate(table.column_names) if _ORDER.get(one, name_at) < name_at]
        table = table.add_column(before[-1] + 1 if before else 0, SCHEMA.field(name), values)
    return table


DICTIONARY_COLUMNS: Final = _REPEATED_STRINGS
"""Columns stored as a dictionary: strings that are the same in every row of a pair."""

STATISTICS_COLUMNS: Final = tuple(
    field.name for field in SCHEMA if field.type in (pa.string(), pa.int32()) and field.name != "drawn"
)
"""Columns with minimum and maximum in the footer, for filters that skip row groups."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How the bytes of one row become two arrays."""

    lr: tuple[int, ...]
    """``(C, h, w)``, or ``(T, C, h, w)`` when T > 1."""
    hr: tuple[int, ...]
    """``(C, H, W)``, or ``(T, C, H, W)`` when every frame has HR."""
    bit_depth: int
    """Bits per sample."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Little-endian uint16 above 8 bits, uint8 otherwise."""
        return np.dtype("<u2" if self.bit_depth > 8 else "u1")

    @property
    def lr_bytes(self) -> int:
        """Bytes of ``lr`` of one row."""
        return math.prod(self.lr) * self.dtype.itemsize

    @property
    def hr_bytes(self) -> int:
        """Bytes of ``hr`` of one row."""
        return math.prod(self.hr) * self.dtype.itemsize


def shape_of_columns(
    num_frames: int,
    hr_num_frames: int,
    channels: int,
    lr_height: int,
    lr_width: int,
    hr_height: int,
    hr_width: int,
    bit_depth: int,
) -> Shape:
    """Return the shape that a row's ``SHAPE_COLUMNS`` describe, in their order."""
    lr = (channels, lr_height, lr_width)
    hr = (channels, hr_height, hr_width)
    return Shape(
        lr=(num_frames, *lr) if num_frames > 1 else lr,
        hr=(hr_num_frames, *hr) if hr_num_frames > 1 else hr,
        bit_depth=bit_depth,
    )


def shape_of_row(row: Row) -> Shape:
    """Return a row's shape, after a look at whether its fields agree with each other.

    Raises:
        ValueError: The arrays are not pixels of one pair at ``row.scale``.
    """
    lr, hr = row.lr, row.hr
    if lr.dtype not in (np.uint8, np.uint16) or hr.dtype != lr.dtype:
        raise ValueError(f"{row.sample_id}: lr is {lr.dtype}, hr is {hr.dtype}; both must be uint8 or uint16")
    if not 1 <= row.bit_depth <= 16 or (row.bit_depth > 8) != (lr.dtype == np.uint16):
        raise ValueError(f"{row.sample_id}: {row.bit_depth} bits per sample do not go with {lr.dtype}")
    num_frames = len(row.frame_indices)
    lr_frames = lr.shape[0] if lr.ndim == 4 else 1
    if lr.ndim not in (3, 4) or lr_frames != num_frames or len(row.pts) != num_frames or not num_frames:
        raise ValueError(
            f"{row.sample_id}: lr has shape {lr.shape} with {num_frames} frame indices and {len(row.pts)} pts; "
            "it must be (C, h, w) for one frame, (T, C, h, w) for T"
        )
    channels, lr_height, lr_width = lr.shape[-3:]
    if lr.size == 0:
        # A row without LR: HR with its halo, to be degraded when it is loaded.
        if (lr_height, lr_width) != (0, 0) or hr.shape[-3] != channels or hr.size == 0:
            raise ValueError(f"{row.sample_id}: lr has no samples: {lr.shape}, hr {hr.shape}")
    elif hr.shape[-3:] != (channels, lr_height * row.scale, lr_width * row.scale) or hr.ndim not in (3, 4):
        raise ValueError(
            f"{row.sample_id}: hr has shape {hr.shape}, lr {lr.shape}; at scale {row.scale} hr must be "
            f"{(channels, lr_height * row.scale, lr_width * row.scale)}, with T frames before it or without"
        )
    if hr.ndim == 4 and hr.shape[0] != num_frames:
        raise ValueError(f"{row.sample_id}: hr has {hr.shape[0]} frames, lr {num_frames}")
    wanted = {"y": 1, "rgb": 3, "yuv420": 1}.get(row.color)
    if wanted is None or channels != wanted:
        raise ValueError(
            f"{row.sample_id}: {channels} channels do not go with colour {row.color!r} (y: 1, rgb: 3, yuv420: 1)"
        )
    if row.color == "yuv420" and (lr_height % 3 or lr_width % 2 or row.top % 2 or row.left % 2):
        raise ValueError(
            f"{row.sample_id}: lr has {lr_height} rows of {lr_width} samples at row {row.top}, column {row.left}; "
            "yuv420 has 3/2 of an even number of luma rows, and even width, row and column"
        )
    _check_frame(row, lr_height * 2 // 3 if row.color == "yuv420" else lr_height, lr_width)
    return shape_of_columns(
        num_frames,
        hr.shape[0] if hr.ndim == 4 else 1,
        channels,
        lr_height,
        lr_width,
        hr.shape[-2],
        hr.shape[-1],
        row.bit_depth,
    )


def _check_frame(row: Row, lr_height: int, lr_width: int) -> None:
    if (row.frame_height, row.frame_width) == (0, 0):
        return
    for what, frame, first, count in (
        ("rows", row.frame_height, row.top, lr_height),
        ("columns", row.frame_width, row.left, lr_width),
    ):
        if frame < 1 or frame % row.scale or first < 0 or (first + count) * row.scale > frame:
            raise ValueError(
                f"{row.sample_id}: {count} LR {what} from {first} do not lie in a frame of {frame} HR {what} at scale "
                f"{row.scale}"
            )


def pixel_bytes(pixels: Pixels) -> bytes:
    """Return samples as a shard stores them: C order, uint16 little-endian."""
    return pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes()


def group_digest(
    rows: Iterable[tuple[str, str, bytes | memoryview, bytes | memoryview]], shape: Shape
) -> str:
    """Return the content digest of a row group: SHA-256 of its row ids, draws and pixels.

    Each part stands behind its length (8 bytes, little-endian), so that no two contents share a
    digest; nothing of the Parquet container goes in.

    Args:
        rows: ``(sample_id, drawn, bytes of lr, bytes of hr)`` of each row, in order.
        shape: Shape of every row.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    kind = f"uint{8 * shape.dtype.itemsize}/{shape.bit_depth}"
    lr_kind = f"{kind} {'x'.join(map(str, shape.lr))}".encode()
    hr_kind = f"{kind} {'x'.join(map(str, shape.hr))}".encode()
    _feed(digest, b"sr-datasets group 1")
    for sample_id, drawn, lr, hr in rows:
        for part in (sample_id.encode(), drawn.encode(), lr_kind, lr, hr_kind, hr):
            _feed(digest, part)
    return digest.hexdigest()


def digest_of_rows(rows: Sequence[Row]) -> str:
    """Return the content digest of rows that make a row group."""
    parts = ((row.sample_id, row.drawn, pixel_bytes(row.lr), pixel_bytes(row.hr)) for row in rows)
    return group_digest(parts, shape_of_row(rows[0]))


def shard_digest(group_digests: Iterable[str]) -> str:
    """Return the content digest of a shard: SHA-256 of the digests of its row groups, in order."""
    digest = hashlib.sha256()
    _feed(digest, b"sr-datasets shard 1")
    for group in group_digests:
        _feed(digest, bytes.fromhex(group))
    return digest.hexdigest()


def set_digest(shards: Iterable[tuple[str, Sequence[str]]]) -> str:
    """Return the content digest of a set, the same however its row groups are dealt to shards.

    Args:
        shards: ``(split, digests of its row groups)`` of each shard, in order of name.

    Returns:
        SHA-256 of each split's name and the digests of its row groups, splits sorted by name.
    """
    splits: dict[str, list[str]] = {}
    for split, group_digests in shards:
        splits.setdefault(split, []).extend(group_digests)
    digest = hashlib.sha256()
    _feed(digest, b"sr-datasets set 1")
    for split in sorted(splits):
        _feed(digest, b"split")
        _feed(digest, split.encode())
        for group in splits[split]:
            _feed(digest, b"group")
            _feed(digest, bytes.fromhex(group))
    return digest.hexdigest()


def _feed(digest: "hashlib._Hash", part: bytes | memoryview) -> None:
    digest.update(len(part).to_bytes(8, "little"))
    digest.update(part)
