"""The command ``train``: options in, one library call, text out."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sr_datasets.cli.app import JsonOption, app
from sr_datasets.errors import SrDataError

if TYPE_CHECKING:
    from sr_datasets.espcn.config import TrainConfig


def _print_options(value: bool) -> None:
    if value:
        import textwrap

        from sr_datasets.espcn.options import options_table

        for name, default, meaning in options_table():
            typer.echo(f"{name}={default}")
            typer.echo(textwrap.fill(meaning, 78, initial_indent="    ", subsequent_indent="    "))
        raise typer.Exit


def _folder(text: str | Path) -> Path:
    if not str(text).strip():
        raise typer.BadParameter("is empty: name a folder for the model")
    return Path(text)


@app.command("train")
def train_command(
    shards: Annotated[Path, typer.Argument(help="Folder that `sr-data build-pairs` wrote.")],
    out_dir: Annotated[
        Path, typer.Option("--out", metavar="PATH", parser=_folder, help="Folder for the model.")
    ] = Path("model"),
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            help="espcn-t91, espcn-video, residual (the default), deep or quick.",
            show_default=False,
        ),
    ] = None,
    config_file: Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="FILE", help="Options as JSON or YAML, such as a run's config.json."
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Updates of the weights.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", min=1, help="Patch pairs a step.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", help="The optimizer's step at the start.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Of weights, order and augmentation.")
    ] = None,
    device: Annotated[str | None, typer.Option("--device", help="auto, cpu or cuda.")] = None,
    precision: Annotated[
        str | None, typer.Option("--precision", help="float32 or bfloat16 (autocast).")
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, max=256, help="Threads of a CPU run.")
    ] = None,
    checkpoint_every: Annotated[
        int | None,
        typer.Option("--checkpoint-every", min=1, help="Steps between checkpoints; 500 if left out."),
    ] = None,
    options: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any other option; --options lists them."),
    ] = None,
    workers: Annotated[
        int,
        typer.Option("--workers", min=0, help="Processes that read, when the set does not fit in memory."),
    ] = 0,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write curves and sample pictures for TensorBoard.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in the folder, under the options it has.")
    ] = False,
    list_options: Annotated[
        bool,
        typer.Option(
            "--options", help="List every option with its meaning.", callback=_print_options, is_eager=True
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train ESPCN on a shard set; started by torchrun, with several processes.

    \b
    Examples:
      sr-data train t91/ --out model/ --preset espcn-t91
      sr-data train t91/ --out model/ --set loss=l1 --set upsampling=transposed
      sr-data train t91/ --out model/ --resume
      torchrun --nproc-per-node=2 -m sr_datasets.cli train t91/ --out model/
    """
    import json

    from sr_datasets.cli.console import progress_on_stderr
    from sr_datasets.cli.start import EndedError, go_on_with
    from sr_datasets.espcn.checkpoint import STATE_NAME
    from sr_datasets.espcn.ranks import ToldByAnotherError, is_first_here, is_first_process
    from sr_datasets.espcn.train import train

    named = {
        "steps": steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "seed": seed,
        "device": device,
        "precision": precision,
        "threads": threads,
        "checkpoint_every": checkpoint_every,
    }
    chosen = {name: value for name, value in named.items() if value is not None}
    try:
        config = _config(shards, out_dir, preset, config_file, options or [], chosen, resume=resume)
    except ValueError as error:
        if not is_first_here():
            raise typer.Exit(2) from error
        # The library's names of options, as the command line writes them.
        text = re.sub(rf"\b({'|'.join(named)}) is ", lambda found: f"{_option(found[1])} is ", str(error))
        raise typer.BadParameter(text) from error
    except SrDataError as error:
        if not is_first_here():
            raise typer.Exit(1) from error
        raise
    try:
        with progress_on_stderr() as progress:
            report = train(
                config,
                shards,
                out_dir=out_dir,
                resume=resume,
                workers=workers,
                tensorboard=tensorboard,
                progress=progress,
            )
    except ToldByAnotherError as error:
        raise typer.Exit(1) from error
    except (KeyboardInterrupt, EndedError):
        if (out_dir / STATE_NAME).exists() and not resume:
            go_on_with("--resume")
        raise
    if is_first_process():
        typer.echo(json.dumps(report.to_json(), indent=1) if as_json else report.to_text())


def _config(
    shards: Path,
    out_dir: Path,
    preset: str | None,
    config_file: Path | None,
    options: list[str],
    named: dict[str, Any],
    *,
    resume: bool,
) -> "TrainConfig":
    from sr_datasets.espcn.data import network_of
    from sr_datasets.espcn.options import config_of, overrides_of, read_config
    from sr_datasets.espcn.train import resumed_config

    file = read_config(config_file) if config_file is not None else {}
    if resume:
        model = {**file.pop("model", {}), **overrides_of(options).get("model", {})}
        changed = {**file, **overrides_of(options), **named, "model": model}
        return resumed_config(out_dir, **changed, **({} if preset is None else {"preset": preset}))
    split = overrides_of(options).get("split", file.get("split", "train"))
    return config_of(network_of(shards, str(split)), preset_name=preset, file=file, options=options, **named)


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
