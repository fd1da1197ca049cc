"""What differs between two sets, as a value, as text and as JSON."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sr_datasets.inspect.explaining import MISSING, sentence_of, shortened
from sr_datasets.shards.setplace import SetPlace


@dataclass(frozen=True, slots=True)
class PixelDifference:
    """How the HR, or the LR, of rows that both sets have differs."""

    rows: int
    """Rows with any other sample."""
    compared: int
    """Rows of the same shape in both."""
    samples: int
    """Samples that differ."""
    of_samples: int
    """Samples of the rows that differ."""
    largest: int
    """Largest absolute difference of two samples."""
    psnr: float
    """dB between both over the rows that differ; infinite when none does."""
    first: str
    """Id of the first row that differs; empty when none does."""

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "rows": self.rows,
            "compared": self.compared,
            "samples": self.samples,
            "of_samples": self.of_samples,
            "largest": self.largest,
            "psnr": None if math.isinf(self.psnr) else round(self.psnr, 3),
            "first": self.first,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """What differs between two sets, A and B."""

    paths: tuple[SetPlace, SetPlace]
    """Their folders."""
    digests: tuple[str, str]
    """Their content digests."""
    num_rows: tuple[int, int]
    """Rows of each."""
    recipe: dict[str, tuple[object, object]]
    """Fields of the recipe that differ, by path such as ``degradation.kind``."""
    clips: dict[str, tuple[str, str]]
    """Clips that differ: ``source/clip``, and what each set has: a split and digest, or nothing."""
    only: tuple[tuple[str, ...], tuple[str, ...]]
    """Ids of rows that only A has, and only B."""
    both: int
    """Rows that both have."""
    aspects: dict[str, tuple[int, str]]
    """Of those, how many differ in an aspect (``split``, ``place``, ``colour`` ...), and the first one's id."""
    examples: dict[str, tuple[object, object]]
    """For each aspect what A and B have in the first row."""
    hr: PixelDifference
    """How HR differs."""
    lr: PixelDifference
    """How LR differs."""
    packages: dict[str, tuple[str, str]]
    """Packages of other versions."""

    @property
    def equal(self) -> bool:
        """Whether both have the same rows with the same facts and the same pixels, whatever made them."""
        return not (any(self.only) or self.aspects or self.hr.rows or self.lr.rows)

    @property
    def sentence(self) -> str:
        """Why a PSNR may have changed, in one plain sentence."""
        return sentence_of(self)

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as plain JSON values."""
        return {
            "paths": [str(path) for path in self.paths],
            "content_digests": list(self.digests),
            "rows": list(self.num_rows),
            "equal": self.equal,
            "sentence": self.sentence,
            "recipe": {name: list(values) for name, values in self.recipe.items()},
            "clips": {name: list(values) for name, values in self.clips.items()},
            "only_in_a": list(self.only[0]),
            "only_in_b": list(self.only[1]),
            "in_both": self.both,
            "differ": {
                name: {
                    "rows": count,
                    "first": first,
                    "a": self.examples[name][0],
                    "b": self.examples[name][1],
                }
                for name, (count, first) in self.aspects.items()
            },
            "hr": self.hr.to_json(),
            "lr": self.lr.to_json(),
            "packages": {name: list(values) for name, values in self.packages.items()},
        }

    def to_text(self) -> str:
        """Return the comparison as text of at most 80 columns where names allow it."""
        lines = [
            _wrapped("A", f"{self.paths[0]}: {self.num_rows[0]} rows, content {self.digests[0][:16]}"),
            _wrapped("B", f"{self.paths[1]}: {self.num_rows[1]} rows, content {self.digests[1][:16]}"),
        ]
        lines += _section(
            "recipe", [f"{name}: {shortened(a)} -> {shortened(b)}" for name, (a, b) in self.recipe.items()]
        )
        lines += _section(
            "clips", [f"{name}: {a or MISSING} -> {b or MISSING}" for name, (a, b) in self.clips.items()]
        )
        rows = [f"{self.both} in both, {len(self.only[0])} only in A, {len(self.only[1])} only in B"]
        for side, ids in zip("AB", self.only, strict=True):
            if ids:
                rows.append(f"only in {side}: {', '.join(ids[:3])}{' ...' if len(ids) > 3 else ''}")
        for name, (count, first) in self.aspects.items():
            a, b = self.examples[name]
            rows.append(f"other {name} in {count} rows, such as {first}: {shortened(a)} -> {shortened(b)}")
        lines += _section("rows", rows)
        lines += _section(
            "pixels", [f"{name}: {_pixels(found)}" for name, found in (("HR", self.hr), ("LR", self.lr))]
        )
        lines += _section("packages", [f"{name}: {a} -> {b}" for name, (a, b) in self.packages.items()])
        return "\n".join([*lines, "", textwrap.fill(self.sentence, 80, break_long_words=False)])


def _wrapped(label: str, text: str) -> str:
    return textwrap.fill(
        f"{label:10}{text}", 80, subsequent_indent=" " * 12, break_long_words=False, break_on_hyphens=False
    )


def _section(label: str, facts: Sequence[str], *, most: int = 12) -> list[str]:
    if not facts:
        return [_wrapped(label, "no difference")]
    shown = list(facts[:most])
    if len(facts) > most:
        shown.append(f"and {len(facts) - most} more (--json shows all)")
    return [_wrapped(label if not number else "", fact) for number, fact in enumerate(shown)]


def _pixels(found: PixelDifference) -> str:
    if not found.compared:
        return "nothing to compare: no row of one shape in both"
    if not found.rows:
        return f"equal in all {found.compared} rows"
    share = found.samples / found.of_samples
    return (
        f"{found.rows} of {found.compared} rows differ, in {found.samples} samples of theirs ({share:.1%}), by at most "
        f"{found.largest}; PSNR between them {found.psnr:.2f} dB; first {found.first}"
    )
