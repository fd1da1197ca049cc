"""Tasks on a Ray cluster of several nodes, one of which is killed; the nodes are processes of this machine."""

import os
import random
import re
import shutil
import socketserver
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from made import RECIPE, made_store, put_clip, recipe_of
from test_build import hashes

from sr_datasets.build import Part, build_pairs, build_part
from sr_datasets.engine import RayCluster, run_tasks
from sr_datasets.errors import BuildError, DecodeError, MissingExtraError

NEEDS_RAY = "Ray is not installed: pip install 'sr-datasets[ray]'"


def square(number: int) -> int:
    return number * number


def refuse(number: int) -> int:
    if number == 3:
        raise DecodeError("clip 3 cannot be read")
    return number


def die_once(folder: str) -> str:
    """End the process at the first try, as one that is killed for want of memory."""
    try:
        (Path(folder) / "tried").mkdir()
    except FileExistsError:
        return "done"
    os._exit(9)


@contextmanager
def ray_cluster(nodes: int, cpus: int) -> Iterator[Any]:
    """Run a head without CPUs, and nodes that have some; small, on loopback, with its files in a folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        # Ray's own way to stay on loopback: a machine's outer address may not be reachable from itself.
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        # Nodes import what tasks are made of.
        paths = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "src")]
        patch.setenv("PYTHONPATH", os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")]))
        pytest.importorskip("ray", reason=NEEDS_RAY)
        from ray.cluster_utils import Cluster

        # Unix sockets lie in it, so its name must be short.
        folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
        small: dict[str, Any] = {"object_store_memory": 80 << 20, "plasma_directory": folder}
        head = {"num_cpus": 0, "temp_dir": folder, "include_dashboard": False, **small}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            for _ in range(nodes):
                cluster.add_node(num_cpus=cpus, **small)
            yield cluster
        finally:
            cluster.shutdown()
            shutil.rmtree(folder, ignore_errors=True)


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)

    with pytest.raises(MissingExtraError, match=r"--engine ray needs.*pip install 'sr-datasets\[ray\]'"):
        list(run_tasks(square, [1], workers=RayCluster()))


@pytest.fixture
def no_ray_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Ray fail to connect, whether it is installed or not."""

    def init(**_: Any) -> None:
        raise ConnectionError("Failed to connect to Ray cluster.\nMore lines.")

    ray = ModuleType("ray")
    vars(ray).update(is_initialized=lambda: False, init=init, exceptions=ModuleType("ray.exceptions"))
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.exceptions", ray.exceptions)


@contextmanager
def listening(answer: bytes | None) -> Iterator[str]:
    """Listen on loopback, and answer whatever comes; None keeps silent."""

    class Answer(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(4096)
            if answer is None:
                done.wait(60)
            else:
                self.request.sendall(answer)

    done = threading.Event()
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            done.set()
            server.shutdown()


def refused(address: str) -> str:
    with pytest.raises(BuildError) as caught:
        list(run_tasks(square, [1], workers=RayCluster(address)))
    return str(caught.value)


@pytest.mark.usefixtures("no_ray_behind")
@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:1", "ray start --head"),
        ("ray://127.0.0.1:1", r"ray\[client\]"),
        ("auto", "no Ray cluster was found: Failed to connect to Ray cluster. Start one"),
        ("local", "--workers"),
    ],
)
def test_an_address_where_nobody_answers_is_told_at_once(address: str, words: str):
    assert re.search(words, refused(address))


@pytest.mark.usefixtures("no_ray_behind")
@pytest.mark.parametrize(
    "address",
    [
        "", "127.0.0.1", "LOCAL", "127.0.0.1:6379 ", " 127.0.0.1:6379", "a..b:6379", f"{'a' * 64}.de:6379", "-a:6379",
        "host:6379/x", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:999999999999999999999", "127.0.0.1:", ":6379",
        "ray://", "http://127.0.0.1:6379", "[::1:6379", "127.0.0.1:\uff16379",
    ],
)  # fmt: skip
def test_what_is_no_address_is_told_with_the_form_that_it_has(address: str):
    assert refused(address).startswith(
        f"--ray-address '{address}' is no address of a Ray cluster: write HOST:PORT"
    )


@pytest.mark.usefixtures("no_ray_behind")
@pytest.mark.parametrize("address", ["localhost:1", "[::1]:1", "my_host-2.example.:1", "ray://localhost:1"])
def test_addresses_of_all_forms_are_looked_at(address: str, monkeypatch: pytest.MonkeyPatch):
    def connect(place: tuple[str, int], **_: Any) -> None:
        asked.append(place)
        raise ConnectionRefusedError("refused")

    asked: list[tuple[str, int]] = []
    monkeypatch.setattr("socket.create_connection", connect)
    assert "refused" in refused(address)
    assert asked == [(address.removeprefix("ray://").rpartition(":")[0].strip("[]"), 1)]


@pytest.mark.usefixtures("no_ray_behind")
@pytest.mark.parametrize("address", ["auto", "127.0.0.1:1"])
def test_a_cluster_that_is_not_there_leaves_nothing_behind_a_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
):
    store, recipe = made_store(tmp_path, monkeypatch), recipe_of(tmp_path)
    with pytest.raises(BuildError, match="no Ray cluster"):
        build_pairs(recipe, out_dir=tmp_path / "out", store=store, workers=RayCluster(address))
    with pytest.raises(BuildError, match="no Ray cluster"):
        build_part(
            recipe, part=Part(1, 2), out_dir=tmp_path / "out", store=store, workers=RayCluster(address)
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("no_ray_behind")
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not answer as Ray does. Start one"),
        (b"", "does not answer as Ray does. Start one"),
        (None, "nothing came within 0.5 s. Start one"),
        (
            bytes.fromhex("000000040000000000"),
            "does not take this command: Failed to connect to Ray cluster. Where .*_TOKEN",
        ),
    ],
)
def test_what_listens_and_is_no_cluster_is_told_from_one_that_refuses(
    answer: bytes | None, words: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sr_datasets.engine._ANSWER_SECONDS", 60 if answer is not None else 0.5)
    with listening(answer) as address:
        assert re.search(f"{address}.*{words}", refused(address))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_node_that_is_killed_at_any_moment_changes_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Ten builds on three nodes, of which one is killed at a random moment of each, and another one takes its place."""
    store = made_store(tmp_path, monkeypatch)
    for number in range(5, 20):
        put_clip(store, f"clip{number}", width=176, height=144, num_frames=12, seed=number)
    text = RECIPE.replace("clips_per_shard: 2", "clips_per_shard: 1")
    recipe = recipe_of(tmp_path, text + "degradation: real-esrgan\n")
    alone = build_pairs(recipe, out_dir=tmp_path / "alone", store=store)
    draws = random.Random(7)
    with ray_cluster(3, 1) as cluster:
        there = RayCluster(cluster.address)
        assert sorted(run_tasks(square, range(10), workers=there)) == [
            (number, number**2) for number in range(10)
        ]
        with pytest.raises(DecodeError, match="clip 3 cannot be read"):
            list(run_tasks(refuse, range(6), workers=there))
        assert list(run_tasks(die_once, [str(tmp_path)], workers=there)) == [(str(tmp_path), "done")]
        for number in range(10):
            victim = draws.choice(cluster.list_all_nodes()[1:])
            out_dir = tmp_path / f"set{number}"
            after = draws.randrange(0, 18)
            killer = threading.Thread(target=_kill_after, args=(cluster, victim, out_dir, after))
            killer.start()
            build_pairs(recipe, out_dir=out_dir, store=store, workers=there)
            killer.join()
            assert hashes(out_dir) == hashes(tmp_path / "alone")
            cluster.add_node(num_cpus=1, object_store_memory=80 << 20, plasma_directory=str(tmp_path))
    assert alone.num_shards == 20


def _kill_after(cluster: Any, victim: Any, out_dir: Path, shards: int) -> None:
    """Kill a node, without a word to it, when so many shards are there."""
    while len(list((out_dir / "data").glob("*.parquet"))) < shards:
        time.sleep(0.005)
    cluster.remove_node(victim, allow_graceful=False)
