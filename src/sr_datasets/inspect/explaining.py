"""In one sentence: why a PSNR may have changed from one set to another."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sr_datasets.inspect.difference import Comparison

MISSING: Final = "(not there)"
"""What stands in place of a value that one set does not have."""

_WORDS: Final = ("id", "title", "description", "format")
"""Fields of a recipe that decide no pixel."""


def shortened(value: object) -> str:
    """Return a JSON value as text for a line: of what is longer than 120 characters the beginning."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 120 else text[:117] + "..."


def sentence_of(found: "Comparison") -> str:
    """Name the strongest reason first: other rows, then other HR, then other LR; what made them where it is known."""
    causes = {name: values for name, values in found.recipe.items() if name.split(".")[0] not in _WORDS}
    if found.equal:
        other = " (recipe or packages differ, yet nothing came of it)" if causes or found.packages else ""
        return (
            f"Both sets hold the same rows with the same pixels{other}: if your PSNR changed, the reason lies outside "
            "of them, in training, in its seed or in the protocol of the measurement."
        )
    if not found.both:
        return f"The sets share no row{_because(causes)}: a PSNR of one says nothing about the other."
    if "shape" in found.aspects:
        one, two = (_words(side) for side in found.examples["shape"])
        return (
            f"Your PSNR changed since patches are of another kind ({one} in A, {two} in B){_because(causes)}."
        )
    if "split" in found.aspects:
        count, _ = found.aspects["split"]
        return (
            f"Your PSNR changed since {count} rows lie in another split{_because(causes, 'split', 'seed')}: training "
            "and measuring saw other pictures."
        )
    changed = [name for name, (one, two) in found.clips.items() if one and two]
    if found.hr.rows and changed:
        return (
            f"Your PSNR changed since {len(changed)} clip{'' if len(changed) == 1 else 's'} ({changed[0]}"
            f"{' and others' if len(changed) > 1 else ''}) had other bytes: HR itself differs in {found.hr.rows} rows."
        )
    if "place" in found.aspects:
        count, _ = found.aspects["place"]
        return (
            f"Your PSNR changed since {count} rows were cut elsewhere, at another frame or position"
            f"{_because(causes, 'sampling', 'seed')}."
        )
    if found.hr.rows:
        return (
            f"Your PSNR changed since HR itself differs in {found.hr.rows} of {found.both} rows (PSNR between both "
            f"{found.hr.psnr:.1f} dB){_because(causes, 'color', 'rgb_from_yuv', 'hr', packages=found.packages)}: the "
            "target is another one."
        )
    if found.lr.rows:
        return (
            f"Your PSNR changed since the same HR got another LR in {found.lr.rows} of {found.both} rows "
            f"({found.lr.psnr:.1f} dB between them){_because(causes, 'degradation', 'seed', packages=found.packages)}: "
            "a network that learnt one is measured on the other."
        )
    if any(found.only):
        gone, new = map(len, found.only)
        return (
            f"The {found.both} rows of both sets are the same; A has {gone} more that B lacks, B {new} that A lacks"
            f"{_because(causes)}: your PSNR may have changed since it is the mean of other rows, or learnt from them."
        )
    names = ", ".join(found.aspects)
    return (
        f"Pixels are the same and only what rows say of themselves differs ({names}): your PSNR did not change because "
        "of the sets."
    )


def _words(side: object) -> str:
    return (
        ", ".join(f"{name} {value}" for name, value in side.items()) if isinstance(side, dict) else str(side)
    )


def _because(
    causes: Mapping[str, tuple[object, object]],
    *rooms: str,
    packages: Mapping[str, tuple[str, str]] | None = None,
) -> str:
    """Say which recipe fields account for it: those of the rooms that it depends on first."""
    likely = [name for name in causes if not rooms or name.split(".")[0] in rooms]
    kinds = {name.split(".")[0] for name in likely if name.endswith(".kind")}
    likely = [name for name in likely if name.endswith(".kind") or name.split(".")[0] not in kinds]
    # A field that one set does not have says little: it may be younger than the set.
    likely.sort(
        key=lambda name: (
            MISSING in causes[name],
            rooms.index(name.split(".")[0]) if rooms else 0,
        )
    )
    if likely:
        told = [
            f"{name} is {shortened(causes[name][0])} in A and {shortened(causes[name][1])} in B"
            for name in likely[:2]
        ]
        return f", because {' and '.join(told)}"
    if packages:
        name, (one, two) = next(iter(packages.items()))
        return f", though the recipe says the same: {name} was {one} and is {two}"
    return ""
