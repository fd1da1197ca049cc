"""YAML that says one thing only, with the line of everything in it.

A stricter reading than PyYAML's: a key stands once in a mapping, only ``true`` and ``false`` are
truth values (``no`` and ``on`` are words), only plain decimals are numbers (``1e3``, ``0x10``, ``1:30``
and ``007`` are text), there are no dates, no aliases and no empty values. What does not fit a model
comes back as one list of problems, each with its line.
"""

import io
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from sr_datasets.errors import SrDataError, nearest_names
from sr_datasets.models import Model

if TYPE_CHECKING:
    from yaml import SafeLoader as _BaseLoader
else:
    # libyaml's parser is 12 times as fast; wheels of PyYAML have it, some distributions do not.
    _BaseLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Loc = tuple[str | int, ...]
"""Where a value stands: keys and positions from the top."""
ModelT = TypeVar("ModelT", bound=Model)

_TAG = "tag:yaml.org,2002:"
_MOST_SHOWN = 60
_MOST_PROBLEMS = 50
_DEEPEST = 40
_LARGEST = 8_000_000


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a file."""

    loc: Loc
    """Where it stands; for a field that is missing, where it should."""
    text: str
    """What was found, what was expected."""
    line: int | None = None
    """Its line, counted from 1, when ``loc`` does not tell it."""


class _Loader(_BaseLoader):
    """PyYAML's safe loader with fewer words that are not text."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  PyYAML's own
    _depth = 0

    # PyYAML calls these two around each node, for a feature that is not used here. libyaml's composer
    # recurses without looking at the stack, and would end the process.
    def descend_resolver(self, current_node: object, current_index: object) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise yaml.YAMLError(f"nested more than {_DEEPEST} deep")

    def ascend_resolver(self) -> None:
        self._depth -= 1


def _read_as(kind: str, pattern: str, first: str) -> None:
    _Loader.add_implicit_resolver(_TAG + kind, re.compile(pattern), list(first))


_read_as("bool", r"^(?:true|false)$", "tf")
# 18 digits fit 64 bits. A checksum of decimal digits only is longer, and stays text.
_read_as("int", r"^-?(?:0|[1-9][0-9]{0,17})$", "-0123456789")
_read_as("float", r"^-?(?:0|[1-9][0-9]{0,17})\.[0-9]{1,18}$", "-0123456789")
_Loader.add_implicit_resolver(_TAG + "null", re.compile(r"^(?:~|null|)$"), ["~", "n", ""])


class YamlFile:
    """One YAML document: plain values, and the line of each.

    Attributes:
        path: The file, as messages name it.
        data: Its top value, of dict, list, str, int, float and bool.
        problems: What was wrong with the YAML itself.
    """

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.data: object = None
        self.problems: list[Problem] = []
        self._unread: set[Loc] = set()
        self._root: yaml.Node | None = None
        self._seen: set[int] = set()
        try:
            self._root = _Loader(text).get_single_node()
            if self._root is None:
                self.problems.append(
                    Problem((), "found an empty file, expected fields such as `format: 1`", 1)
                )
            else:
                self.data = self._value(self._root, ())
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            what = error.problem or error.context or "not YAML"
            self.problems.append(Problem((), f"not YAML: {what}", mark.line + 1 if mark else 1))
        except yaml.YAMLError as error:
            self.problems.append(Problem((), f"not YAML: {str(error).splitlines()[0]}", 1))

    def _value(self, node: yaml.Node, loc: Loc, line: int = 1) -> object:
        if id(node) in self._seen:  # The node stands where its anchor is; the alias, on the line of its key.
            self._report(loc, "found an alias (*name), expected the value itself: write it out", line)
            return ""
        self._seen.add(id(node))
        line = node.start_mark.line + 1
        if not node.tag.startswith(_TAG):
            self._report(loc, f"found the tag {node.tag}, expected a plain value", line)
            return ""
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, loc)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*loc, index), line) for index, item in enumerate(node.value)]
        text = str(node.value)
        match node.tag.removeprefix(_TAG):
            case "str":
                return text
            case "bool" if text in ("true", "false"):
                return text == "true"
            case "int" if text.removeprefix("-").isdecimal():
                return int(text)
            case "float" if re.fullmatch(r"-?[0-9]{1,18}\.[0-9]{1,18}", text):
                return float(text)
            case "null":
                self._report(
                    loc, "found nothing, expected a value: leave the line out when it is not known", line
                )
            case kind:
                self._report(loc, f"found !!{kind} {_shown(text)}, expected a plain value", line)
        return ""

    def _mapping(self, node: yaml.MappingNode, loc: Loc) -> dict[str, object]:
        values: dict[str, object] = {}
        lines: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode) or key.tag != f"{_TAG}str":
                shown = _shown(key.value) if isinstance(key, yaml.ScalarNode) else "a list or mapping"
                self._report(loc, f"found the key {shown}, expected a word in quotes", line)
                continue
            name = str(key.value)
            if name in lines:
                self.problems.append(
                    Problem((*loc, name), f"found a second time, first on line {lines[name]}", line)
                )
                continue
            lines[name] = line
            values[name] = self._value(value, (*loc, name), line)
        return values

    def _report(self, loc: Loc, text: str, line: int) -> None:
        self._unread.add(loc)
        self.problems.append(Problem(loc, text, line))

    def was_read(self, loc: Loc) -> bool:
        """Tell whether ``data`` has what the file says there, not a stand-in for what is reported already."""
        return loc not in self._unread

    def locate(self, loc: Loc) -> tuple[int, str]:
        r"""Return the line and the written path of what stands at ``loc``.

        Parts that the file does not have (a missing field, the name of a union's member) are kept
        at the end of the path and left out within it.

        Example:
            >>> file = YamlFile(Path("x.yaml"), "clips:\n- id: a\n  width: no\n")
            >>> file.locate(("clips", 0, "width"))
            (3, 'clips[0].width')
            >>> file.locate(("clips", 0, "height"))
            (2, 'clips[0].height')
        """
        node = self._root
        line = node.start_mark.line + 1 if node else 1
        path = ""
        for position, part in enumerate(loc):
            if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                line = node.start_mark.line + 1
                path += f"[{part}]"
                continue
            if isinstance(node, yaml.MappingNode):
                # `width height: SEEN ...` gives the evidence of two facts on one line.
                fits = [(k, v) for k, v in node.value if k.value == part] or [
                    (k, v) for k, v in node.value if str(part) in str(k.value).split()
                ]
                if fits:
                    line = fits[0][0].start_mark.line + 1
                    node = fits[0][1]
                elif position < len(loc) - 1:
                    continue
                path += f".{part}" if path else str(part)
        return line, path or "the file"


def read_yaml_text(path: Path) -> str:
    """Return the text of a file, if it is a plain one of at most 8 MB: a pipe or a device would never end.

    Raises:
        ValueError: It is none, or larger, or not UTF-8.
    """
    if not path.is_file():
        path.stat()  # says what is there instead, if anything is
        raise ValueError("is not a plain file, expected YAML text")
    with path.open("rb") as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise ValueError(f"is larger than {_LARGEST // 1_000_000} MB, expected YAML text")
    return io.TextIOWrapper(io.BytesIO(data), encoding="utf-8").read()


def load_model(
    path: Path,
    model: type[ModelT],
    error: type[SrDataError],
    *,
    check: Callable[[dict[str, object]], Iterable[Problem]],
) -> ModelT:
    """Read one model from a YAML file, or say everything that is wrong with it.

    Args:
        path: The file.
        model: What it must say.
        error: The exception to raise.
        check: Rules that go beyond one field. It is given the plain values, also when they do not fit the
            model, so that its problems come together with the others.

    Raises:
        SrDataError: As ``error``; one line per problem: ``file:line: field: found, expected``.
    """
    try:
        text = read_yaml_text(path)
    except ValueError as wrong:
        if not isinstance(wrong, UnicodeDecodeError):
            raise error(f"{path}: {wrong}") from None
        raise error(
            f"{path}:1: found bytes that are not UTF-8 ({wrong.reason}), expected YAML text"
        ) from None
    except OSError as wrong:
        raise error(f"{path}: cannot be read: {wrong.strerror}") from wrong
    file = YamlFile(path, text)
    problems = list(file.problems)
    made: ModelT | None = None
    if isinstance(file.data, dict):
        try:
            # Through JSON, pydantic's strict mode takes lists for tuples, but neither "3" nor true for 3.
            made = model.model_validate_json(json.dumps(file.data), strict=True)
        except ValidationError as wrong:
            problems += [
                Problem(_written_loc(detail), _explain(detail, model))
                for detail in wrong.errors(include_url=False)
                if file.was_read(detail["loc"])
            ]
        problems += check(file.data)
    elif not problems:
        problems.append(Problem((), f"found {_shown(file.data)}, expected fields such as `format: 1`", 1))
    if made is None or problems:
        lines = []
        for problem in problems:
            line, where = file.locate(problem.loc)
            line = problem.line or line
            lines.append((line, f"{path}:{line}: {where}: {problem.text}"))
        lines.sort(key=lambda pair: pair[0])
        found = list(dict.fromkeys(text for _, text in lines))
        if len(found) > _MOST_PROBLEMS:
            rest = len(found) - _MOST_PROBLEMS
            found[_MOST_PROBLEMS:] = [f"{path}: and {rest} more problems. Mend these first."]
        raise error("\n".join(found))
    return made


def _written_loc(detail: ErrorDetails) -> Loc:
    """Return pydantic's place of an error without the kind of a union that it may end with."""
    loc = detail["loc"]
    kind = detail["input"].get("kind") if isinstance(detail["input"], dict) else None
    return loc[:-1] if loc and loc[-1] == kind and detail["type"] != "missing" else loc


def _explain(detail: ErrorDetails, model: type[Model]) -> str:
    """Say in the project's words what pydantic found and expected."""
    context = detail.get("ctx", {})
    found = f"found {_shown(detail['input'])}, expected "
    match detail["type"]:
        case "missing":
            return "found nothing, expected this field"
        case "extra_forbidden":
            name = str(detail["loc"][-1])
            return f"found a field that is not known here.{nearest_names(name, _fields_of(model))}"
        case "value_error":
            return f"found {_shown(detail['input'])}: {context['error']}"
        case "literal_error" | "enum":
            return found + str(context["expected"])
        case "string_pattern_mismatch":
            return found + _PATTERNS.get(str(context["pattern"]), f"text like {context['pattern']}")
        case "union_tag_invalid":
            return f"found the kind '{context['tag']}', expected one of {context['expected_tags']}"
        case "union_tag_not_found":
            return "found no `kind`, expected one"
        case kind if kind in _TYPES:
            return found + _TYPES[kind]
        case _:
            return f"found {_shown(detail['input'])}: {detail['msg'].lower()}"


def _fields_of(model: type[Model]) -> set[str]:
    """Return the names of the fields of a model and of all that it holds."""
    schema = model.model_json_schema()
    parts = [schema, *schema.get("$defs", {}).values()]
    return {name for part in parts for name in part.get("properties", {})}


_TYPES = {
    "string_type": 'text: put it in "quotes" if it looks like a number',
    "int_type": "a whole number in plain digits",
    "float_type": "a number in plain digits",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "fields below it",
    "model_type": "fields below it",
    "model_attributes_type": "fields below it",
}
_PATTERNS = {
    r"^[0-9a-f]{64}$": "64 lower-case hexadecimal digits",
    r"^[0-9a-f]{40}$": "40 lower-case hexadecimal digits",
    r"^[0-9a-f]{32}$": "32 lower-case hexadecimal digits",
    r"^https?://\S+$": "an address that starts with http:// or https://",
    r"^[a-z0-9][a-z0-9-]*$": "lower-case letters, digits and hyphens",
    r"^[a-z][a-z0-9_]*$": "lower-case letters, digits and underscores, a letter first",
    r"^[A-Za-z0-9][A-Za-z0-9._-]*$": "letters, digits, dots, hyphens and underscores",
}


def _shown(value: object) -> str:
    """Return a short form of a value for a message."""
    match value:
        case dict():
            return "fields"
        case list() | tuple():
            return f"a list of {len(value)}"
        case bool():
            return str(value).lower()
        case str():
            short = value if len(value) <= _MOST_SHOWN else f"{value[:_MOST_SHOWN]}..."
            return f"'{short}'"
        case None:
            return "nothing"
        case _:
            return str(value)
