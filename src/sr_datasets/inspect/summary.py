"""What a shard set says of itself, and whether its files are whole."""

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sr_datasets.errors import ShardError
from sr_datasets.remotes import is_address
from sr_datasets.shards.remote import RemoteSet
from sr_datasets.shards.schema import SHAPE_COLUMNS
from sr_datasets.shards.sets import DATA_DIR, INDEX_NAME, SetInfo, read_set
from sr_datasets.shards.verify import verify_set
from sr_datasets.terms import Obligation, licenses_of, obligations

HASH_BELOW_BYTES = 2 << 30
"""Sets smaller than this are hashed whole at every look: it takes seconds."""


@dataclass(frozen=True, slots=True)
class SetReport:
    """What there is to say of a set."""

    path: str
    """The set's folder, or its address."""
    info: SetInfo
    """Its own description."""
    pairs: dict[str, int]
    """Clips of each split."""
    sources: dict[str, dict[str, int]]
    """Clips (``pairs``) and ``rows`` of each source."""
    shapes: list[dict[str, Any]]
    """Shapes and depth of ``lr`` and ``hr``, with the number of rows that have them."""
    obligations: tuple[Obligation, ...]
    """What the licences of its clips ask for, as the catalog has them now."""
    checked: str
    """``sha256`` when every shard was hashed, else ``size``."""

    @property
    def size_bytes(self) -> int:
        """Bytes of all shards."""
        return sum(shard.size_bytes for shard in self.info.shards)

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return {
            "path": self.path,
            "recipe": self.info.recipe,
            "rows": self.info.rows,
            "pairs": sum(self.pairs.values()),
            "shards": len(self.info.shards),
            "size_bytes": self.size_bytes,
            "content_digest": self.info.content_digest,
            "splits": {
                split: {"pairs": self.pairs[split], "rows": rows, "shards": self._num_shards(split)}
                for split, rows in self.info.splits.items()
            },
            "sources": self.sources,
            "shapes": self.shapes,
            "obligations": [one.to_json() for one in self.obligations],
            "checked": self.checked,
            "packages": self.info.packages,
        }

    def to_text(self) -> str:
        """Return the report as text of at most 80 columns where names allow it."""
        recipe = self.info.recipe
        degradation = recipe["degradation"]
        settings = ", ".join(
            # Of the steps of a chain, their names: sr-data.json has the rest.
            f"{key} {' > '.join(step['kind'] for step in value) if key == 'steps' else value}"
            for key, value in degradation.items()
            if key != "kind"
        )
        sampling = ", ".join(
            f"{key} {value}"
            for key, value in recipe["sampling"].items()
            if key != "kind" and value not in _USUAL.get(key, (None,))
        )
        facts = {
            "recipe": f"{recipe['id']}: {recipe['title']}",
            "scale, colour": f"x{recipe['scale']}, {recipe['color']}",
            "degradation": f"{degradation['kind']}{f' ({settings})' if settings else ''}",
            "sampling": f"{recipe['sampling']['kind']} ({sampling})",
            "rows": f"{self.info.rows} of {sum(self.pairs.values())} pairs",
            "shards": f"{len(self.info.shards)}, {self.size_bytes / 1e6:.1f} MB",
            "content digest": self.info.content_digest,
            "checked": _CHECKED[self.checked],
        }
        lines = [
            *(
                textwrap.fill(f"{name:16}{value}", 80, subsequent_indent=" " * 16, break_long_words=False)
                for name, value in facts.items()
            ),
            "",
            f"{'split':16}{'pairs':>8}{'rows':>10}{'shards':>8}",
        ]
        for split, rows in self.info.splits.items():
            lines.append(f"{split:16}{self.pairs[split]:>8}{rows:>10}{self._num_shards(split):>8}")
        lines += ["", f"{'source':16}{'pairs':>8}{'rows':>10}"]
        for source, counts in self.sources.items():
            lines.append(f"{source:16}{counts['pairs']:>8}{counts['rows']:>10}")
        lines += ["", "patches (channels, height, width)"]
        for shape in self.shapes:
            lines.append(
                f"  LR {tuple(shape['lr'])}, HR {tuple(shape['hr'])}, {shape['dtype']}, "
                f"{shape['bit_depth']} bits: {shape['rows']} rows"
            )
        if not self.obligations:
            lines += ["", "what its clips oblige to: nothing that their licences say"]
        else:
            lines += ["", "what its clips oblige to (sr-data show SOURCE has the licences)"]
            lines += [
                textwrap.fill(f"  {one}", 80, subsequent_indent="    ", break_long_words=False)
                for one in self.obligations
            ]
        return "\n".join(lines)

    def _num_shards(self, split: str) -> int:
        return sum(shard.split == split for shard in self.info.shards)


_USUAL: dict[str, tuple[object, ...]] = {
    "margin": (0,),
    "avoid": (None, []),
    "cut_detector": ("own",),
    "window": (1,),
    "step": (1,),
    "hr_frames": ("centre",),
    "overlap": ("allow",),
    "min_distance": (0,),
    "near_frames": (0,),
}
"""Settings of a sampling that say nothing: what most sets have."""

_CHECKED = {
    "sha256": "every shard has the SHA-256 that sr-data.json names",
    "size": "sizes only; hash every shard with --verify",
}


def inspect_set(path: Path | str, *, verify: bool = False) -> SetReport:
    """Look at a set: its description, its index, and whether every shard is whole.

    Shards of sets under 2 GiB are always hashed; those of larger ones when ``verify`` says so. Of a set behind an
    address, sizes are looked at, and shards are read and hashed when ``verify`` says so.

    Args:
        path: The set's folder, or an address such as ``s3://bucket/set``.
        verify: Whether to hash every shard.

    Raises:
        ShardError: There is no set, or files of it are missing, truncated or altered; the message names each with what
            is wrong.
        RemoteError: The place cannot be reached or refuses.
    """
    if is_address(path):
        remote = RemoteSet(str(path))
        folder, hashed = remote.folder, verify
        problems = remote.verify() if hashed else remote.wrong_sizes()
        shown = str(remote)
    else:
        folder, shown = Path(path), str(path)
        hashed = verify or sum(shard.size_bytes for shard in read_set(folder).shards) < HASH_BELOW_BYTES
        problems = verify_set(folder) if hashed else _wrong_sizes(folder, read_set(folder))
    if problems:
        more = f"\n  and {len(problems) - 10} more" if len(problems) > 10 else ""
        listed = "\n  ".join(problems[:10])
        raise ShardError(
            f"{shown} is damaged:\n  {listed}{more}\nRun the same sr-data build-pairs again, or copy these files again."
        )
    pairs, sources, shapes, clips = _summarise(folder / INDEX_NAME)
    duties = tuple(obligations(licenses_of(clips)))
    return SetReport(shown, read_set(folder), pairs, sources, shapes, duties, "sha256" if hashed else "size")


def _wrong_sizes(path: Path, info: SetInfo) -> list[str]:
    problems = []
    for shard in info.shards:
        file = path / DATA_DIR / shard.name
        found = file.stat().st_size if file.is_file() else None
        if found is None:
            problems.append(f"{file}: the file is missing")
        elif found != shard.size_bytes:
            problems.append(f"{file}: has {found} bytes, sr-data.json says {shard.size_bytes}")
    return problems


def _summarise(
    index: Path,
) -> tuple[dict[str, int], dict[str, dict[str, int]], list[dict[str, Any]], list[tuple[str, str]]]:
    import pandas as pd
    import pyarrow as pa

    shape_columns = [name for name in SHAPE_COLUMNS if name != "bit_depth"]
    try:
        rows = pd.read_parquet(index, columns=["source", "clip", "split", "bit_depth", *shape_columns])
    except (OSError, pa.ArrowInvalid) as error:
        raise ShardError(f"{index} cannot be read: {error}. Build the set again into this folder.") from error
    clips = rows[["source", "clip", "split"]].drop_duplicates()
    pairs = {
        str(split): int(count) for split, count in clips["split"].value_counts(sort=False).to_dict().items()
    }
    num_rows = rows["source"].value_counts().to_dict()
    sources = {
        str(source): {"pairs": int(count), "rows": int(num_rows[source])}
        for source, count in clips["source"].value_counts(sort=False).to_dict().items()
    }
    shapes = []
    for kind in (
        rows.groupby([*shape_columns, "bit_depth"]).size().reset_index(name="rows").to_dict("records")
    ):
        lr = [int(kind[name]) for name in ("num_frames", "channels", "lr_height", "lr_width")]
        hr = [int(kind[name]) for name in ("hr_num_frames", "channels", "hr_height", "hr_width")]
        shapes.append(
            {
                "lr": lr if lr[0] > 1 else lr[1:],
                "hr": hr if hr[0] > 1 else hr[1:],
                "dtype": "uint16" if kind["bit_depth"] > 8 else "uint8",
                "bit_depth": int(kind["bit_depth"]),
                "rows": int(kind["rows"]),
            }
        )
    names = sorted(
        {(str(source), str(clip)) for source, clip in zip(clips["source"], clips["clip"], strict=True)}
    )
    return pairs, sources, shapes, names
