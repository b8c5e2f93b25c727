"""Start Training over HTTP, with a stand-in Label Studio: what changes, and what does not."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from redis_server import RedisServer
from serve_process import serving
from stand_in_studio import StandInStudio, running
from tuning_site import CONFIG, UID, corrected, site_settings, toy

from backend.cache_access import open_result_cache
from backend.corrections.tuning.on_training import open_training_desk, tune_on_training
from backend.corrections.tuning.project_tuning import StoppedError
from backend.fair_pool import FairPool
from backend.label_studio_access import open_image_fetcher
from backend.model_slot import ModelSlot
from backend.protocol import parse_event
from backend.runtime.engine import load_contract, model_digest
from backend.server import create_app
from backend.serving import open_predictor
from backend.training import Outcome
from backend.tuned.access import open_tuned_reader, open_tuned_store
from tests.live_server import live_server

EVENT = {"action": "START_TRAINING", "project": {"id": 1, "label_config": CONFIG}}
TOKEN = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def studio() -> Iterator[StandInStudio]:
    with running(corrected()) as studio:
        yield studio


class Clock:
    """Stands still unless it is told otherwise."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@contextmanager
def backend(
    studio: StandInStudio, folder: Path, clock: Clock | None = None, **given: Any
) -> Iterator[httpx2.Client]:
    """As `labelvino serve` puts its parts together; `clock` tells one click from the next."""
    settings = site_settings(studio, folder, **given)
    pool = FairPool(2)
    slot = ModelSlot(open_predictor(settings, pool, open_result_cache(settings)))
    desk = open_training_desk(settings, lambda: slot.current, pool, clock or Clock())
    app = create_app(slot, settings, tuned=open_tuned_reader(settings), training=desk)
    try:
        with live_server(app) as client:
            yield client
    finally:
        assert pool.close()
        assert desk.stop(20)


def trained(client: httpx2.Client, runs: int = 1) -> dict[str, Any]:
    """The last run of project 1, once so many have ended."""
    for _ in range(3000):
        (run,) = client.get("/training").json()["projects"]
        counted = client.get("/metrics").text
        ended = sum(
            float(line.split()[-1])
            for line in counted.splitlines()
            if line.startswith("labelvino_trainings_total")
        )
        if run["state"] == "done" and ended >= runs:
            found: dict[str, Any] = run
            return found
        time.sleep(0.01)
    raise AssertionError("it did not end")


def setup_version(client: httpx2.Client, project: str = UID) -> str:
    answer = client.post("/setup", json={"schema": CONFIG, "project": project}).json()
    return str(answer["model_version"])


def predicted(client: httpx2.Client, project: str = UID) -> tuple[str, list[str]]:
    """Model version, and labels of the regions of one task."""
    task = {"id": 1, "data": {"image": "/data/upload/1/1.png"}}
    body = {"tasks": [task], "label_config": CONFIG, "project": project}
    (result,) = client.post("/predict", json=body).json()["results"]
    return result["model_version"], [r["value"]["rectanglelabels"][0] for r in result["result"]]


def test_the_event_of_a_real_label_studio(shared_dir: Path) -> None:
    recorded = json.loads((shared_dir / "label-studio" / "requests.json").read_text())
    bodies = {request["label"]: request["body"] for request in recorded}
    event = parse_event(json.dumps(bodies["auth_train"]).encode())
    assert (event.action, event.project_id) == ("START_TRAINING", 1)
    event = parse_event(json.dumps(bodies["auth_webhook"]).encode())
    assert (event.action, event.project_id) == ("ANNOTATION_CREATED", 1)


def test_report_changes_nothing(studio: StandInStudio, tmp_path: Path) -> None:
    with backend(studio, tmp_path) as client:
        before = predicted(client)
        answer = client.post("/webhook", json=EVENT)
        assert answer.status_code == 201
        assert "the network is not trained" in answer.json()["message"]
        run = trained(client)
        assert run["outcome"] == "reported"
        assert "person 0.50 -> " in run["sentence"] and "--apply" in run["sentence"]
        assert predicted(client) == before == (setup_version(client), ["car"])
    assert open_tuned_store(site_settings(studio, tmp_path)).projects() == {}


def test_apply_is_in_force_at_once(studio: StandInStudio, tmp_path: Path) -> None:
    clock = Clock()
    with backend(studio, tmp_path, clock, tune_on_training="apply") as client:
        before = predicted(client)
        client.post("/webhook", json=EVENT)
        assert trained(client)["outcome"] == "applied"
        after = predicted(client)
        assert (before[1], after[1]) == (["car"], ["person"])
        assert before[0] != after[0] == setup_version(client)
        assert predicted(client, "1.1") == before  # project 1 of another Label Studio
        assert predicted(client, "nonsense") == before
        metrics = client.get("/metrics").text
        assert f'labelvino_tuned_labels{{project="{UID}"}} 2.0' in metrics
        assert 'labelvino_trainings_total{outcome="applied"} 1.0' in metrics
        notes = client.post("/setup", json={"schema": CONFIG, "project": UID}).json()["notes"]
        assert any("in force for 2 labels" in note for note in notes)
        # A double of that click is none; another click finds nothing more to change.
        assert client.post("/webhook", json=EVENT).json()["status"] == "done already"
        clock.now_s += 60
        assert client.post("/webhook", json=EVENT).json()["status"] == "accepted"
        assert trained(client, 2)["outcome"] == "nothing"
        assert predicted(client) == after


def test_a_damaged_record_costs_its_thresholds_only(studio: StandInStudio, tmp_path: Path) -> None:
    with backend(studio, tmp_path, tune_on_training="apply") as client:
        before = predicted(client)
        client.post("/webhook", json=EVENT)
        assert trained(client)["outcome"] == "applied"
        (path,) = (tmp_path / "state" / "tuned").iterdir()
        path.write_text(json.dumps(json.loads(path.read_text()) | {"tasks": float("inf")}))
        assert predicted(client) == before
        assert setup_version(client) == before[0]


def test_too_few_tasks(studio: StandInStudio, tmp_path: Path) -> None:
    for number in range(10, 81):
        studio.annotations.pop(number)
    with backend(studio, tmp_path, tune_on_training="apply") as client:
        client.post("/webhook", json=EVENT)
        run = trained(client)
    assert run["outcome"] == "nothing"
    assert "Too few corrected tasks: 9" in run["sentence"]


def test_a_stop_between_the_phases(studio: StandInStudio, tmp_path: Path) -> None:
    """Whenever it comes, nothing is stored after it."""
    settings = site_settings(studio, tmp_path, tune_on_training="apply")
    pool = FairPool(2)
    asked = 0

    def tune(stop_at: int) -> Outcome:
        nonlocal asked
        asked = 0

        def stopped() -> bool:
            nonlocal asked
            asked += 1
            return asked >= stop_at

        return tune_on_training(settings, predictor, pool, 1, stopped)

    with open_image_fetcher(settings) as source:
        predictor = open_predictor(settings, pool, open_result_cache(settings), source=source)
        for stop_at in range(1, 6):  # three times 32 tasks, before the sums, before it is stored
            with pytest.raises(StoppedError):
                tune(stop_at)
            assert asked == stop_at
            assert open_tuned_store(settings).projects() == {}
        assert tune(1000).name == "applied"
        assert asked == 5
    pool.close()


def test_what_somebody_else_stored_meanwhile_stays(studio: StandInStudio, tmp_path: Path) -> None:
    store = open_tuned_store(site_settings(studio, tmp_path))
    digest = model_digest(toy(tmp_path), load_contract(toy(tmp_path)))

    def before(_method: str, path: str) -> None:
        if path.startswith("/data/"):
            store.put(UID, digest, b"theirs")

    studio.before = before
    with backend(studio, tmp_path, tune_on_training="apply", tune_tasks=50) as client:
        client.post("/webhook", json=EVENT)
        run = trained(client)
    assert run["outcome"] == "nothing"
    assert "30 older corrected tasks were not looked at" in run["sentence"]
    assert "changed by somebody else meanwhile" in run["sentence"]
    assert store.of_project(UID, digest) == b"theirs"


def test_label_studio_that_refuses(studio: StandInStudio, tmp_path: Path) -> None:
    studio.fail("GET", "/api/projects", 401, times=9)
    with backend(studio, tmp_path) as client:
        client.post("/webhook", json=EVENT)
        assert trained(client)["outcome"] == "failed"
        assert predicted(client)[1] == ["car"]


def test_events_are_answered_while_one_is_worked_on(studio: StandInStudio, tmp_path: Path) -> None:
    """Doubled, out of order, and in between other events; the work waits in Label Studio."""
    hold, reached = threading.Event(), threading.Event()

    def before(_method: str, path: str) -> None:
        if path == "/api/tasks/":
            reached.set()
            hold.wait(20)

    studio.before = before
    events = [EVENT, {"action": "ANNOTATION_CREATED", "project": {"id": 1}, "annotation": {}}] * 10
    with backend(studio, tmp_path) as client:
        try:
            client.post("/webhook", json=EVENT)
            assert reached.wait(20)
            with ThreadPoolExecutor(8) as threads:
                answers = list(threads.map(lambda e: client.post("/webhook", json=e), events))
            assert {answer.status_code for answer in answers} == {201}
            statuses = [answer.json()["status"] for answer in answers]
            assert statuses.count("running already") == 10 and statuses.count("ignored") == 10
            assert predicted(client)[1] == ["car"]
        finally:
            hold.set()
        assert trained(client)["outcome"] == "reported"
        metrics = client.get("/metrics").text
        assert 'labelvino_webhook_events_total{action="ANNOTATION_CREATED"} 10.0' in metrics


@pytest.mark.parametrize(
    ("given", "reason"),
    [({"tune_on_training": "off"}, "LABELVINO_TUNE_ON_TRAINING is off"),
     ({"label_studio_url": None}, "without LABEL_STUDIO_URL")],
)  # fmt: skip
def test_where_nothing_is_tuned(
    studio: StandInStudio, tmp_path: Path, given: dict[str, Any], reason: str
) -> None:
    settings = site_settings(studio, tmp_path, **given) if "tune" in str(given) else None
    if settings is None:
        settings = site_settings(studio, tmp_path).model_copy(update=given)
    pool = FairPool(1)
    desk = open_training_desk(settings, lambda: pytest.fail("no model is needed"), pool)
    assert reason in desk.event("START_TRAINING", 1)["message"]
    pool.close()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000,
                                     b'{"action": [], "project": 5}'])  # fmt: skip
def test_odd_events_are_harmless(studio: StandInStudio, tmp_path: Path, content: bytes) -> None:
    with backend(studio, tmp_path) as client:
        answer = client.post("/webhook", content=content)
        assert (answer.status_code, answer.json()) == (201, {"status": "ignored"})


def test_two_replicas_with_redis(studio: StandInStudio, tmp_path: Path) -> None:
    """What one of them learns, the other has with its next request; Redis goes and comes back."""
    server = RedisServer(tmp_path, "--appendonly", "yes")
    given = {"tune_on_training": "apply", "redis_url": server.url}
    try:
        with backend(studio, tmp_path, **given) as one, backend(studio, tmp_path, **given) as two:
            before = predicted(two)
            one.post("/webhook", json=EVENT)
            assert trained(one)["outcome"] == "applied"
            assert predicted(one) == predicted(two) != before
            assert setup_version(one) == setup_version(two)
            after = predicted(two)
            server.kill()
            assert predicted(two) == after  # what it knew
            server.start()
        with backend(studio, tmp_path, **given) as three:
            assert predicted(three) == after  # a restart
        assert not (tmp_path / "state").exists()
        with server.client() as redis:
            (key,) = redis.keys("labelvino:tuned:*")
            assert redis.ttl(key) == -1
            redis.flushall()
        with backend(studio, tmp_path, **given) as four:
            assert predicted(four) == before  # lost: the defaults
    finally:
        server.kill()


def test_the_command_and_the_server_agree(
    studio: StandInStudio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`labelvino serve` as a process takes what `labelvino tune --apply` stores meanwhile."""
    from backend.corrections.tuning.command import TuneWishes, run_tune

    settings = site_settings(studio, tmp_path)
    environment = {
        "LABELVINO_STATE_DIR": str(tmp_path / "state"), "LABELVINO_DEVICE": "CPU",
        "LABEL_STUDIO_URL": studio.url, "LABEL_STUDIO_API_KEY": TOKEN,
    }  # fmt: skip
    with serving(toy(tmp_path), **environment) as server:
        before = predicted(server.client)
        run_tune(settings, TuneWishes("1", apply=True, reset=False, seed=0, as_json=True))
        new = json.loads(capsys.readouterr().out)["thresholds"]
        after = predicted(server.client)
        assert (before[1], after[1]) == (["car"], ["person"])
        server.wait_for(f"in force for {len(new)} labels")
        run_tune(settings, TuneWishes("1", apply=False, reset=True, seed=0, as_json=True))
        assert predicted(server.client) == before
        server.wait_for("are gone from")

        # A stop while Start Training is under way.
        hold = threading.Event()
        studio.before = lambda _method, path: hold.wait(30) and None if "tasks" in path else None
        try:
            server.client.post("/webhook", json=EVENT)
            server.process.terminate()
            assert server.ended() == 0
        finally:
            hold.set()
        assert "Traceback" not in server.log
