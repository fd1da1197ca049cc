"""A stack on an input, as a table of 80 columns and as JSON."""

import textwrap
from typing import Any

from sr_datasets.arithmetic.stack import Field, Overlap, Stack

_LAYER_WIDTH = 20


def to_text(
    stack: Stack, height: int, width: int, *, name: str = "", at: tuple[int, int] | None = None
) -> str:
    """Return everything about a stack on an input as text of at most 80 columns.

    Args:
        stack: The layers.
        height: Of the input.
        width: Of the input.
        name: Of the network.
        at: Row and column of the output whose region is shown; the middle one when left out.

    Raises:
        ValueError: Nothing comes out of a layer, or there is no such output.
    """
    stages = stack.stages(height, width)
    last = stages[-1]
    title = f"{name}: {stack}" if name else str(stack)
    lines = [
        *textwrap.wrap(title, 80, subsequent_indent="  ", break_on_hyphens=False),
        "",
        f"{'layer':<{_LAYER_WIDTH}} {'maps':>5} {'h x w':>11} {'parameters':>10} {'mult-adds':>9} {'field':>6} "
        f"{'jump':>5} {'start':>6}",
        _row("input", stack.channels, height, width, "", "", Stack((), stack.channels).field()),
    ]
    for stage in stages:
        weights = f"{stage.parameters:,}" if stage.parameters else ""
        cost = _short(stage.multiply_adds) if stage.multiply_adds else ""
        lines.append(_row(stage.layer, stage.maps, stage.height, stage.width, weights, cost, stage.field))
    total = sum(stage.multiply_adds for stage in stages)
    each = total / (last.height * last.width)
    lines += [
        "",
        f"output      {_maps(stack.out_maps)} of {last.height}x{last.width}, {stack.magnification} per input sample",
        f"cost        {stack.num_parameters:,} parameters; {_short(total)} multiply-adds, "
        f"{each:,.{0 if each >= 10 else 2}f} an output pixel",
        f"field       {last.field.size_text} samples an axis; {_alignment(last.field)}",
        f"region      {_region(stack, height, width, at or (last.height // 2, last.width // 2))}",
    ]
    for number, stage in enumerate(stages):
        if stage.overlap is not None:
            whose = "" if stack.layers[number].step < 1 else "gradient of "
            lines += _wrapped("overlap", f"{whose}{stage.layer}: {stage.overlap}")
    lines += _wrapped("paths", f"whole stack: {stack.path_counts()}")
    return "\n".join(lines)


def to_json(stack: Stack, height: int, width: int, *, at: tuple[int, int] | None = None) -> dict[str, Any]:
    """Return everything about a stack on an input as plain JSON values; exact ratios are text such as ``1/3``.

    Args:
        stack: The layers.
        height: Of the input.
        width: Of the input.
        at: Row and column of the output whose region is told; the middle one when left out.

    Raises:
        ValueError: Nothing comes out of a layer, or there is no such output.
    """
    stages = stack.stages(height, width)
    row, column = at or (stages[-1].height // 2, stages[-1].width // 2)
    return {
        "stack": str(stack),
        "input": {"maps": stack.channels, "height": height, "width": width},
        "output": {
            "maps": stack.out_maps,
            "height": stages[-1].height,
            "width": stages[-1].width,
        },
        "parameters": stack.num_parameters,
        "multiply_adds": sum(stage.multiply_adds for stage in stages),
        "field": _field_json(stages[-1].field),
        "region": {
            "output": [row, column],
            "rows": stack.region(row, height),
            "columns": stack.region(column, width),
        },
        "path_counts": _overlap_json(stack.path_counts()),
        "layers": [
            {
                "layer": stage.layer,
                "maps": stage.maps,
                "height": stage.height,
                "width": stage.width,
                "parameters": stage.parameters,
                "multiply_adds": stage.multiply_adds,
                "field": _field_json(stage.field),
                **({} if stage.overlap is None else {"overlap": _overlap_json(stage.overlap)}),
            }
            for stage in stages
        ],
    }


def _field_json(seen: Field) -> dict[str, Any]:
    return {
        "size": seen.largest,
        "smallest": seen.smallest,
        "jump": str(seen.jump),
        "start": str(seen.start),
        "shift": str(seen.shift),
    }


def _overlap_json(reached: Overlap) -> dict[str, Any]:
    return {
        "counts": [str(count) for count in reached.counts],
        "even": reached.is_even,
        "unevenness": None if reached.unevenness is None else str(reached.unevenness),
        "unevenness_2d": None if reached.unevenness_2d is None else str(reached.unevenness_2d),
    }


def _row(layer: str, maps: int, height: int, width: int, weights: str, cost: str, seen: Field) -> str:
    head = layer if len(layer) <= _LAYER_WIDTH else f"{layer}\n{'':<{_LAYER_WIDTH}}"
    return (
        f"{head:<{_LAYER_WIDTH}} {maps:>5} {f'{height}x{width}':>11} {weights:>10} {cost:>9} {seen.size_text:>6} "
        f"{seen.jump!s:>5} {seen.start!s:>6}"
    )


def _alignment(seen: Field) -> str:
    if seen.shift == 0:
        return "the output's edges are the input's"
    side = "right and down" if seen.shift > 0 else "left and up"
    return f"the output lies {abs(seen.shift)} samples {side}"


def _region(stack: Stack, height: int, width: int, at: tuple[int, int]) -> str:
    rows, columns = stack.region(at[0], height), stack.region(at[1], width)
    whose = f"output ({at[0]}, {at[1]}) sees"
    if rows is None or columns is None:
        return f"{whose} nothing of the input"
    return f"{whose} rows {rows[0]}-{rows[1]}, columns {columns[0]}-{columns[1]}, from 0"


def _wrapped(head: str, text: str) -> list[str]:
    return textwrap.wrap(text, 80, initial_indent=f"{head:<12}", subsequent_indent=" " * 12)


def _maps(number: int) -> str:
    return f"{number} map" if number == 1 else f"{number} maps"


def _short(number: int) -> str:
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= size:
            return f"{number / size:.2f} {unit}"
    return str(number)
