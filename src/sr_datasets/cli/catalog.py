"""Commands of the catalog: ``list`` and ``show``."""

import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sr_datasets.cli.app import (
    JsonOption,
    ManifestOption,
    StoreOption,
    WhereOption,
    app,
    complete_selection,
)

if TYPE_CHECKING:
    from sr_datasets.catalog import Found, SourceFacts
    from sr_datasets.facts import ClipFacts
    from sr_datasets.manifest import Source
    from sr_datasets.recipe import Recipe

_WAYS = {"download": "fetch", "manual": "import", "generated": "made here", "youtube": "by label"}


@app.command("list")
def list_command(
    selection: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SELECTION...]",
            help="Clips to list; the sources when left out.",
            autocompletion=complete_selection,
        ),
    ] = None,
    where: WhereOption = None,
    manifest: ManifestOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
    html: Annotated[
        Path | None,
        typer.Option("--html", help="Write one page with chart, table and citations here; it works offline."),
    ] = None,
) -> None:
    """List the sources and recipes, or the clips that a selection and conditions let through.

    \b
    Examples:
      sr-data list
      sr-data list xiph:hd
      sr-data list --where "height>=1080 frames>=300 bit_depth=10 license=CC*"
      sr-data list --html overview.html
    """
    import json

    from sr_datasets import catalog
    from sr_datasets.store import Store

    if html is not None and as_json:
        raise typer.BadParameter("--html and --json exclude each other", param_hint="--html")
    home = Store(store)
    if selection or where:
        found = catalog.find_clips(selection or (), where=where or (), store=home)
        if html is not None:
            _write_page(catalog.sources_of(found.clips), html)
        elif as_json:
            typer.echo(json.dumps([_plain(facts) for facts in found.facts], indent=1))
        elif found.clips:
            typer.echo(_clip_table(found.facts, with_source=len({facts.source for facts in found.facts}) > 1))
        _tell_of_undecided(found)
        return
    if html is not None:
        _write_page(catalog.sources(), html)
        return
    sources, recipes = catalog.list_sources(home), catalog.recipes()
    if as_json:
        facts = {
            "sources": [_of_source(source) for source in sources],
            "recipes": [_of_recipe(r) for r in recipes],
        }
        typer.echo(json.dumps(facts, indent=1))
        return
    typer.echo(_source_table(sources))
    typer.echo("")
    typer.echo(_recipe_table(recipes))


def _write_page(sources: "list[Source]", path: Path) -> None:
    from sr_datasets.files import human_bytes
    from sr_datasets.report.overview import write_catalog_page

    size_bytes = write_catalog_page(sources, path)
    num_clips = sum(len(source.clips) for source in sources)
    counts = [
        f"{count} {noun}{'' if count == 1 else 's'}"
        for count, noun in ((len(sources), "source"), (num_clips, "clip"))
    ]
    typer.echo(f"{path}: {', '.join(counts)}, {human_bytes(size_bytes)}")


def _plain(facts: "ClipFacts") -> dict[str, Any]:
    return {**asdict(facts), "rate": None if facts.rate is None else str(facts.rate)}


def _of_source(source: "SourceFacts") -> dict[str, Any]:
    return {**asdict(source), "licenses": list(source.licenses), "license": source.licenses[0]}


def _of_recipe(recipe: "Recipe") -> dict[str, Any]:
    return {"recipe": recipe.id, "title": recipe.title, "clips": list(recipe.clips), "scale": recipe.scale}


def _tell_of_undecided(found: "Found") -> None:
    if not found.clips:
        typer.echo("no clip fits", err=True)
    if found.undecided:
        names = ", ".join(item.id for item in found.undecided[:3]) + (
            ", ..." if len(found.undecided) > 3 else ""
        )
        typer.echo(
            f"{len(found.undecided)} clips are left out, since a fact that was asked for is not known of them: {names}",
            err=True,
        )


def _source_table(sources: "list[SourceFacts]") -> str:
    from sr_datasets.cli.console import table
    from sr_datasets.files import human_bytes

    rows = []
    for source in sources:
        clips = "any" if source.open_ended else str(source.clips)
        size = human_bytes(source.known_bytes) if source.known_bytes else "?"
        if source.known_bytes and source.unknown_sizes:
            size = f"> {size}"
        sides = [str(side) for side in dict.fromkeys((source.smallest, source.largest)) if side]
        license_ = source.licenses[0] if len(source.licenses) == 1 else f"{len(source.licenses)} licences"
        here = human_bytes(source.bytes_here) if source.clips_here else "-"
        rows.append(
            [
                source.source, clips, size, f"{'-'.join(sides)}p" if sides else "?", _short(license_, 16),
                _WAYS.get(source.access, source.access), str(source.clips_here), here,
            ]
        )  # fmt: skip
    return table(rows, header=["source", "clips", "bytes", "sizes", "licence", "how", "here", ""])


def _recipe_table(recipes: "list[Recipe]") -> str:
    from sr_datasets.cli.console import table

    rows = [[recipe.id, f"x{recipe.scale}", _short(recipe.title, 60)] for recipe in recipes]
    return table(rows, header=["recipe", "scale", "title"])


def _clip_table(clips: "tuple[ClipFacts, ...]", *, with_source: bool) -> str:
    from sr_datasets.cli.console import table
    from sr_datasets.files import human_bytes

    rows = [
        [
            facts.id if with_source else facts.clip,
            f"{facts.width}x{facts.height}" if facts.width and facts.height else "?",
            str(facts.frames or "?"),
            "?" if facts.rate is None else f"{float(facts.rate):.4g}",
            str(facts.bit_depth or "?"),
            facts.chroma or "?",
            human_bytes(facts.bytes) if facts.bytes else "?",
            _short(facts.license, 16),
            "here" if facts.here == "yes" else "",
        ]
        for facts in clips
    ]
    return table(rows, header=["clip", "size", "frames", "rate", "bits", "chroma", "bytes", "licence", ""])


def _short(text: str, width: int) -> str:
    return textwrap.shorten(text, width, placeholder="…")


@app.command("show")
def show_command(
    selection: Annotated[
        list[str],
        typer.Argument(
            metavar="SELECTION...",
            help="xiph, xiph/akiyo_cif, 'xiph/*1080p*' or xiph:hd.",
            autocompletion=complete_selection,
        ),
    ],
    where: WhereOption = None,
    manifest: ManifestOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show everything known of a source or of clips: facts, evidence, licence, citation.

    \b
    Examples:
      sr-data show vid4
      sr-data show xiph/akiyo_cif
      sr-data show uvg --where "bit_depth=10"
    """
    import json

    from sr_datasets import catalog
    from sr_datasets.cli.hints import as_typed
    from sr_datasets.cli.show import clip_facts, clip_text, source_facts, source_text
    from sr_datasets.store import Store

    home = Store(store)
    whole = [text for text in selection if "/" not in text and ":" not in text and not where]
    parts = [text for text in selection if text not in whole]
    sources = [catalog.find_source(text) for text in whole]
    found = catalog.find_clips(parts, where=where or (), store=home) if parts else None
    clips = found.clips if found else ()
    if as_json:
        facts = [source_facts(source, home) for source in sources] + [
            clip_facts(item, home) for item in clips
        ]
        typer.echo(json.dumps(facts, indent=1))
    else:
        texts = [source_text(source, home) for source in sources] + [clip_text(item, home) for item in clips]
        typer.echo(as_typed("\n\n".join(texts)))
    if found:
        _tell_of_undecided(found)
