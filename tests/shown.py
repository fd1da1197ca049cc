"""The commands that README.md and docs/ show, and a small world in which they run."""

import hashlib
import io
import re
import shlex
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import yaml
from clips import formula_planes, y4m_bytes
from PIL import Image
from servers import FaultServer

from sr_datasets.store import Store

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MANIFESTS = ROOT / "manifests"

# Names of real clips, and the small ones that stand in for them here: width, height, frames, pixel format.
XIPH = {
    **dict.fromkeys(("akiyo_cif", "bus_cif", "mobile_cif", "akiyo_qcif"), (112, 96, 3, "yuv420p")),
    **dict.fromkeys(
        ("blue_sky_1080p25", "riverbed_1080p25", "sunflower_1080p25", "tractor_1080p25", "crowd_run_1080p50"),
        (96, 80, 3, "yuv420p"),
    ),
}
UVG = {
    **dict.fromkeys(("Beauty", "Bosphorus", "ShakeNDry"), (96, 80, 3, "yuv420p")),
    "ShakeNDry_2160p_10bit": (96, 80, 2, "yuv420p10le"),
}
VID4 = ("calendar", "city", "foliage", "walk")
MADE = "COMPUTED made by the tests"
DEMO = ("leaves_1", "print_1", "leaves_3", "depth_2")


def commands_of(page: Path) -> list[str]:
    """Return the lines of a page's blocks of code that run sr-data, without what explains them."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^( *)```\w*[^\n]*\n(.*?)^\1```", text, flags=re.DOTALL | re.MULTILINE)
    lines = [line.strip().removeprefix("$ ") for _, block in blocks for line in block.splitlines()]
    found = [line for line in lines if re.search(r"(^|[|&] )sr-data |-m sr_datasets\.cli ", line)]
    return [re.split(r" {2,}| #", line)[0] for line in found]


def command_lines() -> Iterator[tuple[str, str]]:
    """Yield every page's name with each command that it shows."""
    for page in PAGES:
        for line in commands_of(page):
            yield str(page.relative_to(ROOT)), line


def words_of(line: str, places: Mapping[str, str]) -> Iterator[list[str]]:
    """Yield the words of each command of a line, with the places of this world in place of those of the page."""
    for text, place in places.items():
        line = line.replace(text, place)
    line = line.replace("[", "").replace("]", "")  # options that may be left out
    for command in re.split(r" && ", line):
        words = shlex.split(command)
        yield words[words.index("sr-data" if "sr-data" in words else "sr_datasets.cli") + 1 :]


class _Words(yaml.SafeLoader):
    """YAML of 1.2, as the package reads it: yes and no are words."""

    yaml_implicit_resolvers: ClassVar = {
        key: [each for each in resolvers if each[0] != "tag:yaml.org,2002:bool"]
        for key, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


class World:
    """A home, a data folder and a working folder in which the pages' commands run, on small clips named as real ones.

    Sources that are downloaded lie on ``server``; the user's folder of manifests says so.
    """

    def __init__(self, root: Path, server: FaultServer) -> None:
        self.home, self.work, self.ready = root / "home", root / "work", root / "ready"
        self.store = Store(root / "store")
        self.manifests = root / "config" / "sr-datasets" / "manifests"
        self.server = server
        for folder in (
            self.home,
            self.work,
            self.ready,
            self.manifests / "sources",
            self.manifests / "recipes",
        ):
            folder.mkdir(parents=True)
        videos = {"xiph": XIPH, "uvg": UVG}
        for source, clips in videos.items():
            self._write_source(
                source, {name: self._serve(source, name, *shape) for name, shape in clips.items()}
            )
        self._write_source("demo", dict.fromkeys(DEMO))
        self._write_source("t91", dict.fromkeys(("t1", "t2", "t3"), picture_facts(110, 110)))
        for source, pictures in (("set5", ("baby", "bird")), ("set14", ("comic", "lenna"))):
            paths = write_pictures(self.home / source, pictures, 66, 60)
            archive = self._pack(f"{source}.zip", {f"{path.name}": path for path in paths})
            facts = {
                path.stem: picture_facts(66, 60)
                | {"archive": archive["id"], "members": [f"**/{path.name}", path.name]}
                for path in paths
            }
            self._write_source(source, facts, archives=[archive])
        self._write_vid4()
        frames = {"media": "frames", "width": 96, "height": 80, "num_frames": 4}
        self._write_source("reds", {"train-000": frames}, evidence={"mirrors": "UNKNOWN"})
        small = {"width": 96, "height": 80}
        few = {"kind": "uniform", "patches_per_pair": 8, "lr_size": 16}
        self._write_recipe("open-30", where=small, sampling=few, split={"counts": {"test": 1, "train": -1}})
        self._write_recipe("cdvl-30", where=small, sampling=few, split={"counts": {"test": 1, "train": -1}})
        splits = {
            "train": ["demo/leaves_1", "demo/print_1"],
            "val": ["demo/depth_2"],
            "test": ["demo/leaves_3"],
        }
        self._write_recipe("demo", split={"clips": splits})

    def copied(self, root: Path) -> "World":
        """Return a world of the same content in another folder."""
        other = copy(self)
        other.home, other.work, other.ready = root / "home", root / "work", root / "ready"
        other.store = Store(root / "store")
        other.manifests = root / "config" / "sr-datasets" / "manifests"
        shutil.copytree(self.home.parent, root, dirs_exist_ok=True)
        register = other.store.root / "sets.json"
        register.write_text(register.read_text().replace(str(self.home.parent), str(root)))
        return other

    def bring(self, words: Sequence[str], others: Mapping[str, str]) -> None:
        """Bring what a command reads and no command before it made, or what stands for it in ``others``."""
        for before, word in zip(["", *words], words, strict=False):
            name = word.rstrip("/")
            source = self.work / words[1] if name == "older" else self.ready / others.get(name, name)
            if before != "--out" and name and source.exists() and not (self.work / name).exists():
                (shutil.copytree if source.is_dir() else shutil.copyfile)(source, self.work / name)

    def _write_source(
        self,
        source: str,
        clips: Mapping[str, dict[str, Any] | None],
        *,
        evidence: Mapping[str, str] | None = None,
        **fields: Any,
    ) -> None:
        """Write the packaged manifest with some of its clips, and with other facts where they are given."""
        data = yaml.load((MANIFESTS / "sources" / f"{source}.yaml").read_text(encoding="utf-8"), _Words)
        packaged = {clip["id"]: clip for clip in data.get("clips", ())}
        kept = []
        for name, facts in clips.items():
            if facts is None:
                kept.append(packaged[name])
                continue
            license = {key: packaged[name][key] for key in ("license",) if key in packaged.get(name, {})}
            stated = " ".join(key for key in facts if key not in ("media", "archive"))
            kept.append({"id": name, **license, **facts, "evidence": {stated: MADE, **(evidence or {})}})
        groups = {
            group: [clip for clip in inside if clip in clips]
            for group, inside in data.get("groups", {}).items()
        }
        data |= {"clips": kept, "groups": {group: inside for group, inside in groups.items() if inside}}
        for name in ("archives", "series"):
            data.pop(name, None)
        (self.manifests / "sources" / f"{source}.yaml").write_text(
            yaml.safe_dump(data | fields, sort_keys=False)
        )

    def _write_recipe(self, name: str, **fields: Any) -> None:
        data = yaml.safe_load((MANIFESTS / "recipes" / f"{name}.yaml").read_text(encoding="utf-8"))
        (self.manifests / "recipes" / f"{name}.yaml").write_text(
            yaml.safe_dump(data | fields, sort_keys=False)
        )

    def _serve(
        self, source: str, name: str, width: int, height: int, frames: int, pixel_format: str
    ) -> dict[str, Any]:
        planes = [formula_planes(pixel_format, width, height, len(name) + index) for index in range(frames)]
        tag = {"yuv420p": "C420jpeg", "yuv420p10le": "C420p10"}[pixel_format]
        data = y4m_bytes(planes, f"F25:1 Ip A1:1 {tag} X{name}")
        self.server.files[f"{source}/{name}.y4m"] = data
        return {
            "mirrors": [self.server.url(f"{source}/{name}.y4m")],
            "size_bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "width": width,
            "height": height,
            "frame_rate": "25",
            "num_frames": frames,
            "pixel_format": pixel_format,
        }

    def _write_vid4(self) -> None:
        names = [f"{number:08}" for number in range(1, 5)]
        paths = [path for clip in VID4 for path in write_pictures(self.work / "GT" / clip, names, 96, 80)]
        archive = self._pack("Vid4.zip", {f"Vid4/{path.parent.name}/{path.name}": path for path in paths})
        facts = {"media": "frames", "archive": "Vid4.zip", "width": 96, "height": 80, "num_frames": 4}
        clips = {clip: facts | {"members": [f"Vid4/{clip}/*.png", f"**/{clip}/*.png"]} for clip in VID4}
        self._write_source("vid4", clips, archives=[archive])

    def _pack(self, name: str, members: Mapping[str, Path]) -> dict[str, Any]:
        """Serve an archive, and return what a manifest says of it."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as file:
            for member, path in members.items():
                file.write(path, member)
        self.server.files[name] = packed.getvalue()
        return {"id": name, "mirrors": [self.server.url(name)], "evidence": {"mirrors": MADE}}


def picture_facts(width: int, height: int) -> dict[str, Any]:
    return {"media": "image", "width": width, "height": height, "num_frames": 1, "pixel_format": "rgb24"}


def write_pictures(
    folder: Path, names: Sequence[str], width: int, height: int, *, cell: int = 6
) -> list[Path]:
    """Write PNG files of noise that is smooth within cells, each another one."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name in names:
        draws = np.random.default_rng(list(f"{folder.name}/{name}".encode()))
        small = draws.integers(0, 256, (height // cell, width // cell, 3), dtype=np.uint8)
        paths.append(folder / f"{name}.png")
        Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).save(paths[-1])
    return paths
