"""The part of ``sr-data fetch`` that brings videos from YouTube, and its options."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sr_datasets.ingest.youtube import Candidate, Wish
    from sr_datasets.manifest import Source
    from sr_datasets.store import Store

LabelOption = Annotated[
    list[str] | None,
    typer.Option(
        "--label", metavar="NAME", help="YouTube: videos with this label or class; may be repeated."
    ),
]
LimitOption = Annotated[
    int, typer.Option("--limit", min=1, metavar="N", help="YouTube: how many videos to ask for.")
]
SeedOption = Annotated[int, typer.Option("--seed", metavar="S", help="YouTube: key of the choice.")]
HeightOption = Annotated[
    int, typer.Option("--height", min=1, metavar="ROWS", help="YouTube: least length of the shorter side.")
]
PartOption = Annotated[
    str, typer.Option("--part", metavar="PART", help="YouTube: train or validation, of the annotations.")
]
SubstituteOption = Annotated[
    bool, typer.Option("--substitute", help="YouTube: go down the list until so many are here.")
]
RecheckOption = Annotated[
    bool, typer.Option("--recheck", help="YouTube: ask again for what was gone, private or blocked.")
]
CookiesOption = Annotated[
    Path | None,
    typer.Option(
        "--cookies",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="YouTube: cookies to send; none by default.",
    ),
]


@dataclass(frozen=True, slots=True)
class YoutubeOptions:
    """What a user said of videos from YouTube."""

    labels: tuple[str, ...]
    """``--label``."""
    limit: int
    """``--limit``."""
    seed: int
    """``--seed``."""
    height: int
    """``--height``."""
    part: str
    """``--part``."""
    substitute: bool
    """``--substitute``."""
    recheck: bool
    """``--recheck``."""
    cookies: Path | None
    """``--cookies``."""


def fetch_from_youtube(
    source: "Source",
    selection: Sequence[str],
    options: YoutubeOptions,
    store: "Store",
    *,
    accepted: bool,
    bytes_per_second: float | None,
    jobs: int,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Bring videos of one YouTube source, by label or by the names of their clips.

    Args:
        source: The source.
        selection: What the user named of it: the source alone, or clips of it.
        options: The options that only YouTube has.
        store: Where the videos go.
        accepted: Whether the user accepts the source's terms, and so takes videos without an open licence.
        bytes_per_second: Pace.
        jobs: Videos at a time that are looked into, while the next one comes.
        dry_run: Only say which videos would be asked for.
        as_json: Print events as JSON lines.
    """
    from sr_datasets import terms
    from sr_datasets.cli.console import progress_on_stderr
    from sr_datasets.errors import FetchError, SrDataError
    from sr_datasets.fetch.youtube.download import Manners
    from sr_datasets.ingest.youtube import PARTS, Wish, fetch_youtube, iter_candidates

    if options.part not in PARTS:
        raise typer.BadParameter(f"'{options.part}' is no part of the annotations: {' or '.join(PARTS)}")
    clips = _clips_named(source, selection, store)
    if clips and options.labels:
        raise typer.BadParameter("--label chooses new videos: name the source alone with it, no clips")
    manners = Manners(rate_limit=int(bytes_per_second) if bytes_per_second else None, cookies=options.cookies)
    wish = Wish(
        labels=options.labels, clips=clips, limit=options.limit, seed=options.seed, height=options.height,
        part=options.part, any_license=accepted, substitute=options.substitute, recheck=options.recheck, manners=manners,
    )  # fmt: skip
    if accepted and not dry_run:
        terms.require_acceptance(source, store, accepted=True)
    with progress_on_stderr(as_json=as_json) as progress:
        try:
            if dry_run:
                candidates = iter_candidates(source, wish, store, progress=progress)
                chosen = [one for one, _ in zip(candidates, range(wish.limit), strict=False)]
                text = _choice_text(source, wish, chosen)
            else:
                report = fetch_youtube(source, wish, store, progress=progress, jobs=jobs)
                text = str(report)
        except SrDataError as error:
            progress.event("error", error=str(error))
            raise
        if not dry_run:
            size = sum(record.size_bytes for record in report.fetched)
            progress.event("done", fetched=len(report.fetched), present=len(report.present), size_bytes=size)
    if dry_run and as_json:
        import json

        typer.echo(json.dumps([_facts(one) for one in chosen], indent=1))
    elif not as_json:
        typer.echo(text)
    if dry_run:
        return
    here = {f"{record.source}/{record.clip}" for record in (*report.fetched, *report.present)}
    missing = [
        one
        for one in report.entries
        if one.status == "failed" or (clips and f"{source.id}/{one.clip}" not in here)
    ]
    if missing:
        reasons = "\n".join(f"  {one.clip or one.record_id}: {one.status}: {one.reason}" for one in missing)
        raise FetchError(
            f"{source.id}: {len(missing)} of {len(report.entries)} videos did not come:\n{reasons}"
        )


def _clips_named(source: "Source", selection: Sequence[str], store: "Store") -> tuple[str, ...]:
    """Return the clips that a selection names: of patterns those that are here, of names any."""
    import re

    from sr_datasets.rules import fitting

    names: list[str] = []
    for pattern in selection:
        inside = pattern.removeprefix(source.id).removeprefix("/")
        if re.search(r"[*?\[]", inside):
            names += fitting([inside], [record.clip for record in store.records(source.id)])
        elif inside:
            names.append(inside)
    return tuple(dict.fromkeys(names))


def _choice_text(source: "Source", wish: "Wish", chosen: "Sequence[Candidate]") -> str:
    from sr_datasets.cli.console import table

    facts = [_facts(one) for one in chosen]
    rows = [[str(one["record"] or one["clip"]), str(one["labels"])] for one in facts]
    licence = "any licence" if wish.any_license else "only those that claim a Creative Commons licence"
    lines = [
        table(rows, header=["record" if "shard" in source.addresses else "clip", "label"]),
        "",
        f"{len(rows)} videos would be asked for, {licence}, at least {wish.height} rows; how many bytes, the site says "
        "when it is asked",
    ]
    if any(one.unauthenticated for one in chosen):
        lines.append("unauthenticated: annotations came over plain http, unproven")
    return "\n".join(lines)


def _facts(one: "Candidate") -> dict[str, object]:
    return {
        "record": one.record_id,
        "clip": one.piece.clip_id if one.piece else "",
        "labels": "; ".join(one.labels),
        "unauthenticated": one.unauthenticated,
    }
