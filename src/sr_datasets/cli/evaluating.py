"""Commands that use a network: ``evaluate``, ``upscale``, ``export``."""

from typing import Annotated, Literal, TypeVar, get_args

import typer

from sr_datasets.cli.app import JsonOption, StoreOption, app

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "fp32", "fp16", "bf16"]
_MODEL_HELP = "A model file, the folder of a run, or weights of the package (espcn-x2, espcn-x3, espcn-x4)."


@app.command("upscale")
def upscale_command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="IN", help="A picture, a folder of them, a video; - for y4m on standard input."
        ),
    ],
    out: Annotated[
        str,
        typer.Argument(
            metavar="OUT", help=".png, a folder, .mkv, .mp4, .mov, .y4m; - for y4m on standard output."
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option("--model", help=f"{_MODEL_HELP} Default: those for --scale.", show_default=False),
    ] = None,
    scale: Annotated[
        int | None, typer.Option("--scale", help="2, 3 or 4: which weights of the package; 3 if left out.")
    ] = None,
    codec: Annotated[
        str | None,
        typer.Option("--codec", help="ffv1 (without loss; the default in .mkv) or h264 (in .mp4 and .mov)."),
    ] = None,
    crf: Annotated[
        float | None,
        typer.Option("--crf", min=0, max=51, help="Quality of h264, less is better; 16 if left out."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="CPU threads; all cores if left out.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[
        str, typer.Option("--precision", help="auto, fp32, fp16 or bf16; auto is fp32 on CPUs, fp16 on GPUs.")
    ] = "auto",
    as_json: JsonOption = False,
) -> None:
    """Upscale a picture or a video: luma by a network, chroma by bicubic.

    \b
    Examples:
      sr-data upscale small.png large.png
      sr-data upscale clip.mp4 clip-x2.mkv --scale 2
      ffmpeg -i IN -f yuv4mpegpipe - | sr-data upscale - - | ffmpeg -i - OUT
    """
    import json

    from sr_datasets.cli.console import progress_on_stderr
    from sr_datasets.espcn.media import upscale_file
    from sr_datasets.espcn.pretrained import open_model, pretrained_name
    from sr_datasets.espcn.upscale import Upscaler

    devices: tuple[Device, ...] = get_args(Device)
    precisions: tuple[Precision, ...] = get_args(Precision)
    chosen_device = _one_of(device, devices, "--device")
    chosen_precision = _one_of(precision, precisions, "--precision")
    name, network, _ = open_model(model or pretrained_name(scale or 3))
    if scale is not None and scale != network.config.scale:
        raise typer.BadParameter(f"{name} is for x{network.config.scale}, not x{scale}", param_hint="--scale")
    with progress_on_stderr() as progress:
        upscaler = Upscaler(network, device=chosen_device, threads=threads, precision=chosen_precision)
        try:
            with upscaler:
                report = upscale_file(source, out, upscaler, codec=codec, crf=crf, progress=progress)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
    # Standard output may hold the video.
    typer.echo(json.dumps(report.to_json(), indent=1) if as_json else report.to_text(), err=out == "-")


_Word = TypeVar("_Word", bound=str)


def _one_of(text: str, known: tuple[_Word, ...], option: str) -> _Word:
    for word in known:
        if text == word:
            return word
    raise typer.BadParameter(f"{text} is not one of {', '.join(known)}", param_hint=option)


@app.command("evaluate")
def evaluate_command(
    model: Annotated[str, typer.Argument(help="A model file, the folder of a run, or bicubic.")],
    items: Annotated[
        list[str],
        typer.Argument(
            metavar="ITEM...", help="Pictures, folders of them, videos; or selections: set5, vid4/calendar."
        ),
    ],
    scale: Annotated[
        int | None, typer.Option("--scale", help="HR-to-LR ratio: 2, 3, 4 or 8; a model knows its own.")
    ] = None,
    protocol: Annotated[str, typer.Option("--protocol", help="y-double, y-8bit, vid4 or rgb.")] = "y-double",
    frame_step: Annotated[
        int, typer.Option("--frame-step", min=1, help="Score every n-th frame of clips.")
    ] = 1,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score a model, or bicubic, by PSNR and SSIM under a named protocol.

    \b
    Examples:
      sr-data evaluate bicubic set5 --scale 3
      sr-data evaluate model/ set5 vid4/calendar --protocol y-double
    """
    import json

    from sr_datasets.cli.console import progress_on_stderr
    from sr_datasets.espcn.evaluate import SCALES, evaluate
    from sr_datasets.metrics import find_protocol
    from sr_datasets.store import Store

    try:
        convention = find_protocol(protocol)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--protocol") from error
    if model == "bicubic" and scale is None:
        raise typer.BadParameter("bicubic needs a scale: 2, 3, 4 or 8", param_hint="--scale")
    if scale is not None and scale not in SCALES:
        raise typer.BadParameter(f"{scale} is not 2, 3, 4 or 8", param_hint="--scale")
    with progress_on_stderr() as progress:
        report = evaluate(
            model,
            items,
            protocol=convention,
            scale=scale,
            store=Store(store),
            frame_step=frame_step,
            progress=progress,
        )
    typer.echo(json.dumps(report.to_json(), indent=1) if as_json else report.to_text())
