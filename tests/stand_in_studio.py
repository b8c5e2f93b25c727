"""A stand-in for Label Studio over HTTP, for what the real one cannot be brought to do.

It answers the calls of bulk jobs as 1.23.2 does, and fails when a test says so.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlsplit

Row = dict[str, Any]


@dataclass
class Fault:
    """What happens to the next `times` requests that match.

    done   whether the request is carried out all the same; status 0 breaks the connection off
    """

    method: str
    part: str
    status: int
    times: int = 1
    done: bool = False
    headers: dict[str, str] = field(default_factory=dict)


class StandInStudio:
    """One project, 1, with tasks and predictions; `seen`: method and path of every request."""

    def __init__(self, label_config: str, image: bytes) -> None:
        self.project: Row = {
            "id": 1, "title": "stand-in", "label_config": label_config,
            "show_collab_predictions": False, "model_version": "",
        }  # fmt: skip
        self.image = image
        self.images: dict[str, bytes] = {}  # others, by the last part of the address
        self.tasks: dict[int, Row] = {}
        self.annotations: dict[int, list[Row]] = {}
        self.predictions: dict[int, Row] = {}
        self.views: dict[int, list[int]] = {}
        self.faults: list[Fault] = []
        self.seen: list[tuple[str, str]] = []
        self.largest_page = 1000
        self.is_invalid: Callable[[Row], bool] = lambda _prediction: False
        self.before: Callable[[str, str], None] = lambda _method, _path: None
        self.port = 0
        self.lock = threading.RLock()
        self._ids = count(1)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def add_tasks(self, number: int) -> list[int]:
        start = len(self.tasks) + 1
        made = list(range(start, start + number))
        for task_id in made:
            self.tasks[task_id] = {"image": f"/data/upload/1/{task_id}.png"}
        return made

    def fail(self, method: str, part: str, status: int, times: int = 1, **more: Any) -> None:
        self.faults.append(Fault(method, part, status, times, **more))

    def add_prediction(self, task_id: int, version: str, result: list[Row] | None = None) -> int:
        prediction = {"task": task_id, "model_version": version, "result": result or []}
        number = next(self._ids)
        self.predictions[number] = {"id": number, "score": 0.5, **prediction}
        return number

    def versions(self, task_id: int) -> list[str]:
        """Model versions of a task's predictions."""
        with self.lock:
            rows = self.predictions.values()
            return [row["model_version"] for row in rows if row["task"] == task_id]

    def calls(self, method: str, part: str) -> int:
        return sum(1 for m, path in self.seen if m == method and part in path)

    # what it answers

    def answer(self, method: str, target: str, body: bytes) -> tuple[int, object]:
        url = urlsplit(target)
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        parts = url.path.strip("/").split("/")
        with self.lock:
            match method, parts:
                case "GET", ["data", *_, name]:
                    return 200, self.images.get(name, self.image)
                case "GET", ["api", "tasks"]:
                    return self._task_page(query)
                case "GET", ["api", "projects", "1"]:
                    return 200, self.project
                case "PATCH", ["api", "projects", "1"]:
                    self.project |= json.loads(body)
                    return 200, self.project
                case "POST", ["api", "projects", "1", "import", "predictions"]:
                    return self._import(json.loads(body))
                case "GET", ["api", "projects", "1", "model-versions"]:
                    found = [row["model_version"] for row in self.predictions.values()]
                    return 200, {version: found.count(version) for version in found}
                case "DELETE", ["api", "projects", "1", "model-versions"]:
                    gone = json.loads(body)["model_version"]
                    kept = {k: r for k, r in self.predictions.items() if r["model_version"] != gone}
                    self.predictions = kept
                    return 204, None
                case "PATCH", ["api", "tasks", number]:
                    self.tasks[int(number)] = json.loads(body)["data"]  # all of it
                    return 200, {"id": int(number), "data": self.tasks[int(number)]}
                case "DELETE", ["api", "predictions", number]:
                    del self.predictions[int(number)]
                    return 204, None
        return 404, {"detail": "Not found."}

    def _task_page(self, query: dict[str, str]) -> tuple[int, object]:
        asked = json.loads(query.get("query", "{}"))
        ids = sorted(self.tasks)
        if "view" in query:
            ids = [i for i in self.views[int(query["view"])] if i in self.tasks]
        included = asked.get("selectedItems", {}).get("included")
        if included:  # an empty list means all, as in Label Studio
            ids = [i for i in ids if i in included]
        for condition in asked.get("filters", {}).get("items", []):
            ids = [i for i in ids if self._meets(i, condition)]
        if asked.get("ordering") == ["-tasks:id"]:
            ids.reverse()
        size = min(int(query.get("page_size", 100)), self.largest_page)
        page = int(query.get("page", 1))
        if page > 1 and (page - 1) * size >= len(ids):
            return 404, {"detail": "Invalid page."}
        full = query.get("fields") == "all"
        rows = [self._row(i, full=full) for i in ids[(page - 1) * size : page * size]]
        return 200, {"tasks": rows, "total": len(ids)}

    def _row(self, task_id: int, *, full: bool) -> Row:
        row: Row = {"id": task_id, "data": self.tasks[task_id]}
        if full:
            row["annotations"] = self.annotations.get(task_id, [])
            row["predictions"] = [r for r in self.predictions.values() if r["task"] == task_id]
        return row

    def _meets(self, task_id: int, condition: Row) -> bool:
        value, versions = condition["value"], self.versions(task_id)
        match condition["filter"].removeprefix("filter:tasks:"), condition["operator"]:
            case "predictions_model_versions", "contains":
                return any(part in version for part in value for version in versions)
            case "predictions_model_versions", "not_contains":
                return not any(part in version for part in value for version in versions)
            case "total_annotations", "equal":
                return len(self.annotations.get(task_id, [])) == value
            case "total_annotations", "greater":
                rows = self.annotations.get(task_id, [])
                return sum(not row.get("was_cancelled") for row in rows) > int(value)
            case "total_predictions", "greater":
                return len(versions) > int(value)
            case "id", "greater":
                return task_id > int(value)
        raise AssertionError(condition)

    def _import(self, predictions: list[Row]) -> tuple[int, object]:
        for row in predictions:
            if row["task"] not in self.tasks:
                return 400, {"detail": f"task ID {row['task']} not found in project"}
        good = [row for row in predictions if not self.is_invalid(row)]
        for row in good:
            self.add_prediction(row["task"], row["model_version"], row["result"])
        return 201, {"created": len(good)}

    def take_fault(self, method: str, path: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.method == method and fault.part in path and fault.times:
                    fault.times -= 1
                    return fault
        return None


@contextmanager
def running(studio: StandInStudio) -> Iterator[StandInStudio]:
    """Serve it on a free loopback port until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = urlsplit(self.path).path
            studio.seen.append((self.command, path))
            studio.before(self.command, path)
            fault = studio.take_fault(self.command, path)
            status, content = 200, None
            if fault is None or fault.done:
                status, content = studio.answer(self.command, self.path, body)
            if fault is not None:
                status, content = fault.status, {"detail": "as the test wants it"}
            if status == 0:
                self.close_connection = True
                return
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in (fault.headers if fault else {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(0 if status == 204 else len(data)))
            self.end_headers()
            if status != 204:
                self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815  the base class asks for them

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # clients that break off are what is tested

    server = Server(("127.0.0.1", studio.port), Handler)
    studio.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield studio
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
