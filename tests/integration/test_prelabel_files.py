"""`labelvino prelabel --tasks` as a process: what it writes, and what it survives."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from bulk_parts import CONFIG, png, toy
from sdk import SdkOracle

from backend.settings import CONFIG_VARIABLE, environment_names


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model, a label config, and 120 images of different content."""
    toy(tmp_path)
    (tmp_path / "config.xml").write_text(CONFIG)
    (tmp_path / "in").mkdir()
    for number in range(120):
        # Large enough to take a moment each.
        (tmp_path / "in" / f"{number:03}.png").write_bytes(png(1500 + number, 1000))
    return tmp_path


def command(folder: Path, tasks: str, *more: str) -> list[str]:
    return [
        str(Path(sys.executable).parent / "labelvino"), "prelabel", "--tasks", tasks,
        "--label-config", "config.xml", "--out", "out.json", "--model", "toy.xml",
        "--device", "CPU", *more,
    ]  # fmt: skip


def environment() -> dict[str, str]:
    names = {name for variables in environment_names().values() for name in variables}
    names -= {"XDG_CACHE_HOME"}
    return {k: v for k, v in os.environ.items() if k not in names | {CONFIG_VARIABLE}}


def run(folder: Path, tasks: str, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(folder, tasks, *more), cwd=folder, env=environment(), capture_output=True,
        text=True, check=False, timeout=120,
    )  # fmt: skip


def output(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "out.json").read_bytes())
    return found


def task_file(folder: Path, number: int = 120) -> str:
    tasks = [{"id": 500 + i, "data": {"image": f"in/{i:03}.png"}} for i in range(number)]
    (folder / "tasks.json").write_text(json.dumps(tasks))
    return "tasks.json"


def test_no_tasks(folder: Path) -> None:
    (folder / "tasks.json").write_text("[]")
    done = run(folder, "tasks.json", "--json")
    assert done.returncode == 0, done.stderr
    assert output(folder) == [] and json.loads(done.stdout)["done"] == 0
    assert not (folder / "out.json.journal").exists()


def test_every_source_gives_what_label_studio_accepts(folder: Path, sdk: SdkOracle) -> None:
    names = ["000.png", "001.png"]
    sources = {
        "tasks.json": json.dumps([{"data": {"image": f"in/{name}"}} for name in names]),
        "tasks.jsonl": "\n".join(json.dumps({"image": f"in/{name}"}) for name in names),
        "tasks.csv": "image\n" + "\n".join(f"in/{name}" for name in names),
        "tasks.txt": "\n".join(f"in/{name}" for name in names),
        "coco.json": json.dumps({"images": [{"id": 1, "file_name": f"in/{n}"} for n in names]}),
    }
    written = []
    for name, text in sources.items():
        (folder / name).write_text(text)
        done = run(folder, name, "--replace")
        assert done.returncode == 0, done.stderr
        written.append(output(folder))
    assert all(found == written[0] for found in written)
    for task in written[0]:
        (prediction,) = task["predictions"]
        assert len(prediction["result"]) == 2
        assert sdk.validate(CONFIG, prediction) == []


def test_a_folder_with_a_prefix(folder: Path) -> None:
    done = run(folder, "in", "--image-prefix", "/data/local-files/?d=in/", "--limit", "3")
    assert done.returncode == 0, done.stderr
    addresses = [task["data"]["image"] for task in output(folder)]
    assert addresses == [f"/data/local-files/?d=in/00{i}.png" for i in range(3)]


def test_what_a_task_has_besides_stays(folder: Path) -> None:
    old = {"model_version": "other", "score": 0.1, "result": []}
    task = {
        "id": 7, "data": {"image": "in/000.png", "size": 2**70}, "meta": {"a": "\ud800"},
        "annotations": [{"result": []}], "predictions": [old],
    }  # fmt: skip
    (folder / "tasks.json").write_text(json.dumps([task]))
    assert run(folder, "tasks.json").returncode == 0
    (found,) = output(folder)
    assert found["predictions"][0] == old and len(found["predictions"]) == 2
    assert {**found, "predictions": [old]} == task
    # Its own output as the input: the version's prediction is replaced, not doubled.
    (folder / "out.json").rename(folder / "again.json")
    assert run(folder, "again.json").returncode == 0
    assert len(output(folder)[0]["predictions"]) == 2


def test_what_failed_is_tried_the_next_time(folder: Path) -> None:
    tasks = task_file(folder, 5)
    (folder / "in" / "003.png").rename(folder / "gone.png")
    first = run(folder, tasks, "--json")
    assert first.returncode == 1
    summary = json.loads(first.stdout)
    assert summary["done"] == 4 and [f["task"] for f in summary["failed"]] == [4]
    assert "no file in/003.png" in summary["failed"][0]["reason"]
    assert [len(task.get("predictions", [])) for task in output(folder)] == [1, 1, 1, 0, 1]
    (folder / "gone.png").rename(folder / "in" / "003.png")
    second = run(folder, tasks, "--json")
    assert second.returncode == 0 and json.loads(second.stdout)["done"] == 1
    assert [len(task["predictions"]) for task in output(folder)] == [1] * 5
    assert not (folder / "out.json.journal").exists()


@pytest.mark.parametrize(
    "signs", [(signal.SIGKILL, signal.SIGKILL), (signal.SIGINT, signal.SIGTERM)], ids=str
)
def test_a_second_run_completes_what_was_broken_off(
    folder: Path, signs: tuple[signal.Signals, ...]
) -> None:
    tasks = task_file(folder)
    expected = run(folder, tasks)
    assert expected.returncode == 0, expected.stderr
    whole = output(folder)
    (folder / "out.json").unlink()

    kept = 0
    for sign, wanted in zip(signs, (0, 33), strict=True):
        process = broken_off(folder, tasks, sign, wanted)
        assert process.returncode == (-sign if sign is signal.SIGKILL else 130)
        assert not (folder / "out.json").exists()
        assert max(kept, wanted) <= predictions_kept(folder) < 120
        kept = predictions_kept(folder)
    assert kept > 0
    second = run(folder, tasks, "--json")
    assert second.returncode == 0, second.stderr
    assert json.loads(second.stdout)["done"] == 120 - kept
    assert output(folder) == whole
    assert not (folder / "out.json.journal").exists()


def predictions_kept(folder: Path) -> int:
    journal = folder / "out.json.journal"
    return journal.read_bytes().count(b"\n") - 1 if journal.exists() else -1


def broken_off(
    folder: Path, tasks: str, sign: signal.Signals, predictions: int
) -> subprocess.Popen[bytes]:
    """A run that gets `sign` when its journal has so many predictions."""
    log = folder / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command(folder, tasks), cwd=folder, env=environment() | {"LABELVINO_WORKERS": "1"},
            stderr=file,
        )  # fmt: skip
    ends_at_s = time.monotonic() + 60
    while predictions_kept(folder) < predictions:
        assert process.poll() is None and time.monotonic() < ends_at_s, log.read_text()
        time.sleep(0.001)
    process.send_signal(sign)
    process.wait(60)
    return process


def test_another_threshold_is_another_run(folder: Path) -> None:
    tasks = task_file(folder, 3)
    (folder / "in" / "001.png").unlink()
    assert run(folder, tasks).returncode == 1
    other = run(folder, tasks, "--score-threshold", "0.85")
    assert other.returncode == 1 and "another model version" in other.stderr
    anew = run(folder, tasks, "--score-threshold", "0.85", "--replace", "--json")
    assert json.loads(anew.stdout)["labels"] == {"person": 2}


def test_nothing_is_written_over(folder: Path) -> None:
    tasks = task_file(folder, 2)
    over = run(folder, tasks, "--out", tasks)
    assert over.returncode == 1 and "write over --tasks" in over.stderr
    assert run(folder, tasks).returncode == 0
    again = run(folder, tasks)
    assert again.returncode == 1 and "--replace" in again.stderr
    nowhere = run(folder, tasks, "--out", "no/such/out.json")
    assert nowhere.returncode == 1 and "cannot be written" in nowhere.stderr


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--project", "1"), "--project cannot be given with --tasks"),
        (("--watch", "--sample", "3"), "--sample, --watch cannot be given with --tasks"),
    ],
)
def test_usage(folder: Path, more: tuple[str, ...], says: str) -> None:
    done = run(folder, task_file(folder, 1), *more)
    assert done.returncode == 2 and says in done.stderr
