"""The command that looks at shard sets: ``inspect``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sr_datasets.cli.app import JsonOption, ManifestOption, StoreOption, app

if TYPE_CHECKING:
    from sr_datasets.shards.setplace import SetPlace


@app.command("inspect")
def inspect_command(
    place: Annotated[
        str,
        typer.Argument(
            metavar="PATH",
            help="Folder of a shard set, or its address (s3://bucket/set); a model, or the folder of its run.",
        ),
    ],
    where: Annotated[
        str | None,
        typer.Option(
            "--where",
            metavar="CONDITION",
            help="Only rows that fit, such as \"source = 'xiph' and psnr < 30\": columns of index.parquet, and computed "
            "ones (docs/looking.md).",
        ),
    ] = None,
    row: Annotated[
        str | None,
        typer.Option("--row", metavar="ROW", help="Show one row, by its number in the set or its id."),
    ] = None,
    sheet: Annotated[
        int | None,
        typer.Option("--sheet", metavar="N", min=1, help="With --png: N rows as one picture, evenly."),
    ] = None,
    png: Annotated[
        Path | None,
        typer.Option("--png", metavar="FILE", help="With --row or --sheet: write LR, bicubic and HR."),
    ] = None,
    stats: Annotated[
        bool,
        typer.Option("--stats", help="SI, TI, bicubic PSNR, luma, motion, duplicates, positions of patches."),
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write all of it as one page that works offline."),
    ] = None,
    pixels: Annotated[
        bool, typer.Option("--pixels/--no-pixels", help="With --html: whether the page shows patches.")
    ] = True,
    audit: Annotated[
        bool, typer.Option("--audit", help="With --html: also look for leaks, as sr-data audit does.")
    ] = False,
    against: Annotated[
        str | None,
        typer.Option(
            "--against", metavar="OTHER", help="Say how another set differs; exit code 1 if it does."
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", help="Only rows of this split; with --row: count only those."),
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Hash every shard, whatever its size.")] = False,
    rederive: Annotated[
        bool, typer.Option("--rederive", help="Make every LR again and compare it, bit for bit.")
    ] = False,
    as_json: JsonOption = False,
    manifest: ManifestOption = None,
    store: StoreOption = None,
) -> None:
    """Say what a shard set holds, whether its files are whole, and what is in its pictures; or how a model was made.

    \b
    Examples:
      sr-data inspect shards/
      sr-data inspect shards/ --where "source = 'xiph' and motion > 2"
      sr-data inspect shards/ --row xiph/akiyo_cif/000007 --png row.png
      sr-data inspect shards/ --sheet 24 --where "psnr < 25" --png sheet.png
      sr-data inspect shards/ --stats
      sr-data inspect shards/ --html report.html
      sr-data inspect shards/ --against older/
      sr-data inspect shards/ --rederive
      sr-data inspect s3://bucket/set --verify
      sr-data inspect model/
      sr-data inspect s3://bucket/set --sheet 24 --png sheet.png
    """
    asked = {
        "--row": row is not None,
        "--sheet": sheet is not None,
        "--stats": stats,
        "--html": html is not None,
        "--against": against is not None,
        "--rederive": rederive,
    }
    _check_options(asked, png=png, pixels=pixels, audit=audit, where=where, split=split)
    if _is_model(place):
        from sr_datasets.espcn.describe import describe_model

        if any(asked.values()) or where is not None or split is not None or verify:
            raise typer.BadParameter("a model is described: the other options are for shard sets")
        _print(describe_model(Path(place)), as_json=as_json)
        return
    if not any(asked.values()) and where is None and split is None:
        from sr_datasets.inspect import inspect_set

        _print(inspect_set(place, verify=verify), as_json=as_json)
        return
    _check_outputs(png, html)
    from sr_datasets.shards.setplace import set_place

    path = set_place(place)
    if rederive:
        _rederive(_here(path, "--rederive"), store, as_json=as_json)
    elif against is not None:
        _against(path, set_place(against), as_json=as_json)
    elif row is not None:
        _row(path, row, png, split, as_json=as_json)
    elif sheet is not None and png is not None:
        _sheet(path, sheet, where or "", split, png, as_json=as_json)
    elif stats:
        _stats(path, where or "", split, as_json=as_json)
    elif html is not None:
        _html(path, html, where or "", split, pixels, audit, store, as_json=as_json)
    else:
        from sr_datasets.cli.console import progress_on_stderr
        from sr_datasets.inspect import choose_rows

        with progress_on_stderr() as progress:
            _print(choose_rows(path, where or "", split=split, progress=progress), as_json=as_json)


def _here(path: "SetPlace", option: str) -> Path:
    """Return the folder of a set of this machine."""
    if not isinstance(path, Path):
        raise typer.BadParameter(
            f"reads every sample of a set, which {path} is too far away for. Copy its folder here (for s3://: "
            f"aws s3 sync {path} DIR), then look at that",
            param_hint=option,
        )
    return path


def _is_model(place: str) -> bool:
    # Shard sets are looked at without torch, so that model files are recognised here.
    if "://" in place:
        return False
    path = Path(place)
    if path.is_dir():
        return (path / "model.safetensors").exists() and not (path / "sr-data.json").exists()
    return path.suffix in (".safetensors", ".pt", ".pth", ".ckpt") and path.exists()


def _check_options(
    asked: dict[str, bool],
    *,
    png: Path | None,
    pixels: bool,
    audit: bool,
    where: str | None,
    split: str | None,
) -> None:
    chosen = [name for name, given in asked.items() if given]
    if len(chosen) > 1:
        raise typer.BadParameter(f"{chosen[0]} goes alone", param_hint=chosen[1])
    if png is not None and not (asked["--row"] or asked["--sheet"]):
        raise typer.BadParameter(
            "--png shows rows: name one with --row, or ask for --sheet N", param_hint="--png"
        )
    if asked["--sheet"] and png is None:
        raise typer.BadParameter("a sheet is a picture: name its file with --png", param_hint="--sheet")
    if not asked["--html"] and (audit or not pixels):
        raise typer.BadParameter("goes with --html", param_hint="--audit" if audit else "--no-pixels")
    if where is not None and any(asked[name] for name in ("--row", "--against", "--rederive")):
        raise typer.BadParameter(f"does not go with {chosen[0]}", param_hint="--where")
    if split is not None and any(asked[name] for name in ("--against", "--rederive")):
        raise typer.BadParameter(f"does not go with {chosen[0]}", param_hint="--split")


def _check_outputs(png: Path | None, html: Path | None) -> None:
    """Refuse a place where nothing may be written before the pixels are measured."""
    from sr_datasets.report.outputs import require_output

    if png is not None:
        require_output(png, ".png")
    if html is not None:
        require_output(html, ".html", ".htm")


def _print(report: Any, *, as_json: bool) -> None:
    import json

    typer.echo(json.dumps(report.to_json(), indent=1) if as_json else report.to_text())


def _row(path: "SetPlace", name: str, png: Path | None, split: str | None, *, as_json: bool) -> None:
    import json

    from sr_datasets.inspect import describe_row, mark_of_row, number_of_row
    from sr_datasets.inspect.described import text_of_facts

    number = number_of_row(path, name, split=split)
    facts = describe_row(path, number, split=split)
    if png is not None:
        from sr_datasets.report import row_pictures, side_by_side

        side_by_side(row_pictures(path, number, split=split), png, note=mark_of_row(path, facts))
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
        return
    typer.echo(text_of_facts(facts))
    if png is not None:
        typer.echo(f"picture: {png}")


def _sheet(path: "SetPlace", count: int, where: str, split: str | None, png: Path, *, as_json: bool) -> None:
    import json

    from sr_datasets.cli.console import progress_on_stderr
    from sr_datasets.errors import SelectionError
    from sr_datasets.inspect import choose_rows
    from sr_datasets.report.sheets import write_sheet

    with progress_on_stderr() as progress:
        choice = choose_rows(path, where, split=split, progress=progress)
        if not choice.mask.any():
            raise SelectionError(f"no row of {path} fits {where!r}: nothing to show. Ask for less.")
        shown = write_sheet(choice, count, png, progress=progress)
    if as_json:
        typer.echo(json.dumps({"picture": str(png), "rows": shown, "fit": len(choice.numbers)}, indent=1))
        return
    typer.echo(f"{shown} of {len(choice.numbers)} rows: {png}")


def _stats(path: "SetPlace", where: str, split: str | None, *, as_json: bool) -> None:
    from sr_datasets.cli.console import progress_on_stderr
    from sr_datasets.inspect import choose_rows, set_statistics

    with progress_on_stderr() as progress:
        choice = choose_rows(path, where, split=split, progress=progress)
        _print(set_statistics(choice, progress=progress), as_json=as_json)


def _against(path: "SetPlace", other: "SetPlace", *, as_json: bool) -> None:
    from sr_datasets.cli.console import progress_on_stderr
    from sr_datasets.inspect import compare_sets

    with progress_on_stderr() as progress:
        report = compare_sets(path, other, progress=progress)
    _print(report, as_json=as_json)
    if not report.equal:
        raise typer.Exit(1)


def _html(
    path: "SetPlace",
    html: Path,
    where: str,
    split: str | None,
    pixels: bool,
    audit: bool,
    home: Path | None,
    *,
    as_json: bool,
) -> None:
    import json

    from sr_datasets.audit import audit_set
    from sr_datasets.cli.console import progress_on_stderr
    from sr_datasets.files import human_bytes
    from sr_datasets.inspect import choose_rows
    from sr_datasets.report.setpage import write_set_page
    from sr_datasets.store import Store

    with progress_on_stderr() as progress:
        leaks = None
        if audit:
            leaks = audit_set(_here(path, "--audit"), store=Store(home), progress=progress).findings
        choice = choose_rows(path, where, split=split, progress=progress)
        page = write_set_page(choice, html, pixels=pixels, leaks=leaks, progress=progress)
    if as_json:
        typer.echo(
            json.dumps({"page": str(html), "bytes": page.size_bytes, "pictured": page.pictured}, indent=1)
        )
        return
    typer.echo(
        f"{html}: {human_bytes(page.size_bytes)}, {page.pictured} of {len(choice.numbers)} rows pictured"
    )
    if page.local_only:
        typer.echo(f"local: not for publication (no grant: {', '.join(page.local_only)})")


def _rederive(path: Path, home: Path | None, *, as_json: bool) -> None:
    from sr_datasets.build import rederive_set
    from sr_datasets.cli.console import progress_on_stderr
    from sr_datasets.store import Store

    with progress_on_stderr() as progress:
        report = rederive_set(path, store=Store(home), progress=progress)
    _print(report, as_json=as_json)
    if not report.ok:
        raise typer.Exit(1)
