"""A site on 127.0.0.1 that stands in for YouTube and for the publisher of its annotations; answers ranges properly."""

import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from servers import QuietServer

# Teaches yt-dlp the site's pages with metadata, as its own extractor knows YouTube's.
EXTRACTOR = r"""
from yt_dlp.extractor.common import InfoExtractor
from yt_dlp.utils import ExtractorError

class LocalSiteIE(InfoExtractor):
    _VALID_URL = r"(?P<base>http://127\.0\.0\.1:\d+)/page\?v=(?P<id>[\w-]{11})"

    def _real_extract(self, url):
        base, video_id = self._match_valid_url(url).group("base", "id")
        info = self._download_json(f"{base}/info/{video_id}.json", video_id)
        if "error" in info:
            raise ExtractorError(info["error"], expected=True)
        formats = [{**each, "url": base + each["url"]} for each in info.pop("formats")]
        return {"id": video_id, "title": "t", "formats": formats, **info}
"""


@dataclass
class Site:
    """Serves ``files`` by path with query; ``hooks`` are asked first and may answer (status, headers, body)."""

    files: dict[str, bytes] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    hooks: dict[str, Callable[[], tuple[int, dict[str, str], bytes] | None]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    cookies: set[str] = field(default_factory=set)

    def __enter__(self) -> Self:
        site = self

        class Bound(_Handler):
            owner = site

        self.closing = threading.Event()
        self.http = QuietServer(("127.0.0.1", 0), Bound)
        self.http.daemon_threads = True
        self.http.block_on_close = False
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.http.server_address[1]}/{path}"

    def video(self, youtube_id: str, path: Path, *, kind: str = "video/x-matroska", **info: Any) -> None:
        """Offer a video twice: as a plain file, and on a page with metadata."""
        name = f"watch?v={youtube_id}"
        self.files[name] = path.read_bytes()
        self.types[name] = kind
        one = {
            "format_id": "one", "url": f"/{name}", "ext": path.suffix[1:], "vcodec": "ffv1", "acodec": "none",
            "width": 64, "height": 48,
        }  # fmt: skip
        self.page(youtube_id, **{"formats": [one], **info})

    def page(self, youtube_id: str, **info: Any) -> None:
        """Offer a page with metadata, or with an error."""
        self.files[f"info/{youtube_id}.json"] = json.dumps(info).encode()

    def hang(self) -> None:
        """Answer nothing for a minute, or until the site closes: a hook."""
        self.closing.wait(60)

    def times_asked(self, part: str) -> int:
        return sum(part in path for path in self.asked)


class _Handler(BaseHTTPRequestHandler):
    owner: Site
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        self.owner.asked.append(name)
        if cookie := self.headers["Cookie"]:
            self.owner.cookies.add(cookie)
        hook = self.owner.hooks.get(name)
        answer = hook() if hook else None
        if answer is not None:
            return self._send(*answer)
        data = self.owner.files.get(name)
        if data is None:
            return self._send(404, {}, b"not here")
        headers = {
            "Content-Type": self.owner.types.get(name, "application/octet-stream"),
            "Accept-Ranges": "bytes",
            "ETag": f'"{hashlib.sha256(data).hexdigest()[:12]}"',
        }
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers["Range"] or "")
        if wanted is None:
            return self._send(200, headers, data)
        start, end = int(wanted[1]), min(int(wanted[2] or len(data)), len(data) - 1)
        if start >= len(data):
            return self._send(416, {"Content-Range": f"bytes */{len(data)}"}, b"")
        stated = {"Content-Range": f"bytes {start}-{end}/{len(data)}"}
        return self._send(206, headers | stated, data[start : end + 1])

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        try:
            self.send_response(status)
            for key, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
        except ConnectionError:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass
