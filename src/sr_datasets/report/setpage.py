"""A set as one page that works offline: summary, warnings, distributions, clips, a gallery of pairs, provenance.

One HTML file, as the catalog's page: style, program, data and pictures stand inside, and a content security policy
forbids every request. Ids, licences and recipes are foreign text: Jinja2 escapes them in the markup, the program writes
them as text only. The same set and catalog give the same bytes. Bicubic is made in the page of the LR picture, by the
same kernel; every number comes from the samples themselves.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import numpy as np

from sr_datasets import __version__
from sr_datasets.audit import Finding
from sr_datasets.facts import OBLIGATIONS
from sr_datasets.files import human_bytes, write_atomic
from sr_datasets.inspect import (
    Choice,
    ClipOrigin,
    Concern,
    Measures,
    closed_sources,
    find_concerns,
    measure_set,
    origins,
)
from sr_datasets.inspect.provenance import LOCAL_MARK, publisher
from sr_datasets.inspect.statistics import GroupStatistics, group_statistics
from sr_datasets.progress import Progress, Silent
from sr_datasets.report.charts import HEIGHT, WIDTH, histograms, strip
from sr_datasets.report.gallery import MOST_ROWS, ROW_BYTES, Pictured, picture_rows, rows_by_worth
from sr_datasets.report.outputs import require_output
from sr_datasets.report.overview import QUESTIONS
from sr_datasets.report.pages import csp_hash, embedded, page_environment, part_of_page
from sr_datasets.shards.setplace import folder_of
from sr_datasets.shards.sets import SetInfo, read_set

MOST_BYTES: Final = 10_000_000
"""Size of a page unless another is asked for: fewer rows are pictured where more would not fit."""

_SPLITS: Final = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class WrittenPage:
    """A page that was written."""

    size_bytes: int
    """Its size."""
    pictured: int
    """Rows that it shows with their pictures."""
    local_only: tuple[str, ...]
    """Sources without a grant whose pixels it shows: it must not be published then."""


def write_set_page(
    choice: Choice,
    path: Path,
    *,
    pixels: bool = True,
    leaks: Sequence[Finding] | None = None,
    most_bytes: int = MOST_BYTES,
    progress: Progress | None = None,
) -> WrittenPage:
    """Write the page of a set, whole or not at all.

    Args:
        choice: The rows that it is about.
        path: The HTML file.
        pixels: Whether it shows patches.
        leaks: What an audit found; None when nobody asked.
        most_bytes: Size that its pictures may bring it to.
        progress: Where the work reports itself.

    Raises:
        ShardError: A shard is damaged, or the page would lie in a set.
        SrDataError: The name is no page's.
    """
    require_output(path, ".html", ".htm")
    progress = progress or Silent()
    info = read_set(folder_of(choice.path))
    measures = measure_set(choice.path, progress=progress)
    clips = origins(info, choice.index)
    concerns = find_concerns(info, choice.index, measures, clips, _leak_places(leaks))
    worth = rows_by_worth(choice, measures, concerns)
    page = _Page(info, choice, measures, clips, concerns, pixels)
    if pixels:
        bare = len(page.render([]).encode())
        shown = picture_rows(choice, worth, room=most_bytes - bare, progress=progress)
    else:
        room = max(0, most_bytes // (2 * ROW_BYTES))
        shown = [
            Pictured(number, "", "") for number, _ in zip(worth, range(min(MOST_ROWS, room)), strict=False)
        ]
        shown.sort(key=lambda one: one.number)
    data = page.render(shown).encode("utf-8", errors="replace")
    write_atomic(path, data)
    pictured = len(shown) if pixels else 0
    return WrittenPage(len(data), pictured, page.closed if pictured else ())


def _leak_places(leaks: Sequence[Finding] | None) -> dict[str, str] | None:
    if leaks is None:
        return None
    places: dict[str, str] = {}
    for one in leaks:
        where, split = one.place
        places.setdefault(one.row.sample_id, f"{where} ({split})" if split else where)
    return places


class _Page:
    """What the template and the program are told of a set."""

    def __init__(
        self,
        info: SetInfo,
        choice: Choice,
        measures: Measures,
        clips: Sequence[ClipOrigin],
        concerns: Sequence[Concern],
        pixels: bool,
    ) -> None:
        self.info, self.choice, self.measures = info, choice, measures
        self.clips, self.concerns, self.pixels = clips, concerns, pixels
        chosen = choice.index.take(choice.numbers)
        self.closed = tuple(closed_sources(info, chosen)) if pixels else ()
        names = set(choice.index.column("split").to_pylist())
        self.splits = [*(name for name in _SPLITS if name in names), *sorted(names - set(_SPLITS))]
        self.sources = sorted(set(choice.index.column("source").to_pylist()))
        groups = group_statistics(info, choice.index, measures, choice.mask)
        self.groups = sorted(groups, key=lambda group: (group.source, self.splits.index(group.split)))

    def render(self, shown: Sequence[Pictured]) -> str:
        environment = page_environment()
        style, program = part_of_page(environment, "set.css"), part_of_page(environment, "set.js")
        split_numbers = np.array(
            [self.splits.index(name) for name in self.choice.index.column("split").to_pylist()]
        )
        return environment.get_template("set.html.j2").render(
            info=self.info,
            recipe=self.info.recipe,
            recipe_text=json.dumps(self.info.recipe, indent=1, ensure_ascii=False),
            facts=self._facts(),
            where=self.choice.where,
            fitting=len(self.choice.numbers),
            splits=self.splits,
            split_rows=self._split_rows(),
            concerns=[
                {"level": one.level, "text": one.text, "rows": len(one.rows), "place": place}
                for place, one in enumerate(self.concerns)
            ],
            histograms=histograms(self.measures, split_numbers, len(self.splits), self.choice.mask),
            groups=[_group_view(group, self.splits) for group in self.groups],
            clips=self._clips(shown),
            publishers=self._publishers(),
            pictured=len(shown),
            pixels=self.pixels,
            closed=self.closed,
            local_mark=LOCAL_MARK,
            plot_width=WIDTH,
            plot_height=HEIGHT,
            keeps_lr=bool((~np.isnan(self.measures.psnr)).any()),
            style=style,
            program=program,
            data=embedded(self._data(shown)),
            style_hash=csp_hash(style),
            program_hash=csp_hash(program),
            human_bytes=human_bytes,
            version=__version__,
        )

    def _facts(self) -> list[tuple[str, str, str]]:
        """Return the tiles of the summary: label, value, what stands below."""
        recipe, info = self.info.recipe, self.info
        degradation = recipe.get("degradation", {})
        size = sum(shard.size_bytes for shard in info.shards)
        kinds = {
            tuple(values)
            for values in zip(
                *(
                    self.choice.index.column(name).to_pylist()
                    for name in ("num_frames", "lr_height", "lr_width", "hr_height", "hr_width")
                ),
                strict=True,
            )
        }
        frames, low, wide, high, width = sorted(kinds)[0]
        depths = sorted(set(self.choice.index.column("bit_depth").to_pylist()))
        patch = (
            f"{wide}\N{MULTIPLICATION SIGN}{low} \N{RIGHTWARDS ARROW} {width}\N{MULTIPLICATION SIGN}{high}"
            if low
            else f"{width}\N{MULTIPLICATION SIGN}{high}, no LR"
        )
        more = f"{frames} frames a row" if frames > 1 else "one frame a row"
        several = f", {len(kinds)} kinds" if len(kinds) > 1 else ""
        named = degradation.get("name") or degradation.get("kind", "not known")
        settings = {
            name: value for name, value in degradation.items() if name not in ("kind", "name", "steps")
        }
        return [
            ("Rows", f"{info.rows:,}", f"of {len(info.inputs):,} clips"),
            ("Shards", f"{len(info.shards):,}", human_bytes(size)),
            (
                "Scale",
                f"\N{MULTIPLICATION SIGN}{recipe.get('scale', '?')}",
                f"colour {recipe.get('color', 'not known')}",
            ),
            ("Patches", patch, f"{more}, {', '.join(map(str, depths))} bit{several}"),
            ("LR by", str(named), ", ".join(f"{name} {value}" for name, value in settings.items())),
            (
                "Sampling",
                str(recipe.get("sampling", {}).get("kind", "not known")),
                f"seed {recipe.get('seed', 'not known')}",
            ),
        ]

    def _split_rows(self) -> list[dict[str, Any]]:
        pairs = list(
            zip(
                *(self.choice.index.column(name).to_pylist() for name in ("split", "source", "clip")),
                strict=True,
            )
        )
        rows = len(pairs)
        return [
            {
                "name": split,
                "rows": (count := sum(pair[0] == split for pair in pairs)),
                "clips": len({pair for pair in pairs if pair[0] == split}),
                "share": 100 * count / max(1, rows),
            }
            for split in self.splits
        ]

    def _clips(self, shown: Sequence[Pictured]) -> list[dict[str, Any]]:
        """Return each clip with the frames that its rows show, by split and in order of selection."""
        index = self.choice.index
        frames: dict[tuple[str, str, str], list[int]] = {}
        rows: dict[tuple[str, str, str], int] = {}
        for source, clip, split, shown_frames, fits in zip(
            *(index.column(name).to_pylist() for name in ("source", "clip", "split", "frame_indices")),
            self.choice.mask.tolist(),
            strict=True,
        ):
            if fits:
                frames.setdefault((source, clip, split), []).extend(shown_frames)
                rows[source, clip, split] = rows.get((source, clip, split), 0) + 1
        known = {(one.source, one.clip): one.facts for one in self.clips}
        names = list(zip(index.column("source").to_pylist(), index.column("clip").to_pylist(), strict=True))
        first: dict[tuple[str, str], int] = {}
        if self.pixels:
            for place, one in enumerate(shown):
                first.setdefault(names[one.number], place)
        found = []
        for (source, clip, split), used in frames.items():
            facts = known.get((source, clip))
            told = facts.num_frames if facts is not None else None
            length = max(told or 0, max(used) + 1)
            found.append(
                {
                    "source": source,
                    "name": clip,
                    "split": self.splits.index(split),
                    "rows": rows[source, clip, split],
                    "used": len(set(used)),
                    "frames": told,
                    "marks": strip(used, length) if length > 1 else "",
                    "thumb": first.get((source, clip)),
                }
            )
        return sorted(found, key=lambda one: (one["split"], one["source"]))

    def _publishers(self) -> list[dict[str, Any]]:
        """Return the tree of where pixels come from: publisher, licence, clips."""
        found = []
        by_source = sorted(self.clips, key=lambda one: one.source)
        for source_id, own in groupby(by_source, key=lambda one: one.source):
            clips = list(own)
            source = publisher(source_id)
            licenses: dict[str, list[ClipOrigin]] = {}
            for one in clips:
                licenses.setdefault(one.license.model_dump_json(), []).append(one)
            found.append(
                {
                    "id": source_id,
                    "title": source.title if source is not None else "not in the catalog",
                    "homepage": source.homepage if source is not None else None,
                    "citation": source.citation.text if source is not None else "",
                    "clips": len(clips),
                    "licenses": [
                        {
                            "license": same[0].license,
                            "granted": same[0].granted,
                            "answers": [
                                (words, getattr(same[0].license, name))
                                for name, words in zip(OBLIGATIONS, QUESTIONS.values(), strict=True)
                            ],
                            "clips": same,
                        }
                        for same in licenses.values()
                    ],
                }
            )
        return found

    def _data(self, shown: Sequence[Pictured]) -> dict[str, Any]:
        """Return what the page's program needs: rows as columns, pictures, and which warnings name which rows."""
        numbers = [one.number for one in shown]
        places = {number: place for place, number in enumerate(numbers)}
        index = self.choice.index.take(numbers) if numbers else self.choice.index.slice(0, 0)
        column = {
            name: index.column(name).to_pylist()
            for name in ("source", "clip", "row", "top", "left", "scale", "split", "drawn")
        }
        return {
            "splits": self.splits,
            "sources": self.sources,
            "numbers": numbers,
            "id": index.column("sample_id").to_pylist(),
            "source": [self.sources.index(name) for name in column["source"]],
            "split": [self.splits.index(name) for name in column["split"]],
            "frame": [frames[len(frames) // 2] for frames in index.column("frame_indices").to_pylist()],
            "top": column["top"],
            "left": column["left"],
            "scale": column["scale"],
            "drawn": [text if len(text) <= 2000 else text[:2000] + " ..." for text in column["drawn"]],
            **{
                name: [_rounded(getattr(self.measures, name)[number]) for number in numbers]
                for name in ("psnr", "si", "ti", "luma", "contrast", "motion")
            },
            "concerns": [
                [places[number] for number in one.rows.tolist() if number in places] for one in self.concerns
            ],
            "lr": [one.lr for one in shown] if self.pixels else [],
            "hr": [one.hr for one in shown] if self.pixels else [],
        }


def _rounded(value: float) -> float | str | None:
    """Return a number for the page; ``equal`` for an infinite PSNR, None for what is not known."""
    if np.isnan(value):
        return None
    return "equal" if np.isinf(value) else round(float(value), 2)


def _group_view(group: GroupStatistics, splits: Sequence[str]) -> Mapping[str, Any]:
    most = max(1, int(group.heat.max()))
    return {
        "source": group.source,
        "split": splits.index(group.split),
        "split_name": group.split,
        "rows": group.rows,
        "clips": group.clips,
        "flat": group.flat,
        "duplicates": group.duplicates,
        "unknown_frames": group.unknown_frames,
        "means": [
            (name, group.spreads.get(name)) for name in ("psnr", "si", "ti", "luma", "contrast", "motion")
        ],
        "cells": [
            {"x": column, "y": row, "count": int(count), "share": round(0.08 + 0.92 * int(count) / most, 3)}
            for row, line in enumerate(group.heat.tolist())
            for column, count in enumerate(line)
            if count
        ],
    }
