"""The card that people and Hugging Face read: ``README.md`` of a set."""

import json
import re
from collections.abc import Iterable

from sr_datasets.card.facts import CardFacts
from sr_datasets.card.seal import NO_SEAL, sealed
from sr_datasets.files import human_bytes
from sr_datasets.manifest import License
from sr_datasets.shards.sets import DATA_DIR, INDEX_NAME, SET_NAME

MOST_FILES = 100
"""A card lists the checksums of so many shards; more stand in ``sr-data.json`` and ``croissant.json`` alone."""

_HUB_LICENSES = {
    "creativecommons.org/publicdomain/zero/1.0": "cc0-1.0",
    "creativecommons.org/licenses/by/3.0": "cc-by-3.0",
    "creativecommons.org/licenses/by/4.0": "cc-by-4.0",
    "creativecommons.org/licenses/by-sa/3.0": "cc-by-sa-3.0",
    "creativecommons.org/licenses/by-sa/4.0": "cc-by-sa-4.0",
    "creativecommons.org/licenses/by-nc/4.0": "cc-by-nc-4.0",
    "creativecommons.org/licenses/by-nc-nd/3.0": "cc-by-nc-nd-3.0",
    "creativecommons.org/licenses/by-nc-nd/4.0": "cc-by-nc-nd-4.0",
    "creativecommons.org/licenses/by-nc-sa/4.0": "cc-by-nc-sa-4.0",
    "creativecommons.org/licenses/by-nd/4.0": "cc-by-nd-4.0",
    "www.apache.org/licenses/LICENSE-2.0": "apache-2.0",
}
"""Names that Hugging Face has for licences, by their address without scheme and last slash."""
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def readme_of(facts: CardFacts, *, pixels: bool = True) -> str:
    """Return the card as Markdown, with a front matter that points Hugging Face at ``data/``.

    Args:
        facts: What it says.
        pixels: Whether shards lie beside it; False for what is pushed without them.
    """
    recipe = facts.info.recipe
    parts = [
        _front_matter(facts, pixels=pixels),
        f"# {recipe['title']}",
        "",
        f"HR-LR patch pairs at x{recipe['scale']}, built with sr-datasets from the recipe `{recipe['id']}`.",
        "",
        *(_WITHOUT_PIXELS if not pixels else ()),
        *_table(
            ("split", "pairs", "rows", "shards", "size"),
            [
                (one.name, one.pairs, one.rows, one.shards, human_bytes(one.size_bytes))
                for one in facts.splits
            ],
        ),
        "",
        f"- degradation: `{_compact(recipe['degradation'])}`",
        f"- colour: `{recipe['color']}`",
        f"- sampling: `{_compact(recipe['sampling'])}`",
        f"- seed: {recipe['seed']}",
        f"- content digest: `{facts.info.content_digest}`",
        "",
        *(_READING if pixels else ()),
        *_shapes(facts),
        *_sources(facts),
        *_licenses(facts),
        *_citations(facts),
        "## Recipe",
        "",
        "```json",
        json.dumps(recipe, indent=1, ensure_ascii=False),
        "```",
        "",
        *_files(facts),
        f"<!-- written by sr-datasets; SHA-256 of this text with zeros here: {NO_SEAL} -->",
        "",
    ]
    return sealed("\n".join(parts))


_READING = (
    "```python",
    "from sr_datasets import PairDataset",
    "",
    'train = PairDataset(".", split="train")',
    "```",
    "",
)
_WITHOUT_PIXELS = (
    "**There are no pixels here**: the recipe, the list of clips with their SHA-256, the plan of every row, and the digests",
    "of what a build makes of them. Whoever has the clips builds the same set:",
    "",
    "```",
    "sr-data build-pairs recipe.yaml --lock recipes.lock --out DIR",
    "```",
    "",
)


def _front_matter(facts: CardFacts, *, pixels: bool) -> str:
    licenses = [license for source in facts.sources for license, _ in source.licenses]
    lines = ["---"]
    if pixels:
        lines += ["configs:", "- config_name: default", "  data_files:"]
        for split in facts.splits:
            if split.rows:
                lines += [f"  - split: {split.name}", f"    path: {DATA_DIR}/{split.name}-*.parquet"]
    else:
        lines += ["configs:", "- config_name: default", f"  data_files: {INDEX_NAME}"]
    lines += [
        f"pretty_name: {json.dumps(facts.info.recipe['title'], ensure_ascii=False)}",
        f"license: {_hub_license(licenses)}",
        "task_categories:",
        "- image-to-image",
        "tags:",
        "- super-resolution",
        "- croissant",
        "size_categories:",
        f"- {next((name for most, name in _SIZES if facts.info.rows < most), '1M<n<10M')}",
        "---",
    ]
    return "\n".join(lines)


def _hub_license(licenses: Iterable[License]) -> str:
    found = {_HUB_LICENSES.get(_address(license.url or ""), "other") for license in licenses}
    return found.pop() if len(found) == 1 else "other"


def _address(url: str) -> str:
    return re.sub(r"^https?://|/(legalcode|deed\.\w+)?/?$", "", url)


def _shapes(facts: CardFacts) -> list[str]:
    lines = []
    for kind in facts.shapes:
        channels = kind["channels"]
        lr = f"{kind['num_frames']} x {channels} x {kind['lr_height']} x {kind['lr_width']}"
        hr = f"{kind['hr_num_frames']} x {channels} x {kind['hr_height']} x {kind['hr_width']}"
        lines.append((lr if kind["lr_height"] else "none", hr, kind["bit_depth"], kind["rows"]))
    return [
        "## Patches",
        "",
        "Frames x channels x height x width.",
        "",
        *_table(("LR", "HR", "bits", "rows"), lines),
        "",
    ]


def _sources(facts: CardFacts) -> list[str]:
    lines = []
    for source in facts.sources:
        title = f"[{source.title}]({source.homepage})" if source.homepage else source.title
        licenses = "; ".join(
            (f"[{license.name}]({license.url})" if license.url else license.name)
            + (f" ({count})" if len(source.licenses) > 1 else "")
            for license, count in source.licenses
        )
        lines.append((f"`{source.id}`", title, source.pairs, source.rows, licenses))
    return [
        "## Sources",
        "",
        *_table(("source", "what it is", "clips", "rows", "licence"), lines),
        "",
        f"Each clip with its SHA-256 stands in `{SET_NAME}`.",
        "",
    ]


def _licenses(facts: CardFacts) -> list[str]:
    return [
        "## What the clips' licences ask for",
        "",
        *([f"- {one}" for one in facts.obligations] or ["- nothing that they say"]),
        "",
        *(
            f"- {license.name}: {' '.join(license.terms.split())}"
            for license in {
                license.name: license for source in facts.sources for license, _ in source.licenses
            }.values()
            if license.terms
        ),
        "",
        "As the manifests of sr-datasets had them when the set was built; the publishers' own words decide.",
        "",
    ]


def _citations(facts: CardFacts) -> list[str]:
    lines = ["## Citations", ""]
    for source in facts.sources:
        if source.citation is None:
            lines += [f"- `{source.id}`: not in the catalog"]
            continue
        lines += [f"- `{source.id}`: {' '.join(source.citation.text.split())}"]
    bibtex = [one.citation.bibtex.strip() for one in facts.sources if one.citation and one.citation.bibtex]
    if bibtex:
        lines += ["", "```bibtex", "\n\n".join(dict.fromkeys(bibtex)), "```"]
    return [*lines, ""]


def _files(facts: CardFacts) -> list[str]:
    info = facts.info
    lines = [(INDEX_NAME, info.index.size_bytes, info.index.sha256)]
    if len(info.shards) <= MOST_FILES:
        lines += [(f"{DATA_DIR}/{shard.name}", shard.size_bytes, shard.sha256) for shard in info.shards]
    rest = (
        ""
        if len(info.shards) <= MOST_FILES
        else f" Those of the {len(info.shards)} shards stand in `{SET_NAME}`."
    )
    return [
        "## Checksums",
        "",
        f"`sr-data inspect DIR --verify` checks them all; `croissant.json` has those of the other files.{rest}",
        "",
        *_table(("file", "bytes", "SHA-256"), [(name, size, f"`{digest}`") for name, size, digest in lines]),
        "",
    ]


def _table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> list[str]:
    cells = [[str(cell).replace("|", r"\|") for cell in row] for row in rows]
    return [
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *(f"| {' | '.join(row)} |" for row in cells),
    ]


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
