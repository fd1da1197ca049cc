"""The command that makes shard sets: ``build-pairs``."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sr_datasets.cli.app import JsonOption, ManifestOption, StoreOption, app, complete_recipe

if TYPE_CHECKING:
    from sr_datasets.build import BuildReport, Part, PartReport
    from sr_datasets.engine import Workers


class OnError(StrEnum):
    """What a clip that cannot be read does."""

    fail = "fail"
    skip = "skip"


class EngineName(StrEnum):
    """Where shards are made."""

    local = "local"
    ray = "ray"


@app.command("build-pairs")
def build_pairs_command(
    recipe: Annotated[
        str,
        typer.Argument(help="A recipe: its name, or a YAML file.", autocompletion=complete_recipe),
    ],
    out: Annotated[
        str,
        typer.Option("--out", metavar="DIR", help="Folder for the shards, or an address: s3://bucket/set."),
    ],
    workers: Annotated[int, typer.Option(min=1, help="Processes; any number writes the same bytes.")] = 1,
    part: Annotated[
        str | None,
        typer.Option(
            "--part",
            metavar="I/N",
            help="Make the I-th of N parts, for a batch scheduler; the last one to end finishes the set.",
        ),
    ] = None,
    engine: Annotated[
        EngineName,
        typer.Option("--engine", help="Processes of this machine, or a Ray cluster that is running."),
    ] = EngineName.local,
    ray_address: Annotated[
        str | None,
        typer.Option(
            "--ray-address",
            metavar="HOST:PORT",
            help="The cluster of --engine ray; by default as Ray finds one.",
        ),
    ] = None,
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
    clip_seconds: Annotated[
        float | None,
        typer.Option(
            "--clip-seconds",
            min=0.1,
            metavar="N",
            help="A clip that takes longer, or ends its decoder's process, counts as one that cannot be read.",
        ),
    ] = None,
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
      sr-data build-pairs open-30 --out /shared/open --part 3/16
      sr-data build-pairs open-30 --out /shared/open --engine ray
      sr-data build-pairs open-30 --out s3://bucket/open --workers 8
    """
    import json

    from sr_datasets.build import build_pairs, build_part, estimate_build
    from sr_datasets.built import RECIPES_NAME, read_recipe_lock
    from sr_datasets.catalog import find_recipe
    from sr_datasets.cli.console import progress_on_stderr
    from sr_datasets.remotes import check_place, is_address
    from sr_datasets.store import Store

    check_place(out)
    ours, who = _part(part), _workers(workers, engine, ray_address)
    home, chosen = Store(store), find_recipe(recipe)
    path = lock_file or (home.root / RECIPES_NAME if locked else None)
    lock = read_recipe_lock(path, chosen.id) if path is not None else None
    if dry_run:
        from sr_datasets.files import human_bytes

        with progress_on_stderr() as progress:
            guess = estimate_build(chosen, store=home, workers=workers, lock=lock, progress=progress)
        if as_json:
            typer.echo(json.dumps(guess.to_json(), indent=1))
            return
        splits = ", ".join(f"{count} {split}" for split, count in guess.pairs.items())
        typer.echo(f"{sum(guess.pairs.values())} pairs ({splits}), {guess.num_rows} rows")
        typer.echo(f"{guess.num_shards} shards, about {human_bytes(guess.size_bytes)}")
        typer.echo(
            f"about {guess.seconds:.0f} s with {_many(workers, 'worker')}: a guess from {_many(guess.num_tried, 'clip')} that "
            f"{'was' if guess.num_tried == 1 else 'were'} tried"
        )
        return
    place = out if is_address(out) else Path(out)
    with progress_on_stderr() as progress:
        if ours is None:
            report = build_pairs(
                chosen,
                out_dir=place,
                store=home,
                workers=who,
                lock=lock,
                on_error=on_error.value,
                clip_seconds=clip_seconds,
                strict_color=strict_color,
                progress=progress,
            )
        else:
            made = build_part(
                chosen,
                part=ours,
                out_dir=place,
                store=home,
                workers=who,
                lock=lock,
                on_error=on_error.value,
                clip_seconds=clip_seconds,
                strict_color=strict_color,
                progress=progress,
            )
    if ours is not None:
        _show_part(made, as_json=as_json)
        return
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=1))
        return
    _show(report, None if lock is None else path)


def _part(text: str | None) -> "Part | None":
    from sr_datasets.build import Part

    try:
        return None if text is None else Part.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--part") from error


def _workers(workers: int, engine: EngineName, address: str | None) -> "Workers":
    from sr_datasets.engine import RayCluster

    if engine is EngineName.local:
        if address is not None:
            raise typer.BadParameter("goes with --engine ray", param_hint="--ray-address")
        return workers
    if workers != 1:
        raise typer.BadParameter(
            "is for this machine; a Ray cluster takes as many tasks as it has CPUs", param_hint="--workers"
        )
    return RayCluster() if address is None else RayCluster(address)


def _show_part(made: "PartReport", *, as_json: bool) -> None:
    """Say what a job made, and whether the set is finished."""
    import json

    if as_json:
        typer.echo(json.dumps(made.to_json(), indent=1))
        return
    reused = f", {made.num_reused} of them from an earlier run" if made.num_reused else ""
    typer.echo(f"part {made.part}: {_many(made.num_shards, 'shard')}{reused}, {_many(made.num_rows, 'row')}")
    if made.built is not None:
        typer.echo("the set is finished:")
        _show(made.built, None)
        return
    for clip in made.failed:
        typer.echo(f"left out, cannot be read: {clip.source}/{clip.clip}")
    listed = ", ".join(map(str, made.missing[:20])) + (" ..." if len(made.missing) > 20 else "")
    typer.echo(
        f"not finished: {_many(len(made.missing), 'part')} of {made.part.count} ({listed}). The last one to end finishes the "
        "set; so does the same command without --part."
    )


def _show(report: "BuildReport", lock_path: Path | None) -> None:
    from sr_datasets.files import human_bytes

    for clip in report.skipped[:10]:
        typer.echo(f"left out: {clip.source}/{clip.clip} {clip.reason}")
    if len(report.skipped) > 10:
        typer.echo(
            f"left out: {len(report.skipped) - 10} more, all named in {str(report.out_dir).rstrip('/')}/sr-data.json"
        )
    for clip in report.failed:
        typer.echo(f"left out, cannot be read: {clip.source}/{clip.clip}")
    num_pairs = sum(report.pairs.values())
    if lock_path is not None:
        typer.echo(f"the {_many(num_pairs, 'clip')} of {lock_path}")
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
