"""Command ``arch``: what layers make of sizes, what they cost, what an output sees, how kernels overlap."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sr_datasets.cli.app import JsonOption, app

if TYPE_CHECKING:
    from sr_datasets.arithmetic import Stack

_FULL_HD = (1080, 1920)


@app.command("arch")
def arch_command(
    model: Annotated[
        str,
        typer.Argument(
            help="A preset (espcn), a model file, the folder of a run, or layers in quotes: 'conv3:64 tconv4:1:s2'."
        ),
    ],
    scale: Annotated[
        int | None, typer.Option("--scale", min=1, max=8, help="HR-to-LR ratio of a preset; else a check.")
    ] = None,
    size: Annotated[
        str | None,
        typer.Option("--input", metavar="HxW", help="Height and width; LR of 1080x1920 if left out."),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="Y,X", help="The output whose region is shown; the middle one."),
    ] = None,
    channels: Annotated[
        int | None, typer.Option("--channels", min=1, help="Maps of the input of layers in quotes; 1.")
    ] = None,
    colors: Annotated[int | None, typer.Option("--colors", help="Of a preset: 1 or 3.")] = None,
    frames: Annotated[int | None, typer.Option("--frames", help="Of a preset: 1, 3 or 5.")] = None,
    upsampling: Annotated[
        str | None,
        typer.Option(
            "--upsampling", help="Of a preset: subpixel, transposed, resize-nearest, resize-bilinear."
        ),
    ] = None,
    png: Annotated[
        Path | None, typer.Option("--png", metavar="FILE", help="Draw how the kernels overlap.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the arithmetic of a network: sizes, cost, receptive field, overlap of kernels.

    Layers are written from input to output: conv5:64 is a convolution of 5x5 to 64 maps; behind more colons stand
    stride s2, padding p1, dilation d2, groups g4. See docs/upsampling.md.

    \b
    Examples:
      sr-data arch espcn --scale 3
      sr-data arch espcn --scale 3 --upsampling transposed --png overlap.png
      sr-data arch 'conv3:64:s2 relu tconv3:1:s2' --input 32x48
    """
    import json

    from sr_datasets.arithmetic.text import to_json, to_text

    options = {"colors": colors, "frames": frames, "upsampling": upsampling}
    try:
        name, stack = _find(model, scale, channels, {key: value for key, value in options.items() if value})
        if scale is not None and stack.magnification != scale:
            raise ValueError(f"the stack enlarges {stack.magnification} times, --scale says {scale}")
        height, width = _default_size(stack) if size is None else _pair(size, "x", "--input", "360x640")
        place = None if at is None else _pair(at, ",", "--at", "540,960")
        text = to_text(stack, height, width, name=name, at=place)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if png is not None:
        from sr_datasets.report.overlaps import draw_overlaps

        draw_overlaps(stack, png)
    typer.echo(json.dumps(to_json(stack, height, width, at=place), indent=1) if as_json else text)


def _find(
    model: str, scale: int | None, channels: int | None, options: dict[str, int | str]
) -> "tuple[str, Stack]":
    """Return the name and the layers of what ``model`` is: a file, layers, or a preset.

    Raises:
        ValueError: It is none of them, or the options do not belong to it.
        ModelError: The file is damaged or foreign.
    """
    from sr_datasets.arithmetic import espcn_stack, parse_stack

    path = Path(model)
    if not model.strip():
        raise ValueError(
            "nothing is named: say a preset (espcn), a model file, the folder of a run, or layers"
        )
    # A folder that is called as a preset is, and holds no model, is not what `espcn --scale 3` means.
    if path.is_file() or (path.is_dir() and (scale is None or (path / "model.safetensors").exists())):
        from sr_datasets.espcn.checkpoint import MODEL_NAME, read_header

        _refuse(options, channels, "a file says them itself")
        config = read_header(path / MODEL_NAME if path.is_dir() else path).model
    elif ":" in model or " " in model or re.search(r"[a-z]\d+$", model):
        _refuse(options, None, "the layers say them themselves")
        return "", parse_stack(model, channels=channels or 1)
    else:
        if scale is None:
            raise ValueError(
                f"'{model}' is no file and no run; layers are written like 'conv3:64 relu', and a preset "
                "needs a scale, such as --scale 3"
            )
        _refuse({}, channels, "a preset's are --colors and --frames")
        if model == "espcn" and not options:  # the arithmetic alone needs no torch
            return f"espcn x{scale}", espcn_stack(scale)
        from sr_datasets.espcn.config import preset

        config = preset(model, scale=scale, model=dict(options)).model
    stack = espcn_stack(
        config.scale,
        body=config.body,
        colors=config.colors,
        frames=config.frames,
        upsampling=config.upsampling,
        activation=config.activation,
    )
    return f"{path.name} x{config.scale}", stack


def _refuse(options: dict[str, int | str], channels: int | None, why: str) -> None:
    given = [f"--{name}" for name in options] + (["--channels"] if channels is not None else [])
    if given:
        raise ValueError(f"{', '.join(given)} cannot be chosen here: {why}")


def _pair(text: str, between: str, option: str, example: str) -> tuple[int, int]:
    match = re.fullmatch(rf"(\d{{1,6}}){between}(\d{{1,6}})", text)
    if match is None:
        raise ValueError(f"{option} is '{text}', it must be like {example}")
    return int(match[1]), int(match[2])


def _default_size(stack: "Stack") -> tuple[int, int]:
    """Return the LR size of a 1080x1920 output where the stack's enlargement divides that, else 128x128."""
    ratio = stack.magnification
    if ratio.denominator == 1 and all(side % ratio.numerator == 0 for side in _FULL_HD):
        return _FULL_HD[0] // ratio.numerator, _FULL_HD[1] // ratio.numerator
    return 128, 128
