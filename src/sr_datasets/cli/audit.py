"""The command ``audit``."""

from pathlib import Path
from typing import Annotated

import typer

from sr_datasets.cli.app import JsonOption, ManifestOption, StoreOption, app


@app.command("audit")
def audit_command(
    path: Annotated[Path, typer.Argument(help="Folder of a shard set.")],
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="NAMES",
            help="Test sets, with commas between them: shipped ones, sources whose clips are in the data folder, folders "
            "of pictures or videos. Left out: every shipped one. 'splits': nothing but the splits.",
        ),
    ] = None,
    rows: Annotated[
        int, typer.Option("--rows", min=0, help="Rows to show of each pair of clips; 0 for all.")
    ] = 3,
    workers: Annotated[int, typer.Option(min=1, help="Processes; they change no result.")] = 1,
    manifest: ManifestOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find rows whose picture also stands in another split, or in a test set.

    Patches are found through rescaling (by 0.5 to 2), cropping, mirroring,
    re-encoding and changes of brightness, contrast, gamma and bit depth.
    Exit code 1 when there are such rows, 0 when there are none.

    \b
    Examples:
      sr-data audit shards/
      sr-data audit shards/ --against vid4,set5 --workers 2
      sr-data audit shards/ --against reds,~/Set14 --json
    """
    import json

    from sr_datasets.audit import audit_set
    from sr_datasets.cli.console import progress_on_stderr
    from sr_datasets.store import Store

    names = None
    if against is not None:
        names = [name.strip() for name in against.split(",") if name.strip()]
        names = [] if names == ["splits"] else [str(Path(name).expanduser()) for name in names]
        if not names and against.strip() != "splits":
            raise typer.BadParameter("name a test set, or 'splits'", param_hint="--against")
    with progress_on_stderr() as progress:
        report = audit_set(path, against=names, store=Store(store), workers=workers, progress=progress)
    typer.echo(json.dumps(report.to_json(), indent=1) if as_json else report.to_text(most=rows or None))
    if report.findings:
        raise typer.Exit(1)
