"""The command ``forget``."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from sr_datasets.cli.app import JsonOption, ManifestOption, StoreOption, app


@app.command("forget")
def forget_command(
    selection: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SELECTION|ID...]",
            help="cdvl, cdvl/clip, 'cdvl/*part*', or an id alone, also YouTube's of a video. Left out: what an "
            "interrupted call was at.",
        ),
    ] = None,
    sets: Annotated[
        list[Path] | None,
        typer.Option(
            "--set", metavar="DIR", help="Look through this shard set too: a copy, or one that was moved."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be deleted, and stop.")] = False,
    manifest: ManifestOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete clips and everything that was built of them here.

    Files and records go from the store, rows from every shard set that was built from it on this machine (shards that
    hold other clips are rewritten, index and description too), lines from recipes.lock. Terms may ask for it: those of the
    CDVL do. Ids that begin with a dash stand behind --.

    \b
    Examples:
      sr-data forget cdvl --dry-run
      sr-data forget cdvl/ntia_bpit1-525 --set /mnt/copy/shards
    """
    import json

    from sr_datasets.cli.console import progress_on_stderr
    from sr_datasets.cli.hints import as_typed
    from sr_datasets.errors import StoreError
    from sr_datasets.forget import JOURNAL_NAME, forget, plan_forget
    from sr_datasets.store import Store

    home = Store(store)
    if not selection and not (home.root / JOURNAL_NAME).is_file():
        raise typer.BadParameter("name what to forget: a source, clips or an id", param_hint="SELECTION")
    if dry_run or not yes:
        plan = plan_forget(home, selection or (), sets=sets or ())
        if dry_run and as_json:
            typer.echo(json.dumps(plan.to_json(), indent=1))
        else:
            typer.echo(as_typed(plan.to_text(done=False)), err=not dry_run)
        if dry_run:
            return
        if not _has_terminal():
            raise typer.BadParameter("there is no terminal to ask on: add --yes", param_hint="--yes")
        typer.confirm("Delete all of this?", abort=True, err=True)
    with progress_on_stderr() as progress:
        report = forget(home, selection or (), sets=sets or (), progress=progress)
    typer.echo(json.dumps(report.to_json(), indent=1) if as_json else as_typed(report.to_text(done=True)))
    if report.problems:
        raise StoreError(
            "not everything could be deleted:\n"
            + "\n".join(f"  {problem}" for problem in report.problems)
            + "\nPut that right, then run `sr-data forget` again: it goes on with what is left."
        )
    if report.came:
        raise StoreError(
            f"{', '.join(report.came[:6])}{', ...' if len(report.came) > 6 else ''}: came while this was at work, and is "
            "there. End the fetch or import that brings it, then run the same command again."
        )


def _has_terminal() -> bool:
    return sys.stdin.isatty()
