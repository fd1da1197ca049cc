"""Conditions on rows: ``source = 'xiph' and (top < 8 or not clip like 'akiyo%')``.

The small part of SQL that picks rows: ``=``, ``!=`` (``<>``), ``<``, ``<=``, ``>``, ``>=``, ``in (...)``, ``not in``,
``like``, ``not like``, ``and``, ``or``, ``not`` and parentheses. A column stands left, a value right: a text in single
quotes (a quote inside is doubled), a number, ``true`` or ``false``. In ``like``, ``%`` stands for any characters and
``_`` for one. Words are read in any case; a column may stand in double quotes. A missing value (null) fits nothing.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sr_datasets.errors import SelectionError, nearest_names

Value: TypeAlias = str | int | float | bool

_TOKEN = re.compile(
    r"""\s*(?:(?P<text>'(?:[^']|'')*')
    |(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    |(?P<sign><=|>=|!=|<>|==|=|<|>|\(|\)|,)
    |(?P<quoted>"(?:[^"]|"")+")
    |(?P<word>[^\W\d]\w*))""",
    re.VERBOSE,
)
_KEYWORDS: Final = frozenset({"and", "or", "not", "in", "like", "true", "false"})
_COMPARE: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "=": pc.equal,
    "==": pc.equal,
    "!=": pc.not_equal,
    "<>": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}
_MAX_DEPTH = 100


@dataclass(frozen=True, slots=True)
class _Compare:
    column: str
    sign: str
    value: Value


@dataclass(frozen=True, slots=True)
class _In:
    column: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class _Like:
    column: str
    pattern: str


@dataclass(frozen=True, slots=True)
class _Not:
    part: "_Node"


@dataclass(frozen=True, slots=True)
class _All:
    parts: tuple["_Node", ...]


@dataclass(frozen=True, slots=True)
class _Any:
    parts: tuple["_Node", ...]


_Node: TypeAlias = _Compare | _In | _Like | _Not | _All | _Any


@dataclass(frozen=True, slots=True)
class Where:
    """A condition on rows, read and ready."""

    text: str
    """As it was written."""
    tree: _Node
    """What it says."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it asks for, each once, in order of appearance."""
        return tuple(dict.fromkeys(leaf.column for leaf in _leaves(self.tree)))

    def check_columns(self, known: Iterable[str]) -> None:
        """Make sure that there are all columns that it asks for.

        Raises:
            SelectionError: There is no such column; the message has the nearest names and lists what there is.
        """
        names = list(known)
        for name in self.columns:
            if name not in names:
                raise SelectionError(
                    f"where {self.text!r}: there is no column {name!r}.{nearest_names(name, names)} "
                    f"Columns: {', '.join(names)}.{_quote_hint(name, self.text)}"
                )

    def mask(self, table: pa.Table) -> npt.NDArray[np.bool_]:
        """Tell which rows of a table fit, ``(rows,)``.

        Args:
            table: At least the columns that the condition asks for.

        Raises:
            SelectionError: A column is not there, or is compared with what it cannot be compared with.
        """
        self.check_columns(table.column_names)
        fits = pc.fill_null(_evaluate(self.tree, table, self.text), False)
        bits = fits.combine_chunks() if isinstance(fits, pa.ChunkedArray) else fits
        return np.from_dlpack(pc.cast(bits, pa.uint8())).astype(bool)  # to_numpy() would import pandas


def parse_where(text: str) -> Where:
    """Read a condition on rows.

    Raises:
        SelectionError: It does not follow the grammar; the message shows where.

    Example:
        >>> parse_where("source = 'xiph' and top >= 8").columns
        ('source', 'top')
    """
    return Where(text, _Parser(text).whole())


class _Parser:
    """Recursive descent; ``or`` binds least, then ``and``, then ``not``."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[tuple[str, str, int]] = []
        at = 0
        while text[at:].strip():
            found = _TOKEN.match(text, at)
            if found is None:
                start = at + len(text[at:]) - len(text[at:].lstrip())
                raise self._error(_bad_start(text[start:]), start)
            kind = str(found.lastgroup)
            word = found.group(kind)
            start = found.start(kind)
            if kind == "word" and word.lower() in _KEYWORDS:
                kind, word = "sign", word.lower()
            self._tokens.append((kind, word, start))
            at = found.end()
        self._at = 0
        self._depth = 0

    def whole(self) -> _Node:
        tree = self._either()
        if self._at < len(self._tokens):
            raise self._wrong("and, or, or the end")
        return tree

    def _either(self) -> _Node:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise SelectionError(f"where: more than {_MAX_DEPTH} parentheses or nots inside each other")
        parts = [self._both()]
        while self._took("or"):
            parts.append(self._both())
        self._depth -= 1
        return parts[0] if len(parts) == 1 else _Any(tuple(parts))

    def _both(self) -> _Node:
        parts = [self._negated()]
        while self._took("and"):
            parts.append(self._negated())
        return parts[0] if len(parts) == 1 else _All(tuple(parts))

    def _negated(self) -> _Node:
        turned = False
        while self._took("not"):
            turned = not turned
        if self._took("("):
            part = self._either()
            self._need(")")
        else:
            part = self._predicate()
        return _Not(part) if turned else part

    def _predicate(self) -> _Node:
        kind, word, _ = self._peek()
        if kind not in ("word", "quoted"):
            raise self._wrong("a column")
        self._at += 1
        column = word[1:-1].replace('""', '"') if kind == "quoted" else word
        kind, sign, _ = self._peek()
        if kind == "sign" and sign in _COMPARE:
            self._at += 1
            return _Compare(column, sign, self._value())
        turned = self._took("not")
        part: _Node
        if self._took("in"):
            self._need("(")
            values = [self._value()]
            while self._took(","):
                values.append(self._value())
            self._need(")")
            part = _In(column, tuple(values))
        elif self._took("like"):
            pattern = self._value()
            if not isinstance(pattern, str):
                self._at -= 1
                raise self._wrong("a text in single quotes")
            part = _Like(column, pattern)
        else:
            raise self._wrong("in or like" if turned else "=, !=, <, <=, >, >=, in, like or not")
        return _Not(part) if turned else part

    def _value(self) -> Value:
        kind, word, _ = self._peek()
        self._at += 1
        if kind == "text":
            return word[1:-1].replace("''", "'")
        if kind == "number":
            return int(word) if re.fullmatch(r"[+-]?\d+", word) else float(word)
        if kind == "sign" and word in ("true", "false"):
            return word == "true"
        self._at -= 1
        hint = (
            f" (a text stands in single quotes: '{word.strip(chr(34))}')"
            if kind in ("word", "quoted")
            else ""
        )
        raise self._wrong(f"a value{hint}")

    def _peek(self) -> tuple[str, str, int]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "", len(self._text))

    def _took(self, sign: str) -> bool:
        if self._peek()[:2] != ("sign", sign):
            return False
        self._at += 1
        return True

    def _need(self, sign: str) -> None:
        if not self._took(sign):
            raise self._wrong(sign)

    def _wrong(self, expected: str) -> SelectionError:
        kind, word, at = self._peek()
        found = "the end" if kind == "end" else f"{word!r}" if "'" not in word else word
        return self._error(f"expected {expected}, found {found}", at)

    def _error(self, what: str, at: int) -> SelectionError:
        return SelectionError(f"where {self._text!r}: {what}, at character {at + 1}.")


def _bad_start(rest: str) -> str:
    if rest[0] in "'\"":
        return f"a quote {rest[0]} is not closed"
    if rest[0].isdigit() or rest[0] in "+-.":
        return f"{rest.split()[0]!r} is no number"
    return f"{rest[0]!r} means nothing here"


def _quote_hint(name: str, text: str) -> str:
    return f" A text stands in single quotes: '{name}'." if f'"{name}"' in text else ""


def _leaves(tree: _Node) -> Iterator[_Compare | _In | _Like]:
    match tree:
        case _Not(part):
            yield from _leaves(part)
        case _All(parts) | _Any(parts):
            for part in parts:
                yield from _leaves(part)
        case _:
            yield tree


def _evaluate(tree: _Node, table: pa.Table, text: str) -> Any:
    """Return what is true of each row, with nulls by SQL's (Kleene's) rules."""
    match tree:
        case _Not(part):
            return pc.invert(_evaluate(part, table, text))
        case _All(parts) | _Any(parts):
            join = pc.and_kleene if isinstance(tree, _All) else pc.or_kleene
            found = _evaluate(parts[0], table, text)
            for part in parts[1:]:
                found = join(found, _evaluate(part, table, text))
            return found
        case _Compare(column, sign, value):
            cells = _cells(table, column, (value,), text)
            return _COMPARE[sign](cells, _scalar(value, cells.type))
        case _In(column, values):
            cells = _cells(table, column, values, text)
            found = pc.equal(cells, _scalar(values[0], cells.type))
            for value in values[1:]:
                found = pc.or_kleene(found, pc.equal(cells, _scalar(value, cells.type)))
            return found
        case _Like(column, pattern):
            return pc.match_like(_cells(table, column, (pattern,), text), pattern)


def _scalar(value: Value, kind: pa.DataType) -> Any:
    """Return a value to compare with; whole numbers beyond a column's type as they are, not wrapped."""
    if isinstance(value, bool | str):
        return pa.scalar(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return pa.scalar(float(value))
    return pa.scalar(
        value, pa.float64() if pa.types.is_floating(kind) or isinstance(value, float) else pa.int64()
    )


def _cells(table: pa.Table, column: str, values: tuple[Value, ...], text: str) -> pa.ChunkedArray:
    """Return a column as text, numbers or truth values, if that is what the values are.

    Raises:
        SelectionError: It is something else.
    """
    cells = table.column(column)
    if pa.types.is_dictionary(cells.type):
        cells = cells.cast(cells.type.value_type)
    kind = cells.type
    wanted: tuple[type, ...]
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        found, wanted, advice = "text", (str,), "put the value in single quotes"
    elif pa.types.is_boolean(kind):
        found, wanted, advice = "true or false", (bool,), "compare it with true or false"
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
        found, wanted, advice = "numbers", (int, float), "compare it with a number, without quotes"
    else:
        raise SelectionError(f"where {text!r}: column {column!r} holds {kind}, which cannot be compared.")
    for value in values:
        if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
            shown = str(value).lower() if isinstance(value, bool) else repr(value)
            raise SelectionError(
                f"where {text!r}: column {column!r} holds {found} and cannot be compared with {shown}: {advice}."
            )
    return cells
