"""``sr-data quickstart``: the whole way on the generated source."""

from pathlib import Path
from typing import Annotated

import typer

from sr_datasets.cli.app import app


@app.command("quickstart")
def quickstart_command(
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for everything that it makes.")] = Path(
        "quickstart"
    ),
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes that build pairs.")] = 2,
) -> None:
    """Run the main job offline: generate clips, build pairs, inspect, train, evaluate on unseen clips.

    \b
    Examples:
      sr-data quickstart
      sr-data quickstart --out first/ --workers 4
    """
    from sr_datasets.cli.console import progress_on_stderr
    from sr_datasets.cli.hints import as_typed
    from sr_datasets.quickstart import run_quickstart

    with progress_on_stderr() as progress:
        report = run_quickstart(out_dir, workers=workers, progress=progress)
    typer.echo(as_typed(report.to_text()))
