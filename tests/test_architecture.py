"""The floors of docs/architecture.md: a module imports from its own floor's left or from below."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "sr_datasets"

# From the ground up. Rooms of one floor that stand in one set do not know each other; those of a list do,
# from left to right.
FLOORS: list[list[set[str]]] = [
    [{"errors"}],
    [{"files", "keys", "progress", "models", "exact", "aside"}, {"yamlfile", "remotes", "journal"}],
    [{"color", "metrics", "draws", "arithmetic"}],
    [{"manifest"}, {"facts"}, {"recipe"}, {"rules"}],
    [{"store"}, {"catalog"}, {"terms"}, {"built"}],
    [{"guarded"}, {"engine"}],
    [{"fetch", "video", "degrade", "sampling", "shards"}],
    [{"card"}, {"ingest", "build", "audit", "inspect"}, {"forget"}, {"push", "export"}],
    [{"report"}],
    [{"dataset"}],
    [{"espcn"}],
    [{"quickstart", "doctor"}],
    [{"cli"}],
]
ORDER = {
    room: (height, place)
    for height, floor in enumerate(FLOORS)
    for place, rooms in enumerate(floor)
    for room in rooms
}
HEAVY = {
    "torch": {"dataset", "espcn"},
    "safetensors": {"espcn"},
    "onnx": {"espcn"},
    "onnxruntime": {"espcn"},
    "lpips": {"espcn"},
    "requests": {"fetch"},
    "yt_dlp": {"fetch"},
    "av": {"video", "degrade"},
    "jinja2": {"report"},
    "typer": {"cli"},
    "rich": {"cli"},
    "scenedetect": {"build"},
}


def room_of(path: Path) -> str:
    inside = path.relative_to(PACKAGE)
    return inside.parts[0] if len(inside.parts) > 1 else inside.stem


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def imported_by(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_below(path: Path):
    room = room_of(path)
    assert room in ORDER, f"{room} stands on no floor: give it one here and in docs/architecture.md"
    for name in imported_by(path):
        parts = name.split(".")
        if parts[0] != "sr_datasets" or len(parts) < 2 or parts[1] == room or parts[1] not in ORDER:
            continue
        assert ORDER[parts[1]] < ORDER[room], f"{room} imports {name} from its own floor or above"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_heavy_library_stays_in_its_rooms(path: Path):
    for name in imported_by(path):
        rooms = HEAVY.get(name.split(".")[0])
        assert rooms is None or room_of(path) in rooms, f"{path} imports {name}, which belongs to {rooms}"


def test_every_room_stands_in_the_architecture_page():
    page = (PACKAGE.parents[1] / "docs" / "architecture.md").read_text()

    missing = [
        room
        for room in {room_of(path) for path in modules()}
        if f"`{room}" not in page and f"{room}" not in page
    ]
    assert not missing


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_parquet_files_are_given_to_arrow_open(path: Path):
    # Arrow takes a path such as run:1/data for an address, so what pq gets first is an open file (a table when it writes).
    for call in ast.walk(ast.parse(path.read_text())):
        if isinstance(call, ast.Call) and re.fullmatch(r"pq\.\w+", ast.unparse(call.func)):
            given = ast.unparse(call.args[ast.unparse(call.func) == "pq.write_table"])
            opened = re.fullmatch(
                r"file|sink|source|alone|pa\.OSFile\(.*\) if source is None else source", given
            )
            assert opened, f"{path}: {ast.unparse(call)}"
