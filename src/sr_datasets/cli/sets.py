"""The command that makes shard sets: ``build-pairs``."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sr_datasets.cli.app import JsonOption, ManifestOption, StoreOption, app


class OnError(StrEnum):
    """What a clip that cannot be read does."""

    fail = "fail"
    skip = "skip"


@app.command("build-pairs")
def build_pairs_command(
    recipe: Annotated[str, typer.Argument(help="A recipe: its name, or a YAML file.")],
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for the shards.")],
    workers: Annotated[int, typer.Option(min=1, help="Processes; any number writes the same bytes.")] = 1,
    locked: Annotated[
        bool, typer.Option("--locked", help="Take exactly the clips of the last build of the recipe.")
    ] = False,
    lock_file: Annotated[
        Path | None,
        typer.Option(
            "--lock",
            metavar="FILE",
            help="Take exactly the clips of this recipes.lock, such as a shared one.",
        ),
    ] = None,
    on_error: Annotated[
        OnError, typer.Option("--on-error", help="A clip that cannot be read ends the build, or is left out.")
    ] = OnError.fail,
    strict_color: Annotated[
        bool, typer.Option("--strict-color", help="Refuse clips whose matrix, range or such is guessed.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say rows, bytes, shards and a guess of the time; write nothing."),
    ] = False,
    as_json: JsonOption = False,
    manifest: ManifestOption = None,
    store: StoreOption = None,
) -> None:
    """Degrade the fetched clips of a recipe and write its shards.

    Which clips it took, with their SHA-256 and splits, is written to recipes.lock in the data folder; what the run did,
    with seconds by stage and every clip that was left out, to build-report.json in the set's folder.

    \b
    Examples:
      sr-data build-pairs demo --out shards/
      sr-data build-pairs cdvl-30 --out cdvl/ --workers 2 --on-error skip
      sr-data build-pairs cdvl-30 --out again/ --lock recipes.lock
      sr-data build-pairs open-30 --out open/ --dry-run
    """
    import json

    from sr_datasets.build import build_pairs, estimate_build
    from sr_datasets.built import RECIPES_NAME, read_recipe_lock
    from sr_datasets.catalog import find_recipe
    from sr_datasets.cli.console import progress_on_stderr
    from sr_datasets.files import human_bytes
    from sr_datasets.store import Store

    home, chosen = Store(store), find_recipe(recipe)
    path = lock_file or (home.root / RECIPES_NAME if locked else None)
    lock = read_recipe_lock(path, chosen.id) if path is not None else None
    if dry_run:
        with progress_on_stderr() as progress:
            guess = estimate_build(chosen, store=home, workers=workers, lock=lock, progress=progress)
        if as_json:
            typer.echo(json.dumps(guess.to_json(), indent=1))
            return
        splits = ", ".join(f"{count} {split}" for split, count in guess.pairs.items())
        typer.echo(f"{sum(guess.pairs.values())} pairs ({splits}), {guess.num_rows} rows")
        typer.echo(f"{guess.num_shards} shards, about {human_bytes(guess.size_bytes)}")
        typer.echo(
            f"about {guess.seconds:.0f} s with {workers} workers: a guess from {guess.num_tried} clips that were tried"
        )
        return
    with progress_on_stderr() as progress:
        report = build_pairs(
            chosen,
            out_dir=out_dir,
            store=home,
            workers=workers,
            lock=lock,
            on_error=on_error.value,
            strict_color=strict_color,
            progress=progress,
        )
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=1))
        return
    for clip in report.skipped[:10]:
        typer.echo(f"left out: {clip.source}/{clip.clip} {clip.reason}")
    if len(report.skipped) > 10:
        typer.echo(f"left out: {len(report.skipped) - 10} more, all named in {out_dir / 'sr-data.json'}")
    for clip in report.failed:
        typer.echo(f"left out, cannot be read: {clip.source}/{clip.clip}")
    num_pairs = sum(report.pairs.values())
    if lock is not None:
        typer.echo(f"the {_many(num_pairs, 'clip')} of {path}")
    asked = f" of the {report.asked} that the recipe asks for" if report.asked is not None else ""
    splits = ", ".join(f"{count} {split}" for split, count in report.pairs.items())
    reused = f", {report.num_reused} of them from an earlier run" if report.num_reused else ""
    typer.echo(f"{_many(num_pairs, 'pair')}{asked} ({splits}), {_many(report.num_rows, 'row')}")
    typer.echo(
        f"{_many(report.num_shards, 'shard')}{reused}, {human_bytes(report.size_bytes)} in {report.out_dir}"
    )
    typer.echo(f"content digest {report.content_digest}")


def _many(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"
