"""The ``sr-data`` application that the command modules add themselves to, and the options they share."""

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from sr_datasets import __version__
from sr_datasets.cli.hints import note_store

_ORDER = (
    "quickstart",
    "doctor",
    "list",
    "show",
    "fetch",
    "import",
    "verify",
    "forget",
    "manifest",
    "build-pairs",
    "inspect",
    "audit",
    "push",
    "export",
    "train",
    "evaluate",
    "upscale",
    "arch",
)

_PLACES = ("--out", "--store")
"""Options whose empty value, such as that of a shell variable that is not set, would be the current folder."""


class _Commands(TyperGroup):
    """Lists the commands in the order of the work, each with its whole first sentence."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        return sorted(super().list_commands(ctx), key=_ORDER.index)

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        for word, following in pairwise([*args, "--"]):
            name = word.removesuffix("=")
            if name in _PLACES and (name != word or not following):
                raise typer.BadParameter("is empty: name a folder", ctx=ctx, param_hint=name)
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        for command in self.commands.values():
            command.short_help = (command.help or "").partition("\n\n")[0].replace("\n", " ")
        super().format_commands(ctx, formatter)


app = typer.Typer(
    name="sr-data",
    cls=_Commands,
    help="Public video in, exact and reproducible HR-LR training patches out.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def complete_selection(incomplete: str) -> list[str]:
    """Return sources that begin so, or, after ``source/``, clips; for completion in the shell."""
    from sr_datasets import catalog
    from sr_datasets.errors import SrDataError

    source_id, slash, _ = incomplete.partition("/")
    if not slash:
        return [name for name in catalog.source_ids() if name.startswith(incomplete)]
    try:
        clips = catalog.find_source(source_id).clips
    except SrDataError:
        return []  # a shell that asks for words wants no error
    return [name for clip in clips if (name := f"{source_id}/{clip.id}").startswith(incomplete)]


def complete_recipe(incomplete: str) -> list[str]:
    """Return recipes that begin so; for completion in the shell."""
    from sr_datasets import catalog

    return [name for name in catalog.recipe_ids() if name.startswith(incomplete)]


def _note_store(store: Path | None) -> Path | None:
    note_store(store)
    return store


StoreOption = Annotated[
    Path | None,
    typer.Option(
        "--store",
        help="Data folder; default $SR_DATA_HOME, else the user's data folder.",
        show_default=False,
        callback=_note_store,
    ),
]
WhereOption = Annotated[
    list[str] | None,
    typer.Option(
        "--where", metavar="CONDITIONS", help="Only clips that fit, such as 'height>=1080 license=CC*'."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def _add_manifests(context: typer.Context, paths: list[Path] | None) -> list[Path] | None:
    if paths and not context.resilient_parsing:
        from sr_datasets.catalog import added_manifests

        context.with_resource(added_manifests(paths))
    return paths


ManifestOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--manifest",
        metavar="FILE",
        help="A manifest of your own, named after its source.",
        callback=_add_manifests,
    ),
]


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"sr-data {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    note_store(None)
