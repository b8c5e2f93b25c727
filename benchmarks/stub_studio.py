"""A Label Studio of one project in memory: as much of its API as bulk jobs use, and no more.

    python benchmarks/stub_studio.py TASKS PORT_FILE

Serves on a free loopback port until it is killed, and writes the port into a file.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from PIL import Image, ImageDraw

CONFIG = """<View><Image name="image" value="$image"/>
<PolygonLabels name="outline" toName="image">
<Label value="person"/><Label value="car"/></PolygonLabels></View>"""


class StubStudio:
    """`tasks`: their number; ids count from 1. What follows may be changed while it serves.

    config         the labelling config
    image_delay_s  before each image
    damaged        tasks whose image is none
    write_delay_s  before predictions are stored
    writes_twice   stores two predictions of each that comes
    """

    def __init__(self, tasks: int) -> None:
        self.tasks = tasks
        self.config = CONFIG
        self.image_delay_s = 0.0
        self.images_sent = 0
        self.damaged: frozenset[int] = frozenset()
        self.write_delay_s = 0.0
        self.writes = 0
        self.writes_twice = False
        self.project: dict[str, Any] = {"id": 1, "title": "Streets", "model_version": ""}
        self.predictions: dict[int, list[dict[str, Any]]] = defaultdict(list)
        self._by_version: dict[str, set[int]] = defaultdict(set)
        self._counts: Counter[str] = Counter()
        self._ids = count(1)
        self._lock = threading.Lock()
        self._image = _jpeg()

    def answer(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Any:
        """The JSON of an answer, or bytes of an image; None where there is no such thing."""
        if path.startswith("/data/upload/"):
            time.sleep(self.image_delay_s)
            self.images_sent += 1
            is_damaged = int(Path(path).stem) in self.damaged
            return b"no image" if is_damaged else self._image
        if path.endswith("/import/predictions"):
            self.writes += 1
            time.sleep(self.write_delay_s)
        with self._lock:
            return self._answer(method, path, query, body)

    def _answer(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Any:
        if path == "/api/tasks/":
            return self._page(query)
        if path == "/api/projects/1/import/predictions":
            for prediction in body * (2 if self.writes_twice else 1):
                self._add(prediction)
            return {"created": len(body)}
        if path == "/api/projects/1/model-versions/":
            return dict(self._counts)
        if path == "/api/projects/1/":
            self.project |= body or {}
            return {**self.project, "label_config": self.config}
        if path == "/api/current-user/whoami":
            return {"email": "stub@example.com"}
        if path.startswith("/api/predictions/") and method == "DELETE":
            self._delete(int(path.split("/")[3]))
            return {}
        return None

    def _add(self, prediction: dict[str, Any]) -> None:
        task_id, version = int(prediction["task"]), str(prediction["model_version"])
        self.predictions[task_id].append({"id": next(self._ids), "model_version": version})
        self._by_version[version].add(task_id)
        self._counts[version] += 1

    def _delete(self, prediction_id: int) -> None:
        for found in self.predictions.values():
            for prediction in found:
                if prediction["id"] == prediction_id:
                    found.remove(prediction)
                    self._counts[prediction["model_version"]] -= 1
                    return

    def _page(self, query: Mapping[str, str]) -> dict[str, Any]:
        asked = json.loads(query.get("query", "{}"))
        items = asked["filters"]["items"]
        selected = asked.get("selectedItems", {}).get("included")
        size, full = int(query["page_size"]), query["fields"] == "all"
        ids, total = self._matching(items, selected, size)
        return {"tasks": [self._row(task_id, full=full) for task_id in ids], "total": total}

    def _matching(
        self, items: Sequence[Mapping[str, Any]], selected: list[int] | None, size: int
    ) -> tuple[list[int], int]:
        """One page, and how many there are in all; fast where nothing has to be looked through."""
        behind, wanted, unwanted, several = 0, None, set(), False
        for item in items:
            column, value = item["filter"].rpartition(":")[2], item["value"]
            if column == "id":
                behind = int(value)
            elif column == "total_predictions":
                several = True
            elif item["operator"] == "contains":
                wanted = self._by_version[value[0]]
            else:
                unwanted = set().union(*(self._by_version[version] for version in value))
        ids: Iterable[int]
        if selected is not None:
            ids = sorted(i for i in selected if behind < i <= self.tasks)
        elif wanted is not None:
            if not several and behind == 0:
                return sorted(wanted)[:size], len(wanted)
            ids = sorted(i for i in wanted if i > behind)
        elif not unwanted:
            first = range(behind + 1, min(behind + size, self.tasks) + 1)
            return list(first), self.tasks - behind
        else:
            ids = range(behind + 1, self.tasks + 1)
        found = [
            i
            for i in ids
            if (wanted is None or i in wanted)
            and i not in unwanted
            and (not several or len(self.predictions[i]) > 1)
        ]
        return found[:size], len(found)

    def _row(self, task_id: int, *, full: bool) -> dict[str, Any]:
        row: dict[str, Any] = {"id": task_id, "data": {"image": f"/data/upload/1/{task_id}.jpg"}}
        if full:
            row |= {"annotations": [], "predictions": self.predictions[task_id]}
        return row


def serve(studio: StubStudio) -> ThreadingHTTPServer:
    """Listening; the caller lets it run."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def log_message(self, *_: object) -> None:
            pass

        def _do(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            parts = urlsplit(self.path)
            query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            found = studio.answer(self.command, parts.path, query, body)
            is_image = isinstance(found, bytes)
            data = found if is_image else json.dumps(found or {}).encode()
            self.send_response(404 if found is None else 200)
            self.send_header("Content-Type", "image/jpeg" if is_image else "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            self.wfile.flush()

        do_GET = do_POST = do_PATCH = do_DELETE = _do  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    return server


def _jpeg() -> bytes:
    image = Image.new("RGB", (160, 120), "skyblue")
    ImageDraw.Draw(image).ellipse((25, 25, 100, 95), "tomato")
    out = BytesIO()
    image.save(out, "JPEG")
    return out.getvalue()


if __name__ == "__main__":
    running = serve(StubStudio(int(sys.argv[1])))
    Path(sys.argv[2]).write_text(str(running.server_address[1]))
    running.serve_forever()
