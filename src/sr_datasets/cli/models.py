"""Commands of the reference model: ``evaluate``, and ``quickstart``, which runs the whole way."""

from pathlib import Path
from typing import Annotated

import typer

from sr_datasets.cli.app import JsonOption, StoreOption, app


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
