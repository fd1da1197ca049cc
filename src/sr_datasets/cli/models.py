"""Commands of the reference model: ``train``, ``evaluate``, and ``quickstart``, which runs the whole way."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from sr_datasets.cli.app import JsonOption, StoreOption, app


@app.command("train")
def train_command(
    shards: Annotated[Path, typer.Argument(help="Folder that `sr-data build-pairs` wrote.")],
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for the model.")],
    preset: Annotated[
        str | None,
        typer.Option("--preset", help="espcn (as published) or residual (the default).", show_default=False),
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Updates of the weights.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", min=1, help="Patch pairs a step.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", help="Adam's step at the start.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Of weights, order and augmentation.")
    ] = None,
    device: Annotated[str | None, typer.Option("--device", help="auto, cpu or cuda.")] = None,
    checkpoint_every: Annotated[
        int | None,
        typer.Option("--checkpoint-every", min=1, help="Steps between checkpoints; 500 if left out."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in the folder, under the options it has.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train ESPCN on a shard set.

    \b
    Examples:
      sr-data train t91/ --out model/ --preset espcn
      sr-data train t91/ --out model/ --resume
    """
    import json

    from sr_datasets.cli.console import progress_on_stderr
    from sr_datasets.espcn.config import preset as preset_of
    from sr_datasets.espcn.data import scale_of
    from sr_datasets.espcn.train import resumed_config, train

    options = {
        "steps": steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "seed": seed,
        "device": device,
        "checkpoint_every": checkpoint_every,
    }
    chosen: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    scale = scale_of(shards)
    try:
        if resume:
            config = resumed_config(out_dir, **chosen, **({} if preset is None else {"preset": preset}))
        else:
            config = preset_of(preset or "residual", scale=scale, **chosen)
    except ValueError as error:
        # The library's names of options, as the command line writes them.
        text = re.sub(rf"\b({'|'.join(options)}) is ", lambda found: f"{_option(found[1])} is ", str(error))
        raise typer.BadParameter(text) from error
    with progress_on_stderr() as progress:
        report = train(config, shards, out_dir=out_dir, resume=resume, progress=progress)
    typer.echo(json.dumps(report.to_json(), indent=1) if as_json else report.to_text())


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


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


@app.command("quickstart")
def quickstart_command(
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for everything that it makes.")] = Path(
        "quickstart"
    ),
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes that build pairs.")] = 2,
) -> None:
    """Run the main job offline: generate clips, build pairs, inspect, train, evaluate on unseen clips."""
    from sr_datasets.cli.console import progress_on_stderr
    from sr_datasets.quickstart import run_quickstart

    with progress_on_stderr() as progress:
        report = run_quickstart(out_dir, workers=workers, progress=progress)
    typer.echo(report.to_text())
