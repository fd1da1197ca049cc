"""Commands of the reference model: ``train``, ``evaluate``, and ``quickstart``, which runs the whole way."""

from pathlib import Path
from typing import Annotated

import typer

from sr_datasets.cli.app import JsonOption, StoreOption, app


@app.command("train")
def train_command(
    shards: Annotated[Path, typer.Argument(help="Folder that `sr-data build-pairs` wrote.")],
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for the model.")],
    preset: Annotated[str, typer.Option("--preset", help="espcn (as published) or residual.")] = "residual",
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Updates of the weights.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", min=1, help="Patch pairs a step.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", help="Adam's step at the start.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Of weights, order and augmentation.")
    ] = None,
    device: Annotated[str | None, typer.Option("--device", help="auto, cpu or cuda.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Train ESPCN on a shard set.

    \b
    Examples:
      sr-data train t91/ --out model/ --preset espcn
      sr-data train t91/ --out model/ --preset espcn --resume
    """
    import json

    from sr_datasets.cli.console import progress_on_stderr
    from sr_datasets.espcn.config import preset as preset_of
    from sr_datasets.espcn.train import train
    from sr_datasets.shards.sets import read_set

    chosen = {
        "steps": steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "seed": seed,
        "device": device,
    }
    scale = read_set(shards).recipe["scale"]
    try:
        config = preset_of(
            preset, scale=scale, **{name: value for name, value in chosen.items() if value is not None}
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    with progress_on_stderr() as progress:
        report = train(config, shards, out_dir=out_dir, resume=resume, progress=progress)
    typer.echo(json.dumps(report.to_json(), indent=1) if as_json else report.to_text())


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
        int | None, typer.Option("--scale", help="HR-to-LR ratio; a model knows its own.")
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
    from sr_datasets.espcn.evaluate import evaluate
    from sr_datasets.metrics import find_protocol
    from sr_datasets.store import Store

    try:
        convention = find_protocol(protocol)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--protocol") from error
    if model == "bicubic" and scale is None:
        raise typer.BadParameter("bicubic needs a scale: 2, 3, 4 or 8", param_hint="--scale")
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
