"""The command ``doctor``."""

from typing import Annotated

import typer

from sr_datasets.cli.app import JsonOption, StoreOption, app


@app.command("doctor")
def doctor_command(
    network: Annotated[
        bool, typer.Option("--network", help="Also ask each source's host for the headers of one file.")
    ] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what of this installation, machine and data folder works, and what is missing or broken.

    Versions, extras with the line that installs them, codecs, disk, GPU and
    the store's files by size and time. Nothing is changed, and no host is
    asked without --network. Exit code 1 when something is broken.

    \b
    Examples:
      sr-data doctor
      sr-data doctor --network
      sr-data doctor --json --store /data/video
    """
    import json
    from dataclasses import replace

    from sr_datasets.cli.console import progress_on_stderr
    from sr_datasets.cli.hints import as_typed
    from sr_datasets.doctor import examine, render, to_json
    from sr_datasets.store import Store

    with progress_on_stderr() as progress:
        checks = examine(Store(store), network=network, progress=progress)
    checks = [replace(check, found=as_typed(check.found), fix=as_typed(check.fix)) for check in checks]
    typer.echo(json.dumps(to_json(checks), indent=1) if as_json else render(checks))
    if any(check.state == "broken" for check in checks):
        raise typer.Exit(1)
