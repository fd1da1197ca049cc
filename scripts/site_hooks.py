"""What mkdocs does beside rendering: the page of commands is made of their --help, links out of docs/ become code.

mkdocs.yml names this file under ``hooks``.
"""

import re
from collections.abc import Iterator
from typing import Any

MARK = "<!-- commands -->"


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Return a page's text as the site shows it."""
    if MARK in markdown:
        markdown = markdown.replace(MARK, "\n".join(help_pages()))
    # On a code host these links lead to files; the site has docs/ only.
    return re.sub(r"\[([^\]]+)\]\(\.\./(?:src|scripts|tests|benchmarks|[A-Z]+\.md)[^)]*\)", r"\1", markdown)


def help_pages() -> Iterator[str]:
    """Yield the help of every command as Markdown."""
    import typer

    from sr_datasets.cli.main import app

    yield from _help_of(typer.main.get_command(app), "sr-data")


def _help_of(command: Any, path: str) -> Iterator[str]:
    for name in sorted(getattr(command, "commands", {})):
        yield from _help_of(command.commands[name], f"{path} {name}")
    if not getattr(command, "commands", {}):
        context = command.make_context(
            path, [], resilient_parsing=True, terminal_width=80, max_content_width=80
        )
        yield f"## {path}\n\n```text\n{command.get_help(context)}\n```\n"
