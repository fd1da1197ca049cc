"""Commands of the catalog and the store: ``list``, ``show``, ``fetch``, ``import``, ``verify``."""

import re
import textwrap
from pathlib import Path
from typing import Annotated, Any

import typer

from sr_datasets.cli.app import JsonOption, StoreOption, app
from sr_datasets.files import human_bytes

SelectionArgument = Annotated[
    list[str],
    typer.Argument(metavar="SELECTION...", help="xiph, xiph/akiyo_cif, 'xiph/*1080p*' or xiph:hd."),
]


@app.command("list")
def list_command(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """List the sources and recipes, and what is here already."""
    import json

    from sr_datasets import catalog
    from sr_datasets.cli.console import table
    from sr_datasets.store import Store

    records = Store(store).records()
    facts = []
    for source in catalog.sources():
        here = [record for record in records if record.source == source.id]
        known = [remote.size_bytes for remote in catalog.remotes_of(source)]
        facts.append(
            {
                "source": source.id,
                "title": source.title,
                "access": source.access,
                "clips": len(source.clips),
                "open_ended": source.open_ended,
                "known_bytes": sum(size for size in known if size),
                "unknown_sizes": sum(size is None for size in known),
                "license": source.licenses[source.license].name,
                "clips_here": len(here),
                "bytes_here": sum(file.size_bytes for record in here for file in record.files),
            }
        )
    recipes = [
        {"recipe": recipe.id, "title": recipe.title, "clips": list(recipe.clips), "scale": recipe.scale}
        for recipe in catalog.recipes()
    ]
    if as_json:
        typer.echo(json.dumps({"sources": facts, "recipes": recipes}, indent=1))
        return
    typer.echo(
        table(
            [
                [
                    str(fact["source"]),
                    "any" if fact["open_ended"] else str(fact["clips"]),
                    _known_size(fact),
                    str(fact["access"]),
                    f"{fact['clips_here']} clips" if fact["clips_here"] else "-",
                    textwrap.shorten(str(fact["title"]), 30, placeholder="…"),
                ]
                for fact in facts
            ],
            header=["source", "clips", "size", "access", "here", "title"],
        )
    )
    typer.echo("")
    typer.echo(
        table(
            [
                [
                    str(recipe["recipe"]),
                    f"x{recipe['scale']}",
                    textwrap.shorten(str(recipe["title"]), 60, placeholder="…"),
                ]
                for recipe in recipes
            ],
            header=["recipe", "scale", "title"],
        )
    )


def _known_size(fact: dict[str, Any]) -> str:
    if not fact["known_bytes"]:
        return "unknown"
    return human_bytes(fact["known_bytes"]) + (" + ?" if fact["unknown_sizes"] else "")


@app.command("show")
def show_command(
    selection: SelectionArgument, store: StoreOption = None, as_json: JsonOption = False
) -> None:
    """Show everything known of a source or of clips: facts, evidence, licence, citation.

    \b
    Examples:
      sr-data show vid4
      sr-data show xiph/akiyo_cif
    """
    import json

    from sr_datasets import catalog
    from sr_datasets.cli.show import clip_facts, clip_text, source_facts, source_text
    from sr_datasets.store import Store

    home = Store(store)
    whole = [text for text in selection if "/" not in text and ":" not in text]
    parts = [text for text in selection if text not in whole]
    sources = [catalog.find_source(text) for text in whole]
    clips = catalog.select(parts) if parts else []
    if as_json:
        facts = [source_facts(source, home) for source in sources] + [
            clip_facts(item, home) for item in clips
        ]
        typer.echo(json.dumps(facts, indent=1))
        return
    texts = [source_text(source, home) for source in sources] + [clip_text(item, home) for item in clips]
    typer.echo("\n\n".join(texts))


@app.command("fetch")
def fetch_command(
    selection: SelectionArgument,
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
    from sr_datasets.errors import FetchError
    from sr_datasets.ingest import explain_manual, fetch_clips
    from sr_datasets.store import Store

    for pattern in selection:
        source = catalog.find_source(re.split("[/:]", pattern, maxsplit=1)[0])
        if source.access == "manual" and not source.clips:
            raise FetchError(explain_manual(source))
    with progress_on_stderr() as progress:
        report = fetch_clips(catalog.select(selection), Store(store), progress=progress, force=force)
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
