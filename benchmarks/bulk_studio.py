"""Three ways to get predictions for many tasks into a real Label Studio, in turn.

    python -m benchmarks.bulk_studio ENVIRONMENT [--tasks N] [--rounds N]

ENVIRONMENT: Label Studio's packages (.cache/envs/label-studio). Tasks a second, from the beginning
to the last stored prediction, with the demo's model and scenes, on this machine alone:

prelabel   `labelvino prelabel`, with the start of the command
retrieve   the Data Manager's Retrieve Predictions, all tasks in one request
one each   `labelvino serve` asked for each task, each prediction posted by itself

The scenes are few, so that the result cache, which all three have, saves nearly all inference: what
is compared is everything else.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx2

from backend.demo import MODEL_PATH
from backend.demo.folder import DemoFolder
from backend.demo.run import DemoOptions, RunningDemo, running_demo
from benchmarks.chart import write_bars
from benchmarks.machine import describe

TIMEOUT_S = 300.0


class Studio:
    """The demo's Label Studio, with projects of many tasks on its few images."""

    def __init__(self, demo: RunningDemo, token: str) -> None:
        self.url, self.backend_url, self.token = demo.url, demo.backend_url, token
        self.http = httpx2.Client(
            base_url=demo.url, headers={"Authorization": f"Token {token}"}, timeout=TIMEOUT_S,
            trust_env=False,
        )  # fmt: skip
        self.config = str(self.get("/api/projects/1/")["label_config"])
        listed = self.get("/api/tasks/", project=1, page_size=100, resolve_uri="false")["tasks"]
        self.images = [task["data"]["image"] for task in listed]

    def get(self, path: str, **query: object) -> dict[str, object]:
        response = self.http.get(path, params=query)
        response.raise_for_status()
        return response.json()

    def post(self, path: str, body: object, **query: object) -> dict[str, object]:
        response = self.http.post(path, json=body, params=query)
        response.raise_for_status()
        return response.json()

    def project(self, title: str, tasks: int) -> tuple[int, list[dict[str, object]]]:
        """A new project; its id and its tasks."""
        made = int(self.post("/api/projects/", {"title": title, "label_config": self.config})["id"])
        # An address of its own for each task, so that each image is fetched.
        rows = [{"image": f"{self.images[i % len(self.images)]}?n={i}"} for i in range(tasks)]
        self.post(f"/api/projects/{made}/import", rows)
        listed = self.get("/api/tasks/", project=made, page_size=tasks, resolve_uri="false")
        return made, listed["tasks"]

    def stored(self, project: int) -> int:
        return sum(self.get(f"/api/projects/{project}/model-versions/").values())


def prelabel(studio: Studio, project: int, _tasks: list[dict[str, object]]) -> None:
    command = [sys.executable, "-m", "backend.cli", "prelabel", "--project", str(project)]
    command += ["--model", str(MODEL_PATH), "--device", "CPU"]
    env = {**os.environ, "LABEL_STUDIO_URL": studio.url, "LABEL_STUDIO_API_KEY": studio.token}
    subprocess.run(command, env=env, check=True, capture_output=True)  # noqa: S603


def retrieve(studio: Studio, project: int, tasks: list[dict[str, object]]) -> None:
    studio.post("/api/ml/", {"project": project, "url": studio.backend_url, "title": "labelvino"})
    selected = {"selectedItems": {"all": False, "included": [task["id"] for task in tasks]}}
    studio.post("/api/dm/actions/", selected, id="retrieve_tasks_predictions", project=project)


def one_each(studio: Studio, _project: int, tasks: list[dict[str, object]]) -> None:
    with httpx2.Client(base_url=studio.backend_url, timeout=TIMEOUT_S, trust_env=False) as backend:
        for task in tasks:
            body = {"tasks": [{"id": task["id"], "data": task["data"]}]}
            answer = backend.post("/predict", json={**body, "label_config": studio.config}).json()
            studio.post("/api/predictions/", {"task": task["id"], **answer["results"][0]})


WAYS: dict[str, Callable[[Studio, int, list[dict[str, object]]], None]] = {
    "prelabel": prelabel,
    "retrieve": retrieve,
    "one each": one_each,
}


NAMES = {
    "prelabel": "labelvino prelabel",
    "retrieve": "Retrieve Predictions",
    "one each": "a request for each task",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("environment", type=Path)
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--chart", type=Path)
    given = parser.parse_args()
    print(describe(), "", sep="\n")
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as made:
        folder = DemoFolder(Path(made) / "demo")
        options = DemoOptions(folder.path, given.environment.resolve(), serve_options=_SERVE)
        with running_demo(options) as demo:
            token = json.loads((folder.path / "demo.json").read_text())["token"]
            studio = Studio(demo, token)
            for number in range(given.rounds):
                for way, run in WAYS.items():
                    project, tasks = studio.project(f"{way} {number}", given.tasks)
                    start = time.perf_counter()
                    run(studio, project, tasks)
                    seconds = time.perf_counter() - start
                    if studio.stored(project) != given.tasks:
                        raise SystemExit(f"{way}: {studio.stored(project)} of {given.tasks} stored")
                    rates[way].append(given.tasks / seconds)
                    print(f"{way}: {rates[way][-1]:.1f} tasks/s", file=sys.stderr)
    table = {
        way: {
            "tasks/s": round(statistics.median(values), 1),
            "least": round(min(values), 1),
            "most": round(max(values), 1),
            "to retrieve": round(
                statistics.median(a / b for a, b in zip(values, rates["retrieve"], strict=True)), 2
            ),
        }
        for way, values in rates.items()
    }
    print(json.dumps({"tasks": given.tasks, "rounds": given.rounds, **table}, indent=1))
    if given.chart is not None:
        bars = [
            (NAMES[way], statistics.median(values), min(values), max(values))
            for way, values in rates.items()
        ]
        write_bars(given.chart, f"{given.tasks} tasks into Label Studio: tasks a second", bars)


_SERVE = ("--device", "CPU")

if __name__ == "__main__":
    main()
