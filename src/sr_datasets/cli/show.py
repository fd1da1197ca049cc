"""What ``sr-data show`` prints: every fact of a source or clip, with its evidence."""

import textwrap
from typing import Any

from sr_datasets import catalog, terms
from sr_datasets.catalog import Selected
from sr_datasets.cli.console import table
from sr_datasets.files import human_bytes
from sr_datasets.manifest import License, Source
from sr_datasets.store import Store

_FACTS = (
    *("width", "height", "frame_rate", "num_frames", "pixel_format"),
    *("matrix", "range", "transfer", "siting", "field_order", "pristine"),
)
_FILE_FACTS = ("mirrors", "size_bytes", "sha256", "sha1", "md5")
_OBLIGATIONS = ("redistribute_original", "redistribute_derived", "commercial", "attribution", "share_alike")


def source_facts(source: Source, store: Store) -> dict[str, Any]:
    """Return a source's manifest as JSON values, with the ids of the clips that are here."""
    here = sorted(record.clip for record in store.records(source.id))
    return {**source.model_dump(mode="json", exclude_none=True), "here": here}


def source_text(source: Source, store: Store) -> str:
    """Return a source for people, in 80 columns where addresses and names allow it."""
    here = {record.clip: record for record in store.records(source.id)}
    lines = [
        f"{source.id}: {source.title}",
        textwrap.fill(source.description, 78),
        "",
        f"access    {source.access}",
    ]
    if source.homepage:
        lines.append(f"homepage  {source.homepage}")
    for key, license_ in source.licenses.items():
        default = " (where a clip names none)" if key == source.license and len(source.licenses) > 1 else ""
        lines.append(f"licence   {key}: {_license_text(license_)}{default}")
        if license_.terms:
            lines.append(_indented(license_.terms))
    if source.clips:
        duties = [str(duty) for duty in terms.obligations_of(Selected(source, clip) for clip in source.clips)]
    else:  # whatever is brought to it: of one of these licences
        duties = [
            f"{duty.what} ({'; '.join(duty.licenses)})"
            for duty in terms.obligations(source.licenses.values())
        ]
    for duty in duties:
        lines.append(textwrap.fill(f"asks      {duty}", 78, subsequent_indent=" " * 10))
    if source.terms:
        lines.append(
            textwrap.fill(f"terms     to accept first: {source.terms}", 78, subsequent_indent=" " * 10)
        )
    lines.append(textwrap.fill(f"cite      {source.citation.text}", 78, subsequent_indent=" " * 10))
    for group, patterns in source.groups.items():
        lines.append(
            textwrap.fill(
                f"group     {source.id}:{group} = {' '.join(patterns)}", 78, subsequent_indent=" " * 10
            )
        )
    if source.how_to_get:
        lines += ["", "how to get it:", *(f"  {line}" for line in source.how_to_get.strip().splitlines())]
    rows = [
        [
            clip.id,
            f"{clip.width}x{clip.height}" if clip.width else "?",
            str(clip.num_frames or "?"),
            str(clip.frame_rate or "?"),
            clip.pixel_format or "?",
            "here" if clip.id in here else "",
        ]
        for clip in source.clips
    ]
    listed = {clip.id for clip in source.clips}
    rows += [
        [name, f"{record.info.width}x{record.info.height}", str(record.info.num_frames), str(record.info.frame_rate or "?"),
         record.info.pixel_format, "here"]
        for name, record in here.items()
        if name not in listed
    ]  # fmt: skip
    if rows:
        lines += ["", table(rows, header=["clip", "size", "frames", "rate", "pixels", ""])]
    return "\n".join(lines)


def clip_facts(selected: Selected, store: Store) -> dict[str, Any]:
    """Return a clip's facts, its file, its licence and its record of the store, as JSON values."""
    record = store.find(selected.source.id, selected.clip.id)
    return {
        "id": selected.id,
        "clip": selected.clip.model_dump(mode="json", exclude_none=True),
        "file": catalog.remote_of(selected.source, selected.clip).model_dump(mode="json", exclude_none=True),
        "license": catalog.license_of(selected.source, selected.clip).model_dump(
            mode="json", exclude_none=True
        ),
        "here": None if record is None else record.model_dump(mode="json"),
    }


def clip_text(selected: Selected, store: Store) -> str:
    """Return a clip for people: each fact with how it is known."""
    source, clip = selected.source, selected.clip
    remote = catalog.remote_of(source, clip)
    license_ = catalog.license_of(source, clip)
    lines = [selected.id]
    for owner, names in ((clip, _FACTS), (remote, _FILE_FACTS)):
        for name in names:
            value = getattr(owner, name)
            if value in (None, (), "unstated"):
                continue
            shown = " ".join(value) if isinstance(value, tuple) else str(value)
            if name == "size_bytes":
                shown = f"{value} ({human_bytes(value)})"
            evidence = owner.evidence.get(name)
            known = f"  [{evidence.status}: {evidence.where}]" if evidence else ""
            lines.append(f"  {name:13} {shown}{known}")
    if clip.archive:
        lines.append(f"  {'archive':13} {clip.archive}, members {' or '.join(clip.members)}")
    lines.append(f"  {'licence':13} {_license_text(license_)}")
    for duty in terms.obligations([license_]):
        lines.append(f"  {'':13} {duty.what}")
    if license_.terms:
        lines.append(_indented(license_.terms, 16))
    lines.append(textwrap.fill(f"  {'cite':13} {source.citation.text}", 78, subsequent_indent=" " * 16))
    if clip.notes:
        lines.append(textwrap.fill(f"  {'notes':13} {clip.notes}", 78, subsequent_indent=" " * 16))
    record = store.find(source.id, clip.id)
    if record is None:
        lines.append(f"  {'here':13} no; bring it in with: sr-data fetch {selected.id}")
    else:
        lines.append(f"  {'here':13} {store.path_of(record)}")
        lines.append(f"  {'':13} SHA-256 {record.sha256}, checked against: {record.proof}")
    return "\n".join(lines)


def _indented(text: str, columns: int = 10) -> str:
    indent = " " * columns
    return textwrap.fill(text, 78, initial_indent=indent, subsequent_indent=indent)


def _license_text(license_: License) -> str:
    answers = ", ".join(
        f"{name.replace('_', ' ')}: {value}"
        for name in _OBLIGATIONS
        if (value := getattr(license_, name)) != "unstated"
    )
    where = f" <{license_.url}>" if license_.url else ""
    return f"{license_.name}{where}{f' ({answers})' if answers else ''}"
