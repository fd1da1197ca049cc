"""Commands for manifests of one's own: ``manifest check``, ``manifest new``, ``manifest schema``."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sr_datasets.cli.app import app

manifests = typer.Typer(
    help="""Check, write and describe manifests of your own.

    \b
    Examples:
      sr-data manifest new ~/clips --out my-clips.yaml
      sr-data manifest check my-clips.yaml
      sr-data manifest schema recipe > recipe.schema.json
    """,
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(manifests, name="manifest")


class Kind(StrEnum):
    """What a YAML file says."""

    SOURCE = "source"
    RECIPE = "recipe"


class PicturesChoice(StrEnum):
    """What the pictures of one folder are."""

    AUTO = "auto"
    FRAMES = "frames"
    IMAGES = "images"


@manifests.command("check")
def check_command(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Manifests of sources, or recipes.")],
) -> None:
    """Say everything that is wrong with manifests or recipes, each with its line.

    \b
    Example:
      sr-data manifest check my-clips.yaml
    """
    from sr_datasets.build.checking import check_recipe
    from sr_datasets.catalog import check_file, find_recipe
    from sr_datasets.errors import ManifestError, SrDataError

    wrong = []
    for path in paths:
        try:
            what = check_file(path)
            if what.startswith("a recipe"):
                check_recipe(find_recipe(str(path)))
            typer.echo(f"{path}: {what}")
        except SrDataError as error:
            wrong.append(str(error))
    if wrong:
        lines = "\n".join(wrong)
        raise ManifestError(f"{len(lines.splitlines())} problems:\n{lines}")


@manifests.command("new")
def new_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of videos, raw planes or pictures.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Manifest to write; its name is the source's id."),
    ] = None,
    pictures: Annotated[
        PicturesChoice,
        typer.Option("--pictures", help="Pictures of one folder: frames of a clip, or images."),
    ] = PicturesChoice.AUTO,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write the manifest of a folder: every video and picture probed and hashed.

    \b
    Example:
      sr-data manifest new ~/clips --out my-clips.yaml
      sr-data import my-clips ~/clips --manifest my-clips.yaml
    """
    from shlex import quote

    from sr_datasets.catalog import load_manifest, suggest_id
    from sr_datasets.cli.console import progress_on_stderr
    from sr_datasets.cli.hints import program
    from sr_datasets.files import write_atomic
    from sr_datasets.ingest.describing import describe_folder

    path = out or Path(f"{suggest_id(folder.resolve().name)}.yaml")
    if path.suffix not in (".yaml", ".yml"):
        raise typer.BadParameter(f"{path} must end in .yaml", param_hint="--out")
    if path.exists() and not force:
        raise typer.BadParameter(f"{path} is there already: name another file, or replace it with --force")
    try:
        with progress_on_stderr() as progress:
            made = describe_folder(folder, path.stem, pictures=pictures.value, progress=progress)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--out") from error
    write_atomic(path, made.text.encode())
    load_manifest(path)  # what is written must be right: a mistake shows here and not at its reader's
    for line in made.left_out:
        typer.echo(f"left out: {line}", err=True)
    typer.echo(f"{path}: {len(made.clip_ids)} clip{'s' * (len(made.clip_ids) != 1)}")
    typer.echo(
        f"Bring them in with: {program()} import {path.stem} {quote(str(folder))} --manifest {quote(str(path))}"
    )


@manifests.command("schema")
def schema_command(
    kind: Annotated[
        Kind, typer.Argument(metavar="source|recipe", help="What the files to edit are.")
    ] = Kind.SOURCE,
) -> None:
    """Print the JSON Schema of a manifest or recipe, for editors that complete and check YAML.

    \b
    Example:
      sr-data manifest schema source > source.schema.json
    """
    import json

    from sr_datasets.catalog import json_schema

    typer.echo(json.dumps(json_schema(kind.value), indent=1))
