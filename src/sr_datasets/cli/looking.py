"""The command that looks at shard sets: ``inspect``."""

from pathlib import Path
from typing import Annotated

import typer

from sr_datasets.cli.app import JsonOption, ManifestOption, StoreOption, app


@app.command("inspect")
def inspect_command(
    path: Annotated[Path, typer.Argument(help="Folder of a shard set.")],
    row: Annotated[int | None, typer.Option("--row", help="Show one row, by its number in the set.")] = None,
    png: Annotated[
        Path | None, typer.Option("--png", help="With --row: write LR, bicubic and HR as a picture.")
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="With --row: count the rows of this split only.")
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Hash every shard, whatever its size.")] = False,
    rederive: Annotated[
        bool, typer.Option("--rederive", help="Make every LR again and compare it, bit for bit.")
    ] = False,
    as_json: JsonOption = False,
    manifest: ManifestOption = None,
    store: StoreOption = None,
) -> None:
    """Say what a shard set holds, and whether its files are whole.

    \b
    Examples:
      sr-data inspect shards/
      sr-data inspect shards/ --row 7 --png row7.png
      sr-data inspect shards/ --rederive
    """
    import json

    from sr_datasets.inspect import describe_row, inspect_set

    if png is not None and row is None:
        raise typer.BadParameter("--png shows one row: name it with --row", param_hint="--png")
    if rederive:
        _rederive(path, store, as_json=as_json)
        return
    if row is None:
        report = inspect_set(path, verify=verify)
        typer.echo(json.dumps(report.to_json(), indent=1) if as_json else report.to_text())
        return
    facts = describe_row(path, row, split=split)
    if png is not None:
        from sr_datasets.report import row_pictures, side_by_side

        side_by_side(row_pictures(path, row, split=split), png)
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
    else:
        width = max(len(name) for name in facts)
        typer.echo("\n".join(f"{name.ljust(width)}  {value}" for name, value in facts.items()))
        if png is not None:
            typer.echo(f"picture: {png}")


def _rederive(path: Path, home: Path | None, *, as_json: bool) -> None:
    import json

    from sr_datasets.build import rederive_set
    from sr_datasets.cli.console import progress_on_stderr
    from sr_datasets.store import Store

    with progress_on_stderr() as progress:
        report = rederive_set(path, store=Store(home), progress=progress)
    typer.echo(json.dumps(report.to_json(), indent=1) if as_json else report.to_text())
    if not report.ok:
        raise typer.Exit(1)
