"""Commands that pass sets on: ``push``, ``export``."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sr_datasets.cli.app import JsonOption, ManifestOption, app
from sr_datasets.cli.evaluating import export_model


class Layout(StrEnum):
    """Layouts that other trainers read."""

    png = "png"
    basicsr_lmdb = "basicsr-lmdb"


@app.command("push")
def push_command(
    path: Annotated[Path, typer.Argument(help="Folder of a finished set.")],
    remote: Annotated[str, typer.Argument(help="A folder, or an address such as s3://bucket/set.")],
    recipe_only: Annotated[
        bool,
        typer.Option("--recipe-only", help="Push recipe, list of clips, plan and digests; no pixels."),
    ] = False,
    as_json: JsonOption = False,
    manifest: ManifestOption = None,
) -> None:
    """Copy a finished set to another place, and verify it there.

    Refused unless the licence of every clip lets patches be passed on. A push
    that was interrupted goes on when it is run again.

    \b
    Examples:
      sr-data push shards/ s3://bucket/sets/demo
      sr-data push shards/ /mnt/nas/demo
      sr-data push cdvl/ s3://bucket/recipes/cdvl-30 --recipe-only
    """
    import json

    from sr_datasets.cli.console import progress_on_stderr
    from sr_datasets.files import human_bytes
    from sr_datasets.push import push_set
    from sr_datasets.remotes import check_place

    if not remote.strip():
        raise typer.BadParameter(
            "is empty: name a folder, or an address such as s3://bucket/set", param_hint="REMOTE"
        )
    check_place(remote)
    with progress_on_stderr() as progress:
        report = push_set(path, remote, recipe_only=recipe_only, progress=progress)
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=1))
        return
    there = f", {report.present} of them there already" if report.present else ""
    typer.echo(f"{len(report.files)} files, {human_bytes(report.size_bytes)} in {report.place}{there}")
    if not report.pixels:
        typer.echo(
            f"no pixels: {', '.join(report.files)}. Whoever has the clips builds the same set:\n"
            "  sr-data build-pairs recipe.yaml --lock recipes.lock --out DIR"
        )
    typer.echo(f"content digest {report.content_digest}")


@app.command("export")
def export_command(
    what: Annotated[
        str,
        typer.Argument(metavar="SET|MODEL", help="Folder of a finished set; or a model, such as espcn-x3."),
    ],
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="Of a model: a file that ends in .onnx or .safetensors."),
    ] = None,
    to: Annotated[Layout | None, typer.Option("--to", help="Of a set: the layout.")] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Of a set: folder to write, new or empty. Of a model: as FILE."),
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="Of a set: this split only, straight into the folder.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a set as PNG files or BasicSR's LMDB; or a network as ONNX, checked in onnxruntime, or safetensors.

    \b
    Examples:
      sr-data export shards/ --to png --out pairs/
      sr-data export shards/ --to basicsr-lmdb --split train --out train/
      sr-data export espcn-x3 espcn-x3.onnx
    """
    import json

    from sr_datasets.cli.console import progress_on_stderr
    from sr_datasets.files import human_bytes

    target = file or out
    if target is None or (file and out):
        raise typer.BadParameter("name one place: --out FOLDER for a set, FILE for a model")
    if to is None:
        if target.suffix.lower() not in (".onnx", ".safetensors"):
            raise typer.BadParameter(
                f"a set needs --to {' or '.join(layout.value for layout in Layout)}, a model a file that ends in .onnx "
                f"or .safetensors, not {target}"
            )
        made = export_model(what, target)
        typer.echo(json.dumps(made.to_json(), indent=1) if as_json else made.to_text())
        return
    from sr_datasets.export import export_set

    with progress_on_stderr() as progress:
        report = export_set(Path(what), target, to=to.value, split=split, progress=progress)
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=1))
        return
    rows = ", ".join(f"{count} {name}" for name, count in report.rows.items())
    count, (word, plural) = sum(report.rows.values()), ("HR patch", "es") if report.hr_only else ("pair", "s")
    typer.echo(
        f"{count} {word}{'' if count == 1 else plural} ({rows}), {human_bytes(report.size_bytes)} in {report.out_dir}"
    )
