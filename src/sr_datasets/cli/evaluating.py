"""Commands that use a network: ``evaluate`` and ``upscale``, and what ``export`` does with one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar, get_args

import typer

from sr_datasets.cli.app import JsonOption, StoreOption, app

if TYPE_CHECKING:
    from sr_datasets.espcn.export import ExportReport

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "fp32", "fp16", "bf16"]
_MODEL_HELP = (
    "A model file, the folder of a run, or weights of the package (deep-x2 to -x4, espcn-x2 to -x4)."
)


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
        int | None, typer.Option("--threads", min=1, max=256, help="CPU threads; all cores if left out.")
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
    from sr_datasets.espcn.checkpoint import refuse_pickled
    from sr_datasets.espcn.media import upscale_file
    from sr_datasets.espcn.pretrained import open_model, pretrained_name
    from sr_datasets.espcn.upscale import Upscaler

    refuse_pickled(source)
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
    items: Annotated[
        list[str],
        typer.Argument(
            metavar="[MODEL|bicubic] ITEM...",
            help="What is scored, if it is not --model: then pictures, folders of them, videos; or selections: set5, "
            "vid4/calendar, xiph:espcn-8.",
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option("--model", help=f"{_MODEL_HELP} Default: those for --scale.", show_default=False),
    ] = None,
    scale: Annotated[
        int | None, typer.Option("--scale", help="HR-to-LR ratio: 2, 3, 4 or 8; a model knows its own.")
    ] = None,
    protocol: Annotated[str, typer.Option("--protocol", help="y-double, y-8bit, vid4 or rgb.")] = "y-double",
    border: Annotated[
        int | None,
        typer.Option("--border", min=0, help="HR pixels left out on each side, if not the protocol's."),
    ] = None,
    skip_ends: Annotated[
        int | None, typer.Option("--skip-ends", min=0, help="Frames left out at each end of a clip.")
    ] = None,
    ssim: Annotated[
        str | None, typer.Option("--ssim", help="gaussian11, or uniform7 as VESPCN's tables seem to have.")
    ] = None,
    frame_step: Annotated[
        int, typer.Option("--frame-step", min=1, help="Score every n-th frame of clips.")
    ] = 1,
    published: Annotated[
        bool,
        typer.Option("--published", help="Print the figures of others beside ours, each with its source."),
    ] = False,
    vmaf: Annotated[bool, typer.Option("--vmaf", help="Also VMAF, by an ffmpeg with libvmaf.")] = False,
    lpips: Annotated[
        bool, typer.Option("--lpips", help="Also LPIPS, by its package; needs --protocol rgb.")
    ] = False,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score a model, or bicubic, by PSNR and SSIM under a named protocol.

    \b
    Examples:
      sr-data evaluate bicubic set5 --scale 3
      sr-data evaluate set5 --scale 3 --published
      sr-data evaluate model/ set5 vid4/calendar --protocol y-double
    """
    import json
    from dataclasses import replace

    from sr_datasets.cli.console import progress_on_stderr
    from sr_datasets.espcn.checkpoint import refuse_pickled
    from sr_datasets.espcn.evaluate import BICUBIC, SCALES, evaluate
    from sr_datasets.espcn.pretrained import is_model, pretrained_name
    from sr_datasets.metrics import SsimWindow, find_protocol
    from sr_datasets.store import Store

    for item in items:
        refuse_pickled(item)
    try:
        convention = find_protocol(protocol)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--protocol") from error
    windows: tuple[SsimWindow, ...] = get_args(SsimWindow)
    own = replace(
        convention,
        border=convention.border if border is None else border,
        skip_ends=convention.skip_ends if skip_ends is None else skip_ends,
        ssim_window=convention.ssim_window if ssim is None else _one_of(ssim, windows, "--ssim"),
    )
    if own != convention:
        convention = replace(own, name=f"{convention.name}, changed")
    if scale is not None and scale not in SCALES:
        raise typer.BadParameter(f"{scale} is not 2, 3, 4 or 8", param_hint="--scale")
    method, what = model, items
    if method is None and (items[0] == BICUBIC or is_model(items[0])):
        method, what = items[0], items[1:]
    if not what:
        raise typer.BadParameter(
            "name what is to be scored: pictures, folders, videos, or selections such as set5"
        )
    if scale is None and method in (None, BICUBIC):
        who = (
            "bicubic needs a scale"
            if method
            else "without a model, --scale says which weights of the package"
        )
        raise typer.BadParameter(f"{who}: 2, 3, 4 or 8", param_hint="--scale")
    if method is None:
        method = pretrained_name(scale or 0)
    devices: tuple[Device, ...] = get_args(Device)
    extras: list[Literal["vmaf", "lpips"]] = ["vmaf"] if vmaf else []
    if lpips:
        extras.append("lpips")
    with progress_on_stderr() as progress:
        report = evaluate(
            method,
            what,
            protocol=convention,
            scale=scale,
            store=Store(store),
            frame_step=frame_step,
            device=_one_of(device, devices, "--device"),
            extras=extras,
            progress=progress,
        )
    text = report.to_text() + (f"\n\n{report.beside_published()}" if published else "")
    typer.echo(json.dumps(report.to_json(), indent=1) if as_json else text)


def export_model(model: str, out: Path) -> "ExportReport":
    """Write a network as the file that ``out`` names: the part of ``sr-data export`` that is about models."""
    from sr_datasets.espcn.checkpoint import MODEL_NAME
    from sr_datasets.espcn.export import export
    from sr_datasets.espcn.pretrained import open_model
    from sr_datasets.espcn.watch import METRICS_NAME

    path = Path(model)
    if (path / "sr-data.json").is_file() and not (path / MODEL_NAME).exists():
        raise typer.BadParameter(f"{model} is a set, no model: a set is written with --to and --out FOLDER")
    taken = path / MODEL_NAME if path.is_dir() else path
    if taken.exists() and out.exists() and out.samefile(taken):
        raise typer.BadParameter(f"{out} is the model itself, which would be overwritten: name another file")
    if out.exists() and (out.parent / METRICS_NAME).exists():
        raise typer.BadParameter(
            f"{out} is a file of a training run, which would be overwritten: name another file"
        )
    _, network, header = open_model(model)
    return export(network, header, out)
