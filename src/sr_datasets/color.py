"""R'G'B' <-> Y'CbCr: matrices, ranges, chroma siting, luma; every choice stated.

All conversions of pixels are integer arithmetic of our own, so that a window of a frame has
the same samples as the crop of the converted frame, on every machine and with every version
of NumPy.

Equations: ITU-R BT.601-7, BT.709-6 and BT.2020-2 (non-constant luminance). With ``n`` bits,
``k = 2**(n - 8)`` and ``M = 2**n - 1``:

- limited range: ``E'Y = (Y - 16 k) / 219 k``, ``E'C = (C - 128 k) / 224 k``
- full range: ``E'Y = Y / M``, ``E'C = (C - 128 k) / M``
- ``R' = E'Y + 2 (1 - Kr) E'Cr``, ``B' = E'Y + 2 (1 - Kb) E'Cb``, ``G' = (E'Y - Kr R' - Kb B') / Kg``

R'G'B' is full range at the depth of the video: ``M`` times the above, rounded to the nearest
integer (half up) and clipped to 0..M.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8 | np.uint16]
"""Samples as stored: uint8, or uint16 above 8 bits."""
Floats = npt.NDArray[np.float64]
"""Samples as computed."""
_Array = TypeVar("_Array")
Matrix = Literal["bt601", "bt709", "bt2020nc", "rgb"]
"""Y'CbCr matrix; ``rgb`` for none."""

_Sample = TypeVar("_Sample", bound=np.generic)

# Kr, Kb: BT.601-7 section 2.5.1, BT.709-6 item 3.2, BT.2020-2 table 4.
_LUMA_WEIGHTS = {
    "bt601": (Fraction(299, 1000), Fraction(114, 1000)),
    "bt709": (Fraction(2126, 10000), Fraction(722, 10000)),
    "bt2020nc": (Fraction(2627, 10000), Fraction(593, 10000)),
}

# Fixed point of the matrix. The products stay below 2**62: a coefficient is below 2.2, a sample below
# 2**16, the chroma weights of both axes add up to at most 2**6. Before rounding, the sum of three products
# of n bits is within 2**(n - 37) of the exact value. Rounding starts 2**(n - 36) below a half, so that
# an exact half goes up at every depth.
_FRACTION_BITS = 38
_SLACK_BITS = 36
_BAND_SAMPLES = 1 << 17
"""Samples of a plane that are converted to R'G'B' at a time."""


@dataclass(frozen=True, slots=True)
class PlaneLayout:
    """What the planes of a frame mean.

    The words are those of ``manifest.ColorTags`` and ``manifest.VideoInfo``.
    """

    model: Literal["gray", "yuv", "rgb"]
    """Which planes there are: Y; Y, U, V; or R, G, B."""
    log2_x: int = 0
    """0 when chroma is as wide as luma, 1 when half, 2 when a quarter."""
    log2_y: int = 0
    """0 when chroma is as high as luma, 1 when half, 2 when a quarter."""
    bit_depth: int = 8
    """Bits per sample, 8..16."""
    siting: Literal["left", "center", "topleft", "none"] = "none"
    """Where subsampled chroma lies. ``left``: on the left luma sample, between the rows (MPEG-2);
    ``center``: between the samples and the rows (MPEG-1, JPEG); ``topleft``: on the top-left luma
    sample (BT.2020)."""
    matrix: Matrix = "rgb"
    """Y'CbCr matrix; ``rgb`` for none."""
    range: Literal["limited", "full"] = "full"
    """Quantisation: studio (16..235 at 8 bits) or full."""

    def __post_init__(self) -> None:
        if not 8 <= self.bit_depth <= 16:
            raise ValueError(f"bit_depth is {self.bit_depth}, must be 8..16")
        if self.log2_x not in (0, 1, 2) or self.log2_y not in (0, 1, 2):
            raise ValueError(f"log2_x, log2_y are {self.log2_x}, {self.log2_y}: each must be 0, 1 or 2")
        if self.model != "yuv" and (self.log2_x or self.log2_y):
            raise ValueError(f"only yuv has subsampled planes, not {self.model}")


def luma_of_rgb(rgb: Pixels, bit_depth: int = 8) -> Pixels:
    """Return the BT.601 studio-range luma of R'G'B', rounded.

    At 8 bits this is MATLAB's ``rgb2ycbcr`` of a uint8 array: 16 + 65.481 R' + 128.553 G' + 24.966 B'
    with R', G', B' in 0..1. At n bits the limits are those of BT.601, 16 and 235 times ``2**(n - 8)``.
    Exact integer arithmetic; a half is rounded up.

    Args:
        rgb: ``(3, height, width)`` uint8 or uint16, full range.
        bit_depth: Bits per sample, 8..16.

    Returns:
        ``(1, height, width)``, same dtype, 16..235 times ``2**(bit_depth - 8)``.

    Raises:
        ValueError: ``rgb`` has not three planes.

    Example:
        >>> luma_of_rgb(np.full((3, 1, 2), 255, np.uint8)).tolist()
        [[[235, 235]]]
    """
    _check_three_planes(rgb)
    step = 1 << (bit_depth - 8)
    # 219 k (299 R + 587 G + 114 B) / 1000 M, as one exact fraction of integers.
    whole = 1000 * ((1 << bit_depth) - 1)
    red, green, blue = rgb.astype(np.int64)
    weighted = (299 * red + 587 * green + 114 * blue) * (219 * step)
    luma = 16 * step + (2 * weighted + whole) // (2 * whole)
    result: Pixels = luma[np.newaxis].astype(rgb.dtype)
    return result


def luma_of_rgb_float(rgb: npt.NDArray[np.uint8 | np.uint16 | np.float64], bit_depth: int = 8) -> Floats:
    """Return the BT.601 studio-range luma of R'G'B', not rounded.

    Args:
        rgb: ``(3, height, width)``, full range 0..2**bit_depth - 1; floats are welcome.
        bit_depth: Bits per sample, 8..16.

    Returns:
        ``(1, height, width)`` float64, 16..235 times ``2**(bit_depth - 8)``.

    Raises:
        ValueError: ``rgb`` has not three planes.
    """
    _check_three_planes(rgb)
    step = 1 << (bit_depth - 8)
    red, green, blue = rgb.astype(np.float64)
    weighted = 65.481 * red + 128.553 * green + 24.966 * blue
    luma: Floats = 16.0 * step + weighted * (step / ((1 << bit_depth) - 1))
    return luma[np.newaxis]


def window(
    planes: Sequence[Pixels],
    layout: PlaneLayout,
    *,
    color: Literal["y", "rgb", "yuv420"],
    top: int,
    left: int,
    height: int,
    width: int,
) -> Pixels:
    """Return a window of a frame in the colour that is asked for.

    Equal, sample by sample, to the crop of the conversion of the whole frame.

    ``y``: the plane itself of gray and yuv, in its own range; BT.601 studio luma of rgb
    (``luma_of_rgb``). ``rgb``: full-range R'G'B' at the frame's depth. Subsampled chroma is
    interpolated linearly between its two neighbours on each axis, at its siting; beyond the frame
    the nearest chroma sample counts. Gray gives three equal planes, limited range expanded first.
    ``yuv420``: the planes of 4:2:0 as they are, packed (``pack_yuv420``).

    Args:
        planes: 2-D arrays, uint8 or uint16, as ``layout`` says; chroma is
            ``ceil(height / 2**log2_y)`` x ``ceil(width / 2**log2_x)`` of the luma.
        layout: What the planes mean.
        color: ``y``, ``rgb`` or ``yuv420``.
        top: First luma row of the window.
        left: First luma column of the window.
        height: Rows of the window.
        width: Columns of the window.

    Returns:
        ``(1, height, width)`` for ``y``, ``(3, height, width)`` for ``rgb``, ``(1, 3 height / 2, width)``
        for ``yuv420``, in the planes' dtype.

    Raises:
        ValueError: The planes do not fit the layout, the window leaves the frame, or yuv becomes rgb
            without a matrix, or subsampled without a siting; for ``yuv420``, the clip is not 4:2:0, or
            place or size is odd.
    """
    _check_planes(planes, layout)
    _check_box(planes[0].shape, top=top, left=left, height=height, width=width, what="frame")
    box = np.s_[top : top + height, left : left + width]
    match layout.model, color:
        case _, "yuv420":
            if top % 2 or left % 2 or height % 2 or width % 2:
                raise ValueError(
                    f"the window {width}x{height} at row {top}, column {left} cuts chroma samples of 4:2:0 apart: "
                    "all four must be even"
                )
            half = {"top": top // 2, "left": left // 2, "height": height // 2, "width": width // 2}
            return pack_yuv420(planes[0][box][np.newaxis], chroma_window(planes, layout, **half))
        case "rgb", "rgb":
            return np.stack([plane[box] for plane in planes])
        case "rgb", "y":
            return luma_of_rgb(np.stack([plane[box] for plane in planes]), layout.bit_depth)
        case _, "y":
            return planes[0][box][np.newaxis]
        case "gray", _:
            gray = planes[0][box]
            if layout.range == "limited":
                scale, offset, _ = _range_of(layout)
                coefficient = _fixed(scale)
                gray = _round_shift(
                    (gray.astype(np.int64) - offset) * coefficient,
                    _FRACTION_BITS,
                    layout.bit_depth,
                    gray.dtype,
                )
            return np.stack([gray, gray, gray])
        case _:
            return _rgb_of_yuv(planes, layout, top=top, left=left, height=height, width=width)


def chroma_window(
    planes: Sequence[Pixels], layout: PlaneLayout, *, top: int, left: int, height: int, width: int
) -> Pixels:
    """Return a window of the chroma planes of 4:2:0 as they are.

    With ``window(..., color="y")`` of twice the numbers it makes a picture of even place and size,
    which ``pack_yuv420`` joins.

    Args:
        planes: Y, U, V: 2-D arrays, uint8 or uint16.
        layout: What the planes mean.
        top: First row of the window, in chroma samples.
        left: First column of the window, in chroma samples.
        height: Rows of the window, in chroma samples.
        width: Columns of the window, in chroma samples.

    Returns:
        ``(2, height, width)``: U and V, in the planes' dtype.

    Raises:
        ValueError: The clip is not 4:2:0, the planes do not fit the layout, or the window leaves the
            chroma planes.
    """
    check_yuv420(layout)
    _check_planes(planes, layout)
    _check_box(planes[1].shape, top=top, left=left, height=height, width=width, what="chroma plane")
    box = np.s_[top : top + height, left : left + width]
    return np.stack([planes[1][box], planes[2][box]])


def check_yuv420(layout: PlaneLayout) -> None:
    """Refuse what has no 4:2:0 planes to hand out as they are.

    Raises:
        ValueError: The planes are grey, R'G'B' or Y'CbCr of another sampling.
    """
    if layout.model == "yuv" and (layout.log2_x, layout.log2_y) == (1, 1):
        return
    names = {(0, 0): "4:4:4", (1, 0): "4:2:2", (0, 1): "4:4:0", (2, 0): "4:1:1", (2, 2): "4:1:0"}
    found = {"gray": "grey", "rgb": "R'G'B'"}.get(
        layout.model, f"{names.get((layout.log2_x, layout.log2_y), 'another')} Y'CbCr"
    )
    raise ValueError(
        f"has {found} samples; `color: yuv420` takes 4:2:0 planes as they are, so it needs 4:2:0"
    )


def pack_yuv420(luma: npt.NDArray[_Sample], chroma: npt.NDArray[_Sample]) -> npt.NDArray[_Sample]:
    """Return Y, then U, then V, sample after sample, as an I420 buffer has them.

    Args:
        luma: ``(1, height, width)``, both even, any dtype.
        chroma: ``(2, height / 2, width / 2)``: U and V, same dtype.

    Returns:
        ``(1, 3 height / 2, width)``, same dtype: ``height`` rows of Y, then U and V, each
        ``height / 4`` rows of ``width`` samples, two chroma rows in one.

    Raises:
        ValueError: The shapes are not those of 4:2:0, or the types differ.
    """
    height, width = luma.shape[-2:]
    if (
        luma.shape != (1, height, width)
        or height % 2
        or width % 2
        or chroma.shape != (2, height // 2, width // 2)
        or chroma.dtype != luma.dtype
    ):
        raise ValueError(
            f"luma {luma.shape} of {luma.dtype} and chroma {chroma.shape} of {chroma.dtype} are no 4:2:0: "
            "(1, H, W) and (2, H/2, W/2) of one type with even H and W are"
        )
    packed = np.concatenate([luma.reshape(-1), chroma.reshape(-1)])
    return packed.reshape(1, height + height // 2, width)


def split_yuv420(packed: _Array) -> tuple[_Array, _Array, _Array]:
    """Return Y, U and V of I420 buffers: views, where the memory is contiguous.

    Args:
        packed: ``(..., 1, 3 height / 2, width)``, as ``pack_yuv420`` makes it: an array of NumPy or a
            tensor of torch, any type, any axes before.

    Returns:
        ``(..., 1, height, width)`` and twice ``(..., 1, height / 2, width / 2)``.

    Raises:
        ValueError: The shape is not that of packed 4:2:0.

    Example:
        >>> y, u, v = split_yuv420(np.zeros((16, 1, 48, 32), np.uint8))
        >>> y.shape, u.shape
        ((16, 1, 32, 32), (16, 1, 16, 16))
    """
    array: Any = packed
    *before, channels, rows, width = (1,) * (3 - len(array.shape)) + tuple(array.shape)
    height = rows // 3 * 2
    if len(array.shape) < 3 or channels != 1 or rows % 3 or width % 2:
        raise ValueError(f"{tuple(array.shape)} is not the (..., 1, 3 height / 2, width) of packed 4:2:0")
    flat = array.reshape(*before, 1, rows * width)
    ends = height * width, height * width * 5 // 4
    small = (*before, 1, height // 2, width // 2)
    return (
        flat[..., : ends[0]].reshape(*before, 1, height, width),
        flat[..., ends[0] : ends[1]].reshape(small),
        flat[..., ends[1] :].reshape(small),
    )


def _check_box(shape: tuple[int, ...], *, top: int, left: int, height: int, width: int, what: str) -> None:
    rows, columns = shape
    if top < 0 or left < 0 or height < 1 or width < 1 or top + height > rows or left + width > columns:
        raise ValueError(
            f"the window {width}x{height} at row {top}, column {left} leaves the {what} ({columns}x{rows})"
        )


def _check_three_planes(rgb: npt.NDArray[np.uint8 | np.uint16 | np.float64]) -> None:
    if rgb.ndim != 3 or rgb.shape[0] != 3:
        raise ValueError(f"R'G'B' is (3, height, width), this array is {rgb.shape}")


def _check_planes(planes: Sequence[Pixels], layout: PlaneLayout) -> None:
    wanted = 1 if layout.model == "gray" else 3
    if len(planes) != wanted:
        raise ValueError(f"{layout.model} has {wanted} planes, {len(planes)} came")
    height, width = planes[0].shape
    chroma = (-(-height // (1 << layout.log2_y)), -(-width // (1 << layout.log2_x)))
    for plane in planes[1:]:
        if plane.shape != chroma:
            raise ValueError(f"a plane is {plane.shape}, the layout wants {chroma} beside {planes[0].shape}")


def _rgb_of_yuv(
    planes: Sequence[Pixels], layout: PlaneLayout, *, top: int, left: int, height: int, width: int
) -> Pixels:
    rgb = np.empty((3, height, width), planes[0].dtype)
    # In bands: the arithmetic takes 64 bits a sample, several times over, and stays in the cache so.
    rows = max(1, _BAND_SAMPLES // width)
    for start in range(0, height, rows):
        band = rgb[:, start : start + rows]
        _fill_rgb(band, planes, layout, top=top + start, left=left)
    return rgb


def _fill_rgb(rgb: Pixels, planes: Sequence[Pixels], layout: PlaneLayout, *, top: int, left: int) -> None:
    _, height, width = rgb.shape
    luma_scale, luma_offset, chroma_scale = _range_of(layout)
    y_to_all, v_to_r, u_to_g, v_to_g, u_to_b = _coefficients(layout.matrix, luma_scale, chroma_scale)
    weight_bits = _weight_bits(layout.log2_x) + _weight_bits(layout.log2_y)
    u, v = (
        # Interpolated chroma has at most 22 bits; the products with coefficients need 64.
        _chroma(plane, layout, top=top, left=left, height=height, width=width).astype(np.int64)
        for plane in planes[1:]
    )
    luma = planes[0][top : top + height, left : left + width].astype(np.int64)
    luma = (luma - luma_offset) * (y_to_all << weight_bits)
    bits = _FRACTION_BITS + weight_bits
    for index, value in enumerate((luma + v * v_to_r, luma + u * u_to_g + v * v_to_g, luma + u * u_to_b)):
        rgb[index] = _round_shift(value, bits, layout.bit_depth, rgb.dtype)


def _range_of(layout: PlaneLayout) -> tuple[Fraction, int, Fraction]:
    """Return the scale and offset of luma and the scale of chroma, towards full-range R'G'B'."""
    step = 1 << (layout.bit_depth - 8)
    peak = (1 << layout.bit_depth) - 1
    if layout.range == "limited":
        return Fraction(peak, 219 * step), 16 * step, Fraction(peak, 224 * step)
    return Fraction(1), 0, Fraction(1)


@lru_cache
def _coefficients(
    matrix: Matrix, luma_scale: Fraction, chroma_scale: Fraction
) -> tuple[int, int, int, int, int]:
    """Return Y to all, V to R, U to G, V to G, U to B, in fixed point."""
    if matrix == "rgb":
        raise ValueError("yuv cannot become rgb without a matrix: bt601, bt709 or bt2020nc")
    kr, kb = _LUMA_WEIGHTS[matrix]
    kg = 1 - kr - kb
    v_to_r, u_to_b = 2 * (1 - kr), 2 * (1 - kb)
    chroma = (v_to_r, -u_to_b * kb / kg, -v_to_r * kr / kg, u_to_b)
    red, green_u, green_v, blue = (_fixed(value * chroma_scale) for value in chroma)
    return _fixed(luma_scale), red, green_u, green_v, blue


def _fixed(value: Fraction) -> int:
    return round(value * (1 << _FRACTION_BITS))


def _round_shift(
    value: npt.NDArray[np.int64], bits: int, bit_depth: int, dtype: np.dtype[np.uint8 | np.uint16]
) -> Pixels:
    """Divide by ``2**bits``, round to the nearest integer (half up), clip to the depth; in place."""
    value += (1 << (bits - 1)) + (1 << (bits + bit_depth - _SLACK_BITS))
    value >>= bits
    np.clip(value, 0, (1 << bit_depth) - 1, out=value)
    pixels: Pixels = value.astype(dtype)
    return pixels


def _weight_bits(log2: int) -> int:
    return log2 + 1 if log2 else 0


def _chroma(
    plane: Pixels, layout: PlaneLayout, *, top: int, left: int, height: int, width: int
) -> npt.NDArray[np.int32]:
    """Return signed chroma at each luma sample of the window, times two to the weight bits of both axes."""
    if layout.siting == "none" and (layout.log2_x or layout.log2_y):
        raise ValueError("subsampled chroma needs a siting: left, center or topleft")
    rows = _neighbours(top, height, plane.shape[0], layout.log2_y, centred=layout.siting != "topleft")
    columns = _neighbours(left, width, plane.shape[1], layout.log2_x, centred=layout.siting == "center")
    first, last = columns[0].min(), columns[1].max() + 1
    centre = 1 << (layout.bit_depth - 1)
    near = plane[rows[0], first:last].astype(np.int32) - centre
    if layout.log2_y:
        far = plane[rows[1], first:last].astype(np.int32) - centre
        near = near * rows[2][:, np.newaxis] + far * rows[3][:, np.newaxis]
    if not layout.log2_x:
        return near
    return near[:, columns[0] - first] * columns[2] + near[:, columns[1] - first] * columns[3]


def _neighbours(
    start: int, length: int, size: int, log2: int, *, centred: bool
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Return both chroma neighbours of each luma coordinate and their weights, in 1 / 2**(log2 + 1)."""
    factor = 1 << log2
    position = np.arange(start, start + length, dtype=np.int32)
    if not log2:
        return position, position, np.ones_like(position), np.zeros_like(position)
    # Chroma sample i lies at luma coordinate i * factor, plus (factor - 1) / 2 when it is centred.
    doubled = 2 * position - (factor - 1 if centred else 0)
    index, far_weight = np.divmod(doubled, 2 * factor)
    near, far = np.clip(index, 0, size - 1), np.clip(index + 1, 0, size - 1)
    return near, far, 2 * factor - far_weight, far_weight
