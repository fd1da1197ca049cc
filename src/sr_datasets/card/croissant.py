"""The card that programs read: Croissant 1.1, JSON-LD (MLCommons, http://mlcommons.org/croissant/1.1)."""

import hashlib
import json
from typing import Any

import pyarrow as pa

from sr_datasets.card.facts import CardFacts
from sr_datasets.card.seal import NO_SEAL, sealed
from sr_datasets.shards.sets import DATA_DIR, INDEX_NAME, INDEX_SCHEMA, SET_NAME, SetInfo, set_json_pieces

_PARQUET = "application/x-parquet"

# The context that the specification asks every Croissant 1.1 file to carry.
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def croissant_of(facts: CardFacts, readme: bytes) -> str:
    """Return the Croissant description of a set, as JSON text.

    It has no date, address or creator, which a set does not know: who publishes it adds them.

    Args:
        facts: What it says.
        readme: The set's ``README.md``, of which it has the checksum.
    """
    info = facts.info
    recipe = info.recipe
    licenses = [license for source in facts.sources for license, _ in source.licenses]
    described = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": recipe["id"],
        "description": _description(facts),
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "license": list(dict.fromkeys(license.url or license.name for license in licenses)),
        "citeAs": "\n\n".join(
            dict.fromkeys(
                source.citation.bibtex.strip() or " ".join(source.citation.text.split())
                for source in facts.sources
                if source.citation is not None
            )
        ),
        "isBasedOn": [
            {
                "@type": "sc:CreativeWork",
                "name": source.title,
                **({"url": source.homepage} if source.homepage else {}),
            }
            for source in facts.sources
        ],
        "usageInfo": "; ".join(map(str, facts.obligations)),
        "identifier": f"sha256:{info.content_digest}",
        "keywords": [
            "super-resolution",
            f"x{recipe['scale']}",
            recipe["color"],
            recipe["degradation"]["kind"],
        ],
        "isLiveDataset": False,
        "distribution": _distribution(info, readme),
        "recordSet": [_splits(facts), _rows()],
        "rai:dataPreprocessingProtocol": [
            f"{name}: {json.dumps(recipe[name], ensure_ascii=False)}"
            for name in ("degradation", "sampling", "split", "hr", "color", "scale", "seed")
            if name in recipe
        ],
        # No property of Croissant: the name has no prefix of the context.
        "sr-datasets:sha256": NO_SEAL,
    }
    return sealed(json.dumps(described, indent=1, ensure_ascii=False) + "\n")


def _description(facts: CardFacts) -> str:
    recipe = facts.info.recipe
    own = f" {recipe['description'].strip()}" if recipe.get("description") else ""
    splits = ", ".join(f"{one.rows} rows of {one.pairs} clips in {one.name}" for one in facts.splits)
    return f"{recipe['title']}.{own} HR-LR patch pairs at x{recipe['scale']}: {splits}."


def _distribution(info: SetInfo, readme: bytes) -> list[dict[str, Any]]:
    size, digest = 0, hashlib.sha256()
    for piece in set_json_pieces(info):
        size += len(piece)
        digest.update(piece)
    files = [
        (INDEX_NAME, _PARQUET, info.index.size_bytes, info.index.sha256),
        (SET_NAME, "application/json", size, digest.hexdigest()),
        ("README.md", "text/markdown", len(readme), hashlib.sha256(readme).hexdigest()),
        *((f"{DATA_DIR}/{shard.name}", _PARQUET, shard.size_bytes, shard.sha256) for shard in info.shards),
    ]
    return [
        {
            "@type": "cr:FileObject",
            "@id": name,
            "name": name,
            "contentUrl": name,
            "contentSize": f"{size_bytes} B",
            "encodingFormat": kind,
            "sha256": sha256,
        }
        for name, kind, size_bytes, sha256 in files
    ]


def _splits(facts: CardFacts) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "description": "The splits; every clip is in one of them.",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [
            {"@type": "cr:Field", "@id": "splits/name", "name": "name", "dataType": "sc:Text"},
            {"@type": "cr:Field", "@id": "splits/rows", "name": "rows", "dataType": "sc:Integer"},
        ],
        "data": [{"splits/name": split.name, "splits/rows": split.rows} for split in facts.splits],
    }


def _rows() -> dict[str, Any]:
    fields = []
    for column in INDEX_SCHEMA:
        many = pa.types.is_list(column.type)
        kind = column.type.value_type if many else column.type
        field: dict[str, Any] = {
            "@type": "cr:Field",
            "@id": f"rows/{column.name}",
            "name": column.name,
            "description": _words_for(column.name),
            "dataType": "sc:Integer" if pa.types.is_integer(kind) else "sc:Text",
            "source": {"fileObject": {"@id": INDEX_NAME}, "extract": {"column": column.name}},
        }
        if many:
            field |= {"isArray": True, "arrayShape": "-1"}
        if column.name == "split":
            field["references"] = {"field": {"@id": "splits/name"}}
        fields.append(field)
    return {
        "@type": "cr:RecordSet",
        "@id": "rows",
        "name": "rows",
        "description": (
            "One line for each patch pair, without its pixels, which are row number `row_group` and on of the shard "
            "`shard` in data/: planes of samples, columns `lr` and `hr` (docs/shards.md of sr-datasets)."
        ),
        "key": {"@id": "rows/sample_id"},
        "field": fields,
    }


def _words_for(column: str) -> str:
    known = column.removesuffix("_from")
    if known != column:
        return f"How `{known}` is known: declared, tagged or guessed."
    return _WORDS.get(column, column)


_WORDS = {
    "shard": "File in data/ that holds the row.",
    "row_group": "Row group of that file, from 0.",
    "sample_id": "Name of the row, unique in the set.",
    "source": "Publisher of the clip.",
    "clip": "Clip inside the source.",
    "split": "Split that the clip was dealt to.",
    "row": "Number of the row in its clip, from 0.",
    "frame_indices": "Shown frames of the clip that LR holds, from 0.",
    "pts": "Their presentation times in ticks of the time base.",
    "time_base": "Seconds of one tick, exact.",
    "top": "First LR row of the patch in the LR frame.",
    "left": "First LR column of the patch in the LR frame.",
    "frame_height": "Rows of the HR frame that the patch was cut from; 0: not known.",
    "frame_width": "Columns of that frame; 0: not known.",
    "scale": "HR-to-LR ratio per axis.",
    "num_frames": "Frames of LR.",
    "hr_num_frames": "Frames of HR.",
    "channels": "Planes of a frame.",
    "lr_height": "Rows of an LR plane.",
    "lr_width": "Samples of a row of an LR plane.",
    "hr_height": "Rows of an HR plane.",
    "hr_width": "Samples of a row of an HR plane.",
    "bit_depth": "Bits of a sample.",
    "color": "What the channels are: y, rgb or yuv420.",
    "matrix": "Y'CbCr matrix of the clip.",
    "range": "Quantisation of the clip: limited or full.",
    "transfer": "Transfer characteristic of the clip by FFmpeg's name.",
    "siting": "Where the clip's chroma samples lie.",
    "chroma_filter": "How R'G'B' was made of Y'CbCr.",
    "degradation": "How LR was made of HR, as JSON.",
    "drawn": "What was drawn for this row alone, as JSON.",
}
