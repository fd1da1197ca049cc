"""Commands of the store: ``fetch``, ``import``, ``verify``."""

import re
from pathlib import Path
from typing import Annotated

import typer

from sr_datasets.cli.app import ManifestOption, StoreOption, WhereOption, app

SelectionArgument = Annotated[
    list[str],
    typer.Argument(metavar="SELECTION...", help="xiph, xiph/akiyo_cif, 'xiph/*1080p*' or xiph:hd."),
]


@app.command("fetch")
def fetch_command(
    selection: SelectionArgument,
    where: WhereOption = None,
    manifest: ManifestOption = None,
    store: StoreOption = None,
    force: Annotated[bool, typer.Option("--force", help="Fetch again what is here already.")] = False,
) -> None:
    """Bring clips in, check them, and record them in the store.

    \b
    Examples:
      sr-data fetch demo
      sr-data fetch xiph/akiyo_cif vid4
    """
    from sr_datasets import catalog
    from sr_datasets.cli.console import progress_on_stderr
    from sr_datasets.errors import FetchError, SelectionError
    from sr_datasets.ingest import explain_manual, fetch_clips
    from sr_datasets.store import Store

    for pattern in selection:
        source = catalog.find_source(re.split("[/:]", pattern, maxsplit=1)[0])
        if source.access == "manual" and not source.clips:
            raise FetchError(explain_manual(source))
    with progress_on_stderr() as progress:
        home = Store(store)
        found = catalog.find_clips(selection, where=where or (), store=home)
        if not found.clips:
            raise SelectionError(
                f"no clip fits these conditions; of {len(found.undecided)} a fact that was asked for is not known"
            )
        report = fetch_clips(found.clips, home, progress=progress, force=force)
    typer.echo(report)


@app.command("import")
def import_command(
    source: Annotated[str, typer.Argument(help="The source that the files belong to.")],
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files, or folders that hold them.")],
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="Accept clips with fewer frames than published.")
    ] = False,
    move: Annotated[
        bool, typer.Option("--move", help="Move the files into the store instead of copying.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace clips that are here with other bytes.")
    ] = False,
    manifest: ManifestOption = None,
    store: StoreOption = None,
) -> None:
    """Register files that you already have, checked against the source's manifest.

    \b
    Examples:
      sr-data import t91 ~/T91
      sr-data import cdvl ~/cdvl/*.avi
    """
    from sr_datasets import catalog
    from sr_datasets.cli.console import progress_on_stderr
    from sr_datasets.ingest import import_files
    from sr_datasets.store import Store

    with progress_on_stderr() as progress:
        report = import_files(
            catalog.find_source(source),
            paths,
            Store(store),
            progress=progress,
            copy=not move,
            allow_partial=allow_partial,
            force=force,
        )
    typer.echo(report)


@app.command("verify")
def verify_command(
    selection: Annotated[
        list[str] | None, typer.Argument(metavar="[SELECTION...]", help="Clips to check; all when left out.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Hash every file, instead of size and time only.")
    ] = False,
    store: StoreOption = None,
) -> None:
    """Check that the files of the store are what they were when they were brought in."""
    from sr_datasets.cli.console import progress_on_stderr
    from sr_datasets.errors import StoreError
    from sr_datasets.ingest import verify_store
    from sr_datasets.store import Store

    with progress_on_stderr() as progress:
        problems = verify_store(Store(store), selection or (), full=full, progress=progress)
    if problems:
        raise StoreError(f"{len(problems)} problems:\n" + "\n".join(f"  {problem}" for problem in problems))
    typer.echo("everything is what it was" + ("" if full else " by size and time; hash it with --full"))
