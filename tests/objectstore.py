"""A real S3 server on loopback (moto's), and a line to it that breaks in the middle of an answer."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import requests
from pyarrow import fs

KEYS = {
    "AWS_ACCESS_KEY_ID": "tester",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class ObjectStore:
    """One bucket, ``tests``, on a server that runs in this process."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.filesystem: Any = fs.S3FileSystem(
            endpoint_override=f"127.0.0.1:{port}", scheme="http", allow_bucket_creation=True
        )
        self.filesystem.create_dir("tests")

    def address(self, path: str, *, port: int | None = None) -> str:
        return f"s3://tests/{path}?endpoint_override=http://127.0.0.1:{port or self.port}&scheme=http"

    def names(self, path: str) -> list[str]:
        found = self.filesystem.get_file_info(
            fs.FileSelector(f"tests/{path}", recursive=True, allow_not_found=True)
        )
        return sorted(
            info.path.removeprefix(f"tests/{path}/") for info in found if info.type == fs.FileType.File
        )

    def get(self, path: str) -> bytes:
        with self.filesystem.open_input_file(f"tests/{path}") as file:
            return bytes(file.read())

    def put(self, path: str, data: bytes) -> None:
        with self.filesystem.open_output_stream(f"tests/{path}") as file:
            file.write(data)

    def put_folder(self, path: str, folder: Path) -> None:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                self.put(f"{path}/{file.relative_to(folder)}", file.read_bytes())


@contextmanager
def object_store(patch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """Run the server, with keys for it in the environment; skip where moto is not installed."""
    moto = pytest.importorskip(
        "moto.server", reason="the S3 server of moto is not installed: pip install 'moto[server]'"
    )
    for name, value in KEYS.items():
        patch.setenv(name, value)
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        port = server.get_host_and_port()[1]
        # All servers of a process share their objects: those of an earlier test go.
        requests.post(f"http://127.0.0.1:{port}/moto-api/reset", timeout=60).raise_for_status()
        yield ObjectStore(port)
    finally:
        server.stop()


class BreakingLine:
    """Passes bytes to and from a server; the next ``breaks`` large answers end after ``after`` bytes.

    What goes to the server waits as long as ``held`` says so.
    """

    def __init__(self, port: int, *, after: int = 3000, held: Callable[[], bool] = lambda: False) -> None:
        self._held = held
        self._closed = threading.Event()
        self.breaks, self.broken, self.requests, self.after = 0, 0, 0, after
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._to))
            threading.Thread(
                target=self._pass, args=(near, far), kwargs={"answers": False}, daemon=True
            ).start()
            threading.Thread(
                target=self._pass, args=(far, near), kwargs={"answers": True}, daemon=True
            ).start()

    def _pass(self, source: socket.socket, sink: socket.socket, *, answers: bool) -> None:
        passed = 0
        with suppress(OSError):
            while data := source.recv(1024):
                self.requests += not answers
                while not answers and self._held() and not self._closed.wait(0.01):
                    pass
                passed += len(data)
                if answers and self.breaks > 0 and passed > self.after:
                    self.breaks -= 1
                    self.broken += 1
                    break
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self) -> None:
        self._closed.set()
        self._listener.close()
