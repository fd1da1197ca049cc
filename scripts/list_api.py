"""Writes tests/data/public-api.txt: every public name with its signature, and every command with its options.

Run: PYTHONPATH=src python scripts/list_api.py

What is public stands in docs/api.md, a line ``::: name`` each. Signatures are read from the source, without importing
it, so that the listing is the same with and without torch. tests/test_api.py holds the code against the listing: whoever
changes a signature sees it there, renews the file with this script, and says in CHANGELOG.md what users must change.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "api.md"
LISTING = ROOT / "tests" / "data" / "public-api.txt"
SOURCE = ROOT / "src"

SPECIAL = (
    "__init__",
    "__call__",
    "__len__",
    "__getitem__",
    "__getitems__",
    "__iter__",
    "__enter__",
    "__exit__",
)

HEAD = "# Made by scripts/list_api.py of docs/api.md and the source. A change here is a change for users: see docs/api.md.\n"


@dataclass(frozen=True)
class Found:
    """A name where it is defined."""

    module: str
    node: ast.ClassDef | ast.FunctionDef | ast.Assign | ast.AnnAssign


def public_names(page: str) -> list[str]:
    """Return the names that the page lists."""
    return re.findall(r"^::: ([\w.]+)$", page, flags=re.MULTILINE)


def listing(names: list[str]) -> str:
    """Return the whole listing as text."""
    lines = [HEAD.rstrip()]
    for name in names:
        lines += ["", *described(name)]
    return "\n".join([*lines, "", *commands(), ""])


def described(name: str) -> list[str]:
    """Return the lines of one name.

    Raises:
        LookupError: Nothing of this name is defined.
    """
    module, _, last = name.rpartition(".")
    found = find(module, last)
    match found.node:
        case ast.FunctionDef():
            return [f"function {name}{_signature(found.node)}"]
        case ast.ClassDef():
            bases = ", ".join(ast.unparse(base) for base in found.node.bases)
            return [f"class {name}({bases})", *(f"    {line}" for line in _members(found))]
        case ast.AnnAssign(annotation=annotation):
            return [f"value {name}: {ast.unparse(annotation)}"]
        case _:
            return [f"value {name}"]


@cache
def _tree(module: str) -> ast.Module | None:
    path = SOURCE.joinpath(*module.split("."))
    for file in (path / "__init__.py", path.with_suffix(".py")):
        if file.is_file():
            return ast.parse(file.read_text(encoding="utf-8"))
    return None


def find(module: str, name: str) -> Found:
    """Return where a module's name is defined, through every import that hands it on."""
    tree = _tree(module)
    if tree is None:
        raise LookupError(f"there is no module {module}")
    for node in ast.walk(tree):  # also what stands under TYPE_CHECKING
        match node:
            case ast.ImportFrom(module=str(origin), names=aliases):
                for alias in aliases:
                    if (alias.asname or alias.name) == name:
                        return find(origin, alias.name)
    for node in tree.body:
        match node:
            case ast.ClassDef() | ast.FunctionDef() if node.name == name:
                return Found(module, node)
            case ast.AnnAssign(target=ast.Name(id=target)) if target == name:
                return Found(module, node)
            case ast.Assign(targets=[ast.Name(id=target)]) if target == name:
                return Found(module, node)
    raise LookupError(f"{module} has no {name}")


def _members(found: Found) -> Iterator[str]:
    """Yield the public members of a class, those first that it inherits from classes of this package."""
    assert isinstance(found.node, ast.ClassDef)
    seen: dict[str, str] = {}
    for place in reversed(_line_of(found)):
        assert isinstance(place.node, ast.ClassDef)
        for node in place.node.body:
            for name, text in _member(node):
                seen[name] = text
    yield from seen.values()


def _line_of(found: Found) -> list[Found]:
    """Return a class and the classes of this package that it derives from, nearest first."""
    assert isinstance(found.node, ast.ClassDef)
    line = [found]
    for base in found.node.bases:
        if isinstance(base, ast.Name):
            try:
                parent = find(found.module, base.id)
            except LookupError:
                continue
            if isinstance(parent.node, ast.ClassDef):
                line += [each for each in _line_of(parent) if each not in line]
    return line


def _member(node: ast.stmt) -> Iterator[tuple[str, str]]:
    match node:
        case ast.FunctionDef(name=name) if name in SPECIAL or not name.startswith("_"):
            marks = [ast.unparse(mark) for mark in node.decorator_list]
            kind = next(
                (mark for mark in marks if mark.endswith(("property", "classmethod", "staticmethod"))), ""
            )
            # A validator of pydantic's is no method that anybody calls.
            if not any(
                mark.startswith(("field_validator", "model_validator", "model_serializer")) for mark in marks
            ):
                yield name, f"{kind + ' ' if kind else ''}{name}{_signature(node)}"
        case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value) if name[0] != "_":
            default = f" = {ast.unparse(value)}" if value is not None else ""
            yield name, f"{name}: {ast.unparse(annotation)}{default}"


def _signature(node: ast.FunctionDef) -> str:
    returns = f" -> {ast.unparse(node.returns)}" if node.returns is not None else ""
    return f"({ast.unparse(node.args)}){returns}"


def commands() -> Iterator[str]:
    """Yield a line for each command of ``sr-data``: its arguments, then its options."""
    import typer

    from sr_datasets.cli.main import app

    yield from _commands(typer.main.get_command(app), "sr-data")


def _commands(command: Any, path: str) -> Iterator[str]:
    for name in sorted(getattr(command, "commands", {})):
        yield from _commands(command.commands[name], f"{path} {name}")
    if not getattr(command, "commands", {}):
        words = []
        for parameter in command.params:
            if parameter.param_type_name == "argument":
                words.append(parameter.name.upper() if parameter.required else f"[{parameter.name.upper()}]")
            elif parameter.name != "help":
                names = "|".join([*parameter.opts, *parameter.secondary_opts])
                words.append(f"{names}*" if parameter.multiple else names)
        yield f"command {path} {' '.join(words)}".rstrip()


if __name__ == "__main__":
    text = listing(public_names(PAGE.read_text(encoding="utf-8")))
    LISTING.write_text(text, encoding="utf-8")
    print(f"{LISTING.relative_to(ROOT)}: {text.count(chr(10))} lines")
