"""Versions of what is installed, against what the package asks for; its extras; the codecs of PyAV."""

import platform
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import get_args

from sr_datasets import __version__
from sr_datasets.doctor.checks import Check

EXTRAS = {
    "torch": "PairDataset, train, evaluate, upscale",
    "7z": "sources in 7z archives, such as uvg",
    "scene": "cuts found by PySceneDetect",
    "remote": "places that fsspec knows and Arrow does not",
    "lmdb": "export to BasicSR's LMDB",
    "onnx": "export of networks to ONNX",
    "tensorboard": "curves of a training run",
    "youtube": "videos of youtube-8m and youtube-bb",
    "ray": "builds on a Ray cluster",
}
"""What each extra is for. Others that the package has are told without words."""

_OF_DEVELOPERS = {"test", "bench", "docs"}
_PYTHONS = ((3, 11), (3, 13))
"""The oldest and the newest Python that the tests have run on."""

VersionOf = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Requirement:
    """One line of a package's metadata."""

    name: str
    """Of the distribution."""
    bounds: tuple[tuple[str, str], ...]
    """Operators and versions, such as ``(">=", "18")``."""
    extra: str | None
    """The extra that asks for it; None when the package itself does."""

    def allows(self, version: str) -> bool:
        """Return whether a version is within the bounds; only ``>=`` and ``<`` are told apart, by release numbers.

        Example:
            >>> parse_requirement("av<20,>=18").allows("18.1.0"), parse_requirement("av<20,>=18").allows("20.0")
            (True, False)
        """
        here = _release(version)
        return all(
            here >= _release(bound) if operator == ">=" else here < _release(bound)
            for operator, bound in self.bounds
            if operator in (">=", "<")
        )

    def __str__(self) -> str:
        return ",".join(f"{operator}{version}" for operator, version in self.bounds)


def parse_requirement(line: str) -> Requirement:
    """Read a line as ``Requires-Dist`` has it.

    Example:
        >>> parse_requirement("yt-dlp[default]>=2025.11.12; extra == 'youtube'").extra
        'youtube'
    """
    wanted, _, marker = line.partition(";")
    name = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", wanted)
    if name is None:
        raise ValueError(f"'{line}' is no requirement")
    extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", marker)
    bounds = re.findall(r"([<>=!~]=?)\s*([0-9][^,\s)]*)", wanted[name.end() :])
    return Requirement(name[1], tuple(bounds), extra[1] if extra else None)


def own_requirements() -> list[str] | None:
    """Return the lines of this package's metadata, or None where it runs from a folder without any."""
    try:
        return metadata.requires("sr-datasets") or []
    except metadata.PackageNotFoundError:
        return None


def version_of(name: str) -> str | None:
    """Return the version of an installed distribution, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def check_versions(requirements: Sequence[str] | None, installed: VersionOf = version_of) -> Iterator[Check]:
    """Look at Python, the package and what it cannot do without.

    Args:
        requirements: As ``own_requirements`` returns them.
        installed: The version of a distribution by name.
    """
    here = sys.version_info[:2]
    newest = ".".join(map(str, _PYTHONS[1]))
    untried = here > _PYTHONS[1]
    yield Check(
        "versions",
        "python",
        "note" if untried else "ok",
        f"{platform.python_version()}, {platform.system()} {platform.machine()}"
        + (f"; the tests have run on {newest} and older" if untried else ""),
        facts={"version": platform.python_version(), "executable": sys.executable},
    )
    if requirements is None:
        yield Check(
            "versions",
            "sr-datasets",
            "note",
            f"{__version__}, run from a folder: what it needs is not written down there",
            "pip install -e . in the checkout",
            {"version": __version__},
        )
        return
    yield Check("versions", "sr-datasets", "ok", __version__, facts={"version": __version__})
    for one in map(parse_requirement, requirements):
        if one.extra is None:
            yield _of_package(one, installed(one.name))


def _of_package(one: Requirement, version: str | None) -> Check:
    facts = {"version": version, "wanted": str(one)}
    if version is None:
        return Check("versions", one.name, "broken", "is missing", f"pip install '{one.name}{one}'", facts)
    if not one.allows(version):
        found = f"{version}; sr-datasets needs {one}"
        return Check("versions", one.name, "broken", found, f"pip install '{one.name}{one}'", facts)
    return Check("versions", one.name, "ok", version, facts=facts)


def check_extras(requirements: Sequence[str] | None, installed: VersionOf = version_of) -> Iterator[Check]:
    """Look which extras are here, wholly and in versions that fit."""
    by_extra: dict[str, list[Requirement]] = {}
    for one in map(parse_requirement, requirements or ()):
        if one.extra is not None and one.extra not in _OF_DEVELOPERS:
            by_extra.setdefault(one.extra, []).append(one)
    for extra, wanted in by_extra.items():
        versions = {one.name: installed(one.name) for one in wanted}
        unfit = [
            f"{one.name} {version or 'is missing'}" + (f", needs {one}" if version else "")
            for one in wanted
            if (version := versions[one.name]) is None or not one.allows(version)
        ]
        purpose = EXTRAS.get(extra, "")
        here = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
        if not unfit:
            yield Check("extras", extra, "ok", here, facts={"versions": versions})
        elif not here:
            found = f"not installed{': ' if purpose else ''}{purpose}"
            yield Check("extras", extra, "note", found, _install(extra), {"versions": versions})
        else:
            # Something of it is there by chance, or too old: what needs the extra says so in a sentence.
            found = f"{'; '.join(unfit)}{': ' if purpose else ''}{purpose}"
            yield Check("extras", extra, "note", found, _install(extra), {"versions": versions})


def _install(extra: str) -> str:
    return f"pip install 'sr-datasets[{extra}]'"


def check_codecs() -> Iterator[Check]:
    """Try every encoder that a recipe can ask for, and look for every decoder that clips need."""
    from sr_datasets.degrade.codec import CodecKind, encoder_of
    from sr_datasets.video.decoders import DECODERS, ffmpeg_version, missing_decoders

    again = "pip install --force-reinstall --only-binary av av"
    missing = missing_decoders()
    have = [name for name in DECODERS if name not in missing]
    yield Check("codecs", "FFmpeg", "ok", ffmpeg_version(), facts={"version": ffmpeg_version()})
    yield Check(
        "codecs",
        "decoders",
        "broken" if missing else "ok",
        f"missing: {', '.join(missing)}; clips coded so cannot be read" if missing else ", ".join(have),
        again if missing else "",
        {"here": have, "missing": missing},
    )
    for kind in get_args(CodecKind):
        try:
            build = encoder_of(kind)
        except ValueError:
            found = f"not in this build of PyAV: recipes with a step {kind} cannot be built here"
            yield Check("codecs", kind, "note", found, again, {"build": None})
        except OSError as error:  # PyAV's errors are OSErrors
            yield Check("codecs", kind, "broken", f"fails: {error}", again, {"build": None})
        else:
            yield Check("codecs", kind, "ok", _short(build), facts={"build": build})


def _short(build: str) -> str:
    """Leave FFmpeg's version out, which has a line of its own."""
    name, *_, output = build.split(", ")
    return f"{name}, {output}"


def _release(version: str) -> tuple[int, ...]:
    numbers = re.match(r"v?(?:\d+!)?(\d+(?:\.\d+)*)", version)
    if numbers is None:
        return ()
    parts = [int(part) for part in numbers[1].split(".")]
    while parts and parts[-1] == 0:
        parts.pop()  # 18 and 18.0 are one release
    return tuple(parts)
