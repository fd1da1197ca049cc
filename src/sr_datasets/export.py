"""A set's patches in the layouts that other trainers read: a tree of PNG, or BasicSR's pair of LMDB."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias
from urllib.parse import quote, unquote

import numpy as np

from sr_datasets.errors import MissingExtraError, SelectionError, ShardError, nearest_names
from sr_datasets.files import disk_errors, locked, move_into_place, partial_name, remove
from sr_datasets.progress import Progress, Silent
from sr_datasets.shards.pictures import png_of_planes
from sr_datasets.shards.reader import ShardReader
from sr_datasets.shards.schema import Pixels, Row
from sr_datasets.shards.sets import DATA_DIR, SetInfo, read_set, require_outside_sets

Target: TypeAlias = Literal["png", "basicsr-lmdb"]
Kind: TypeAlias = Literal["lq", "gt"]

_COMMIT_EVERY = 1000
_COMPRESS_LEVEL = 6
"""What Pillow takes; BasicSR's meta_info.txt names a level, and nothing reads it."""


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export wrote."""

    out_dir: Path
    """The folder."""
    rows: dict[str, int]
    """Rows of each split: patch pairs, or HR patches alone."""
    size_bytes: int
    """Bytes of all pictures."""
    hr_only: bool
    """Whether the set keeps no LR, so that there is ``gt`` alone."""

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return {"rows": self.rows, "size_bytes": self.size_bytes, "hr_only": self.hr_only}


def name_of(sample_id: str) -> str:
    """Return the name of a row's files and LMDB keys: letters, digits, ``_``, ``-``, ``+`` and ``%`` only.

    A slash becomes ``+``, everything else percent and its bytes in hexadecimal: BasicSR takes names without folders, and
    ends an LMDB key at the first dot. ``sample_id_of`` goes back.

    Example:
        >>> name_of("xiph/akiyo_cif/000012"), name_of("vid4/city.v2/000000")
        ('xiph+akiyo_cif+000012', 'vid4+city%2Ev2+000000')
    """
    return "+".join(
        quote(part, safe="").replace(".", "%2E").replace("~", "%7E") for part in sample_id.split("/")
    )


def sample_id_of(name: str) -> str:
    """Return the sample id that a name stands for.

    Example:
        >>> sample_id_of("vid4+city%2Ev2+000000")
        'vid4/city.v2/000000'
    """
    return "/".join(unquote(part) for part in name.split("+"))


def export_set(
    set_dir: Path,
    out_dir: Path,
    *,
    to: Target,
    split: str | None = None,
    progress: Progress | None = None,
) -> ExportReport:
    """Write every patch pair of a set in another layout; the folder appears whole or not at all.

    ``png``: ``lq/NAME.png``, ``gt/NAME.png`` and ``meta_info.txt``. ``basicsr-lmdb``: ``lq.lmdb`` and ``gt.lmdb`` with the
    same keys, as BasicSR's ``PairedImageDataset`` reads them. Rows of several frames are folders (or keys) ``NAME/00000000``
    and on; HR of the centre frame alone has that frame's number. A set without LR (``degradation: none``) gives ``gt`` alone, with
    the halo that its HR has.

    Args:
        set_dir: Folder of the set.
        out_dir: Folder to write; must be new or empty.
        to: The layout.
        split: Write this split, straight into ``out_dir``. All splits, each into its own folder, when left out.
        progress: Where to report, silent by default.

    Raises:
        ShardError: The set is not finished or is damaged, the layout cannot hold its rows, or the folder holds something,
            lies in a set, or is written by another export.
        SelectionError: There is no such split.
        MissingExtraError: lmdb is not installed.
    """
    progress = progress or Silent()
    info = read_set(set_dir)
    if split is not None and split not in info.splits:
        raise SelectionError(
            f"{set_dir} has no split {split!r}.{nearest_names(split, info.splits)} It has: {', '.join(info.splits)}."
        )
    if out_dir == Path() or not out_dir.resolve().name:
        raise ShardError("The current folder and the root are no places to export to. Name a new folder.")
    splits = [split] if split is not None else list(info.splits)
    final = out_dir.resolve()
    with disk_errors(f"exporting to {out_dir}", out_dir.parent), _alone(final):
        require_outside_sets(final)
        if final.exists() and (not final.is_dir() or any(final.iterdir())):
            raise ShardError(f"{out_dir} is there already and is no empty folder. Give --out another one.")
        partial = partial_name(final)
        remove(partial)  # what a killed export left
        try:
            rows, size = _write_splits(set_dir, info, splits, partial, to, progress, alone=split is not None)
            if final.is_dir():
                final.rmdir()
            move_into_place(partial, final)
        except BaseException:
            remove(partial)
            raise
    degradation = info.recipe.get("degradation")
    hr_only = isinstance(degradation, dict) and degradation.get("kind") == "none"
    return ExportReport(out_dir, rows, size, hr_only)


def _write_splits(
    set_dir: Path,
    info: SetInfo,
    splits: Sequence[str],
    partial: Path,
    to: Target,
    progress: Progress,
    *,
    alone: bool,
) -> tuple[dict[str, int], int]:
    """Write splits, each into its own folder unless it is alone; return the rows of each and the bytes of all."""
    rows: dict[str, int] = {}
    size = 0
    total = sum(info.splits[name] for name in splits)
    with progress.bar(f"exporting to {to}", total=total, unit="rows") as bar:
        for name in splits:
            folder = partial if alone else partial / name
            folder.mkdir(parents=True)
            shards = [shard for shard in info.shards if shard.split == name]
            most = 2 * sum(shard.size_bytes for shard in shards) + 16384 * sum(shard.rows for shard in shards)
            with _writer(to, folder, most) as writer:
                rows[name] = 0
                for shard in shards:
                    for row in _rows_of(set_dir / DATA_DIR / shard.name):
                        size += _write_row(row, writer, to)
                        rows[name] += 1
                        bar.advance(1)
    return rows, size


@contextmanager
def _alone(out_dir: Path) -> Iterator[None]:
    """Keep other exports from writing the same folder: what lies half-written beside it is then a dead one's."""

    def _refuse_to_wait() -> None:
        raise ShardError(
            f"Another export to {out_dir} is running. Wait for it to end, or give --out another folder."
        )

    with locked(out_dir.with_name(f".{out_dir.name}.lock"), waiting=_refuse_to_wait, passing=True):
        yield


def _rows_of(path: Path) -> Iterator[Row]:
    with closing(ShardReader(path)) as reader:
        for number in range(reader.num_rows):
            yield reader.read_row(number)


class _Writer(Protocol):
    def put(self, kind: Kind, name: str, png: bytes, shape: tuple[int, int, int]) -> None: ...

    def window(self, name: str, count: int, shape: tuple[int, int, int]) -> None: ...


def _write_row(row: Row, writer: _Writer, to: Target) -> int:
    _refuse(row, to)
    name = name_of(row.sample_id)
    window = len(row.frame_indices)
    hr = row.hr if row.hr.ndim == 4 else row.hr[None]
    pictures: list[tuple[Kind, Pixels, int]] = [("gt", hr, 0 if len(hr) == window else window // 2)]
    if row.lr.size:
        pictures.insert(0, ("lq", row.lr if row.lr.ndim == 4 else row.lr[None], 0))
    size = 0
    for kind, frames, start in pictures:
        for number, planes in enumerate(frames, start):
            png = png_of_planes(_for_png(planes, row.bit_depth))
            shape = (planes.shape[1], planes.shape[2], planes.shape[0])
            writer.put(kind, f"{name}/{number:08d}" if window > 1 else name, png, shape)
            size += len(png)
    if window > 1:
        writer.window(name, window if row.lr.size else len(hr), (hr.shape[2], hr.shape[3], hr.shape[1]))
    return size


def _refuse(row: Row, to: Target) -> None:
    where = f"{row.sample_id}: "
    if row.color == "yuv420":
        raise ShardError(f"{where}PNG has no 4:2:0 planes. Build the set with color: rgb or y to export it.")
    if row.bit_depth > 8 and to == "basicsr-lmdb":
        raise ShardError(
            f"{where}{row.bit_depth} bits, and BasicSR turns every picture of an LMDB into 8 bits when it reads it. Export with "
            "--to png (16 bits), or build the set from clips of 8 bits."
        )
    if row.bit_depth > 8 and row.color == "rgb":
        raise ShardError(
            f"{where}{row.bit_depth} bits of R, G and B, which is not written to PNG here. Build the set with color: y, or "
            "read the shards themselves."
        )


def _for_png(planes: Pixels, bit_depth: int) -> Pixels:
    """Return samples for a PNG of 8 or 16 bits: deeper ones fill 16 bits by repeating their leading bits.

    That is what the PNG specification (W3C, third edition, 12.4 Sample depth scaling) recommends;
    ``value >> (16 - bit_depth)`` goes back.
    """
    if bit_depth <= 8 or bit_depth == 16:
        return planes
    wide = planes.astype(np.uint32)
    return ((wide << (16 - bit_depth)) | (wide >> (2 * bit_depth - 16))).astype(np.uint16)


class _Tree:
    """A tree of PNG with lists of what is in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lines: list[str] = []
        self._windows: list[str] = []

    def put(self, kind: Kind, name: str, png: bytes, shape: tuple[int, int, int]) -> None:
        path = self._folder / kind / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png)
        if kind == "gt":
            self._lines.append(f"{name}.png ({','.join(map(str, shape))})\n")

    def window(self, name: str, count: int, shape: tuple[int, int, int]) -> None:
        self._windows.append(f"{name} {count} ({','.join(map(str, shape))})\n")

    def finish(self) -> None:
        # Windows are listed as BasicSR lists the clips of REDS: name, frames, shape.
        (self._folder / "meta_info.txt").write_text("".join(self._windows or self._lines))


class _Lmdb:
    """BasicSR's two environments, or that of HR alone, each with its ``meta_info.txt``."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        try:
            import lmdb
        except ModuleNotFoundError as error:
            raise MissingExtraError("exporting to BasicSR's LMDB", extra="lmdb") from error
        self._folder = folder
        self._waiting = 0
        self._opening: Any = lmdb.open
        # A sparse file would grow to the map's size only with its content; what is never written takes no room.
        self._map_size = max_bytes + (64 << 20)
        self._lines: dict[Kind, list[str]] = {}
        self._open: dict[Kind, Any] = {}
        self._begun: dict[Kind, Any] = {}

    def put(self, kind: Kind, name: str, png: bytes, shape: tuple[int, int, int]) -> None:
        if kind not in self._open:
            self._open[kind] = self._opening(str(self._folder / f"{kind}.lmdb"), map_size=self._map_size)
            self._begun[kind] = self._open[kind].begin(write=True)
        self._begun[kind].put(name.encode("ascii"), png)
        self._lines.setdefault(kind, []).append(
            f"{name}.png ({','.join(map(str, shape))}) {_COMPRESS_LEVEL}\n"
        )
        self._waiting += 1
        if self._waiting >= _COMMIT_EVERY:
            self._waiting = 0
            for which, transaction in self._begun.items():
                transaction.commit()
                self._begun[which] = self._open[which].begin(write=True)

    def window(self, name: str, count: int, shape: tuple[int, int, int]) -> None:
        pass

    def finish(self) -> None:
        for kind, lines in self._lines.items():
            self._begun.pop(kind).commit()
            (self._folder / f"{kind}.lmdb" / "meta_info.txt").write_text("".join(lines))

    def close(self) -> None:
        for transaction in self._begun.values():
            transaction.abort()
        for env in self._open.values():
            env.close()


@contextmanager
def _writer(to: Target, folder: Path, max_bytes: int) -> Iterator[_Writer]:
    if to == "png":
        tree = _Tree(folder)
        yield tree
        tree.finish()
        return
    pair = _Lmdb(folder, max_bytes)
    try:
        yield pair
        pair.finish()
    finally:
        pair.close()
