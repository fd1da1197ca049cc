"""How kernels overlap, as one PNG: the cause of checkerboards."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sr_datasets.arithmetic import Overlap, Stack
from sr_datasets.arithmetic.layers import TransposedConvolution
from sr_datasets.files import atomic_path
from sr_datasets.report.outputs import require_output

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

_CELL = 22
"""Pixels of one output sample."""
_PLACES = 12
"""Output samples that are shown along an axis, at least."""
_MARGIN = 14
_LINE = 16
_KERNEL_COLORS: Final = ("#4c78a8", "#f58518", "#54a24b", "#b279a2")


def draw_overlaps(stack: Stack, path: Path) -> None:
    """Write how the kernels of a stack's transposed convolutions overlap, and how many paths reach each output.

    For each transposed convolution: its kernels along one axis, one row for each input sample, the number of kernels
    on each output below, and the plane, where the numbers of both axes multiply. Last, the same plane for the paths
    through the whole stack.

    Args:
        stack: The layers.
        path: The PNG to write, whole or not at all.
    """
    from PIL import Image, ImageDraw

    require_output(path, ".png")
    struck = [layer for layer in stack.layers if isinstance(layer, TransposedConvolution)]
    panels = [(layer.text, _counts(layer), layer) for layer in struck]
    heights = [_axis_height(layer) for layer in struck]
    whole = stack.path_counts()
    shown = max([_places(len(whole.counts)), *(_places(len(counts.counts)) for _, counts, _ in panels)])
    side = shown * _CELL
    width = 2 * side + 3 * _MARGIN
    plane_height = side + 2 * _LINE + _MARGIN
    rows = [max(plane_height, height) for height in heights] + [plane_height]
    sheet = Image.new("RGB", (width, sum(rows) + _MARGIN), "white")
    draw = ImageDraw.Draw(sheet)
    top = _MARGIN
    for (text, counts, layer), height in zip(panels, rows, strict=False):
        _draw_axis(draw, _MARGIN, top, layer, shown)
        _draw_plane(draw, 2 * _MARGIN + side, top, f"{text} in the plane", counts, shown)
        top += height
    _draw_notes(draw, _MARGIN, top, stack, whole)
    _draw_plane(draw, 2 * _MARGIN + side, top, "paths through the whole stack", whole, shown)
    with atomic_path(path) as partial:
        sheet.save(partial, format="PNG", optimize=True)


def _places(period: int) -> int:
    """Return whole periods, as many as make a picture that is neither small nor huge."""
    return period * max(1, -(-_PLACES // period))


def _counts(layer: TransposedConvolution) -> Overlap:
    return Stack((layer,), layer.groups).path_counts()


def _inputs(layer: TransposedConvolution, shown: int) -> range:
    """Return the inputs whose kernels reach the shown outputs."""
    sources = [source for place in range(shown) for source, _ in layer.taps(place)]
    return range(min(sources), max(sources) + 1)


def _axis_height(layer: TransposedConvolution) -> int:
    rows = len(_inputs(layer, _places(layer.stride)))
    return _LINE * 2 + (rows + 4) * (_CELL // 2) + 5 * _CELL


def _draw_axis(draw: "ImageDraw", left: int, top: int, layer: TransposedConvolution, shown: int) -> None:
    draw.text((left, top), f"{layer.text}: kernels along one axis", fill="black")
    y = top + _LINE
    for number, source in enumerate(_inputs(layer, shown)):
        color = _KERNEL_COLORS[number % len(_KERNEL_COLORS)]
        for tap in range(layer.kernel):
            place = layer.stride * source - layer.padding + layer.dilation * tap
            if 0 <= place < shown:
                x = left + place * _CELL
                draw.rectangle((x + 1, y + 1, x + _CELL - 2, y + _CELL // 2 - 2), fill=color)
        y += _CELL // 2
    y += _CELL // 2
    counts = _counts(layer).counts
    most = max(counts)
    for place in range(shown):
        count = counts[place % len(counts)]
        x, height = left + place * _CELL, round(3 * _CELL * count / most)
        draw.rectangle(
            (x + 1, y + 3 * _CELL - height, x + _CELL - 2, y + 3 * _CELL), fill=_shade(count, most)
        )
        draw.text((x + _CELL // 2, y + 3 * _CELL + 4), _number(count), fill="black", anchor="ma")
    draw.text((left, y + 3 * _CELL + _LINE + 2), "kernels on each output", fill="black")


def _draw_plane(draw: "ImageDraw", left: int, top: int, title: str, counts: Overlap, shown: int) -> None:
    draw.text((left, top), title, fill="black")
    values = counts.counts
    most = max(values) ** 2
    for row in range(shown):
        for column in range(shown):
            count = values[row % len(values)] * values[column % len(values)]
            x, y = left + column * _CELL, top + _LINE + row * _CELL
            draw.rectangle((x, y, x + _CELL - 1, y + _CELL - 1), fill=_shade(count, most))
    words = "even" if counts.is_even else "gaps" if counts.unevenness_2d is None else ""
    words = words or f"uneven, {_number(counts.unevenness_2d or Fraction(1))}:1"
    draw.text((left, top + _LINE + shown * _CELL + 2), words, fill="black")


def _draw_notes(draw: "ImageDraw", left: int, top: int, stack: Stack, whole: Overlap) -> None:
    y = top
    for line in _lines(str(stack), 42):
        draw.text((left, y), line, fill="black")
        y += _LINE
    y += _LINE
    for line in _lines(f"paths an axis: {whole}", 42):
        draw.text((left, y), line, fill="black")
        y += _LINE


def _lines(text: str, width: int) -> Sequence[str]:
    import textwrap

    return textwrap.wrap(text, width, break_on_hyphens=False)


def _number(count: Fraction) -> str:
    return str(count) if count.denominator == 1 else f"{float(count):.2g}"


def _shade(count: Fraction, most: Fraction) -> tuple[int, int, int]:
    """Return dark for many, white for none."""
    part = float(count / most) if most else 0.0
    return (round(255 - 225 * part), round(255 - 190 * part), round(255 - 120 * part))
