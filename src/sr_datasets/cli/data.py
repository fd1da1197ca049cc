"""Commands of the store: ``fetch``, ``import``, ``verify``."""

import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sr_datasets.cli.app import (
    JsonOption,
    ManifestOption,
    StoreOption,
    WhereOption,
    app,
    complete_selection,
)
from sr_datasets.cli.youtube import (
    CookiesOption,
    HeightOption,
    LabelOption,
    LimitOption,
    PartOption,
    RecheckOption,
    SeedOption,
    SubstituteOption,
    YoutubeOptions,
    fetch_from_youtube,
)

if TYPE_CHECKING:
    from sr_datasets.ingest import FetchPlan
    from sr_datasets.manifest import Source
    from sr_datasets.store import Store

SelectionArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="SELECTION...",
        help="xiph, xiph/akiyo_cif, 'xiph/*1080p*' or xiph:hd.",
        autocompletion=complete_selection,
    ),
]


def _bytes_per_second(text: str) -> float:
    """Read ``800k`` or ``2.5M``; k, M and G are powers of 1000."""
    parts = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kKmMgG]?)", text.strip())
    rate = float(parts[1]) * 1000 ** " kmg".index(parts[2].lower() or " ") if parts else 0.0
    if rate <= 0:
        raise typer.BadParameter(f"'{text}' is no rate; write bytes a second, such as 800k or 2.5M")
    return rate


JobsOption = Annotated[
    int,
    typer.Option(
        "--jobs", min=1, metavar="N", help="Files at a time; of one host at most 4, of YouTube one."
    ),
]
RateOption = Annotated[
    float | None,
    typer.Option(
        "--limit-rate",
        metavar="RATE",
        parser=_bytes_per_second,
        help="Bytes a second, all files together: 800k, 2.5M.",
    ),
]
EventsOption = Annotated[
    bool,
    typer.Option("--json", help="Print events as JSON lines on standard output, instead of bars and text."),
]


@app.command("fetch")
def fetch_command(
    selection: SelectionArgument,
    where: WhereOption = None,
    manifest: ManifestOption = None,
    store: StoreOption = None,
    jobs: JobsOption = 4,
    limit_rate: RateOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would come: files, bytes, licences, free space.")
    ] = False,
    locked: Annotated[
        bool, typer.Option("--locked", help="Accept only what the store's sr-data.lock says.")
    ] = False,
    lock_file: Annotated[
        Path | None,
        typer.Option("--lock", metavar="FILE", help="Accept only what this sr-data.lock says."),
    ] = None,
    accept_terms: Annotated[
        list[str] | None,
        typer.Option(
            "--accept-terms", metavar="SOURCE", help="Accept the terms of a source; kept in terms.jsonl."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Fetch again what is here already.")] = False,
    as_json: EventsOption = False,
    label: LabelOption = None,
    limit: LimitOption = 10,
    seed: SeedOption = 0,
    height: HeightOption = 720,
    part: PartOption = "train",
    substitute: SubstituteOption = False,
    recheck: RecheckOption = False,
    cookies: CookiesOption = None,
) -> None:
    """Bring clips in, check them, and record them in the store.

    Whatever ends it, the same command goes on where it was.

    \b
    Examples:
      sr-data fetch demo
      sr-data fetch xiph/akiyo_cif vid4
      sr-data fetch xiph:hd --dry-run
      sr-data fetch xiph:hd --lock sr-data.lock --limit-rate 5M
      sr-data fetch youtube-8m --label "Video game" --limit 20 --seed 1
    """
    from sr_datasets import catalog
    from sr_datasets.cli.console import progress_on_stderr
    from sr_datasets.errors import FetchError, SelectionError, SrDataError
    from sr_datasets.ingest import explain_manual, fetch_clips, plan_fetch
    from sr_datasets.store import LOCK_NAME, Store, read_lock

    if force and (locked or lock_file is not None):
        raise typer.BadParameter("--force accepts new bytes, --locked and --lock accept none")
    for pattern in selection:
        source = catalog.find_source(re.split("[/:]", pattern, maxsplit=1)[0])
        if source.access == "manual" and not source.clips:
            raise FetchError(explain_manual(source))
    home = Store(store)
    if (youtube := _youtube_source(selection)) is not None:
        if force or locked or lock_file is not None or where:
            raise typer.BadParameter(
                f"{youtube.id}: --force, --locked, --lock and --where do not go with YouTube, which encodes again now and "
                "then (--recheck asks again for what did not come)"
            )
        options = YoutubeOptions(tuple(label or ()), limit, seed, height, part, substitute, recheck, cookies)
        fetch_from_youtube(
            youtube,
            selection,
            options,
            home,
            accepted=youtube.id in (accept_terms or ()),
            bytes_per_second=limit_rate,
            jobs=jobs,
            dry_run=dry_run,
            as_json=as_json,
        )
        return
    if label:
        raise typer.BadParameter("--label goes with YouTube's sources: youtube-8m, youtube-bb")
    found = catalog.find_clips(selection, where=where or (), store=home)
    if not found.clips:
        raise SelectionError(
            f"no clip fits these conditions; of {len(found.undecided)} a fact that was asked for is not known"
        )
    if dry_run:
        _print_plan(plan_fetch(found.clips, home, force=force), as_json=as_json)
        return
    path = lock_file or (home.root / LOCK_NAME if locked else None)
    records = read_lock(path) if path is not None else None
    sources = {item.source.id: item.source for item in found.clips}
    _settle_terms(sources.values(), home, accepted=accept_terms or (), may_ask=not as_json)
    with progress_on_stderr(as_json=as_json) as progress:
        try:
            report = fetch_clips(
                found.clips,
                home,
                progress=progress,
                force=force,
                jobs=jobs,
                bytes_per_second=limit_rate,
                locked=records,
            )
        except SrDataError as error:
            progress.event("error", error=str(error))
            raise
        size = sum(record.size_bytes for record in report.fetched)
        progress.event("done", fetched=len(report.fetched), present=len(report.present), size_bytes=size)
    if not as_json:
        typer.echo(report)


def _youtube_source(selection: Sequence[str]) -> "Source | None":
    """Return the YouTube source that a selection names, or None if it names none."""
    from sr_datasets import catalog

    names = dict.fromkeys(re.split("[/:]", pattern, maxsplit=1)[0] for pattern in selection)
    found = [source for source in map(catalog.find_source, names) if source.access == "youtube"]
    if found and len(names) > 1:
        raise typer.BadParameter(f"{found[0].id} is fetched video by video: give it a command of its own")
    return found[0] if found else None


def _settle_terms(
    sources: "Iterable[Source]", store: "Store", *, accepted: Sequence[str], may_ask: bool
) -> None:
    """Keep what was accepted, and ask a person at a terminal about the rest; the library refuses otherwise."""
    from sr_datasets import terms

    for source in sources:
        if not terms.must_be_asked(source, store):
            continue
        if source.id in accepted:
            terms.accept(source, store)
        elif may_ask and sys.stdin.isatty() and sys.stderr.isatty():
            typer.echo(f"{source.title} asks you to accept its terms:\n\n{source.terms.strip()}\n", err=True)
            if typer.confirm("Do you accept them?", err=True):
                terms.accept(source, store)


def _print_plan(plan: "FetchPlan", *, as_json: bool) -> None:
    import json

    from sr_datasets.cli.console import table
    from sr_datasets.files import human_bytes

    if as_json:
        typer.echo(json.dumps(plan.to_json(), indent=1))
        return
    rows = [
        [
            file.name,
            "?" if file.size_bytes is None else human_bytes(file.size_bytes),
            str(file.clips),
            file.how,
            file.proof,
            "; ".join(file.licenses),
        ]
        for file in plan.files
    ]
    typer.echo(table(rows, header=["file", "size", "clips", "how", "checked by", "licence"]))
    typer.echo(f"\n{plan.summary()}")


@app.command("import")
def import_command(
    source: Annotated[
        str, typer.Argument(help="The source that the files belong to.", autocompletion=complete_selection)
    ],
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
        list[str] | None,
        typer.Argument(
            metavar="[SELECTION...]",
            help="Clips to check; all when left out.",
            autocompletion=complete_selection,
        ),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Hash every file and look inside, instead of size and time only.")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Fetch again what is wrong, and only that.")
    ] = False,
    manifest: ManifestOption = None,
    store: StoreOption = None,
    jobs: JobsOption = 4,
    limit_rate: RateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check that the files of the store are what they were when they were brought in.

    \b
    Examples:
      sr-data verify
      sr-data verify xiph --full --repair
    """
    import json

    from sr_datasets.cli.console import progress_on_stderr
    from sr_datasets.errors import StoreError
    from sr_datasets.ingest import repair_store, verify_store
    from sr_datasets.store import Store

    home = Store(store)
    with progress_on_stderr() as progress:
        problems = verify_store(home, selection or (), full=full, progress=progress)
        if as_json:
            facts = [
                {"id": f"{one.source}/{one.clip}", "problem": one.what, "repair": one.repair}
                for one in problems
            ]
            typer.echo(json.dumps({"full": full, "problems": facts}, indent=1))
        if problems and repair:
            for problem in problems:
                progress.log(f"{problem.source}/{problem.clip}: {problem.what}")
            report = repair_store(home, problems, progress=progress, jobs=jobs, bytes_per_second=limit_rate)
            if not as_json:
                typer.echo(f"repaired: {report}")
            return
    if problems:
        listed = "\n".join(f"  {problem}" for problem in problems)
        raise StoreError(
            f"{len(problems)} problem{'s' if len(problems) > 1 else ''}:\n{listed}\n"
            "sr-data verify --repair fetches again what is wrong, and only that."
        )
    if not as_json:
        typer.echo("everything is what it was" + ("" if full else " by size and time; hash it with --full"))
