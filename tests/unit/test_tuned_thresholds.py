"""Tuned thresholds: records, files, and what is in force."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.checkup.tuned import tuned_finding
from backend.config_plan import ConfigPlanner
from backend.metrics import Metrics
from backend.runtime.errors import SettingsError
from backend.settings import load_settings
from backend.tuned.access import open_tuned_reader, open_tuned_store, state_folder, thresholds_of
from backend.tuned.files import TunedFiles
from backend.tuned.reader import TunedReader
from backend.tuned.record import (
    FORMAT,
    RecordError,
    TunedRecord,
    project_of,
    read_record,
    usable,
)  # fmt: skip
from backend.tuned.store import AwayError, StateError
from tests.toy_model import toy_contract

PROJECT, MODEL, OTHER = "7.1795219680", "ab" * 32, "cd" * 32
LABELS = ("person", "car", "traffic light")


def record(project: str = PROJECT, model: str = MODEL, **thresholds: float) -> TunedRecord:
    return TunedRecord(
        project, model, thresholds or {"person": 0.3}, 50, "effort", "2026-11-21T08:00:00+00:00"
    )


def store_with(folder: Path, *records: TunedRecord) -> TunedFiles:
    store = TunedFiles(folder / "tuned")
    for each in records:
        store.put(each.project, each.model_digest, each.to_bytes())
    return store


# Records.


def test_a_record_there_and_back() -> None:
    assert read_record(record(person=0.3, car=1.0).to_bytes()) == record(person=0.3, car=1.0)


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"null", b"\xff", b'{"format": 2}', b"[" * 100_000,
     record().to_bytes()[:-20], record().to_bytes().replace(b"0.3", b'"0.3"'),
     record().to_bytes().replace(b"0.3", b"true"), record().to_bytes().replace(b'"tasks"', b'"t"')],
)  # fmt: skip
def test_a_damaged_record(data: bytes) -> None:
    with pytest.raises(RecordError):
        read_record(data)


def odd_record(**fields: object) -> bytes:
    """A record with some of its fields replaced, as Python's JSON has them."""
    return json.dumps(json.loads(record().to_bytes()) | fields).encode()


NESTED: object = [1]
for _ in range(700):
    NESTED = [NESTED]


@pytest.mark.parametrize(
    "data",
    [odd_record(tasks=float("inf")), odd_record(tasks=float("nan")), odd_record(tasks=None),
     odd_record(thresholds={"car": 10**400}), odd_record(thresholds={"car": float("nan")}),
     odd_record(thresholds=[["car", 0.5]]), odd_record(thresholds={"car": NESTED}),
     odd_record(project=NESTED), odd_record(title="\ud800"), odd_record(format=None),
     odd_record(made_at=NESTED), b'{"format": ' + b"[" * 100_000, b'{"format": 1e999}'],
)  # fmt: skip
def test_a_record_that_no_labelvino_wrote(tmp_path: Path, data: bytes) -> None:
    """Reading gives one reason, and a request or a doctor goes on."""
    with pytest.raises(RecordError, match=r"^it is (damaged(: .{5,99})?|of another release.*)$"):
        read_record(data)
    store = store_with(tmp_path)
    store.put(PROJECT, MODEL, data)
    assert TunedReader(store).of(PROJECT, MODEL, LABELS) == {}
    settings = load_settings(state_dir=tmp_path)
    assert tuned_finding(settings).status == "problem"


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.integers()
    | st.sampled_from([10**400, -(10**400), 1, FORMAT]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)  # fmt: skip
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(json.loads(record().to_bytes()), JSON),
        "thresholds": JSON | st.dictionaries(st.text(), JSON),
    },
)


@given(FIELDS.map(lambda fields: odd_record(**fields)) | JSON.map(json.dumps).map(str.encode)
       | st.binary())  # fmt: skip
def test_any_content_is_a_record_or_one_reason(data: bytes) -> None:
    try:
        found = read_record(data)
    except RecordError as error:
        assert 5 < len(str(error)) < 200
        return
    assert read_record(found.to_bytes()) == found
    good, reasons = usable(found, LABELS)
    assert len(good) + len(reasons) == len(found.thresholds)
    assert all(0.0 <= value <= 1.0 for value in good.values())


def test_what_of_a_record_can_be_used() -> None:
    odd = record(person=0.3, giraffe=0.4, car=1.5)
    assert usable(odd, LABELS) == (
        {"person": 0.3}, ["the model has no label 'giraffe'", "1.5 of 'car' is not within 0..1"],
    )  # fmt: skip


@pytest.mark.parametrize(
    "value", [None, 1, 1.5, "", "x", "../1", "1.2.3", {"id": 1}, "1." + "9" * 99]
)
def test_what_is_no_project(value: object) -> None:
    assert project_of(value) is None


# Files.


def test_an_empty_folder(tmp_path: Path) -> None:
    store = TunedFiles(tmp_path / "none" / "tuned")
    assert store.of_project(PROJECT, MODEL) is None
    assert (store.models(PROJECT), store.projects()) == ({}, {})
    assert store.remove(PROJECT, MODEL) is False
    assert not store.folder.exists()


def test_files_there_and_back(tmp_path: Path) -> None:
    store = store_with(tmp_path, record(), record(model=OTHER), record("8.1"))
    assert store.of_project(PROJECT, MODEL) == record().to_bytes()
    assert sorted(store.models(PROJECT)) == [MODEL[:16], OTHER[:16]]
    assert len(store.projects()) == 3
    assert store.remove(PROJECT, MODEL) is True
    assert store.of_project(PROJECT, MODEL) is None
    assert len(list(store.folder.iterdir())) == 2  # nothing is left lying about


def test_a_record_in_place_of_the_one_that_was_read(tmp_path: Path) -> None:
    store = TunedFiles(tmp_path / "tuned")
    first, second = record(person=0.1).to_bytes(), record(person=0.2).to_bytes()
    assert store.put(PROJECT, MODEL, first, instead_of=second) is False
    assert store.projects() == {}
    assert store.put(PROJECT, MODEL, first, instead_of=None) is True
    assert store.put(PROJECT, MODEL, second, instead_of=None) is False
    assert store.of_project(PROJECT, MODEL) == first
    assert store.put(PROJECT, MODEL, second, instead_of=first) is True
    assert store.of_project(PROJECT, MODEL) == second
    assert len(list(store.folder.iterdir())) == 1


def test_one_of_several_that_read_the_same_record(tmp_path: Path) -> None:
    def put(number: int) -> bool:
        mine = record(person=number / 100).to_bytes()
        return TunedFiles(tmp_path / "tuned").put(PROJECT, MODEL, mine, instead_of=None)

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(put, range(32)))[-2:] == [False, True]


def test_a_name_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no project"):
        TunedFiles(tmp_path).put("../1", MODEL, b"")


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = TunedFiles(tmp_path / "file" / "tuned")
    assert store.of_project(PROJECT, MODEL) is None
    with pytest.raises(StateError, match="LABELVINO_STATE_DIR"):
        store.put(PROJECT, MODEL, b"")


def test_where_the_state_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert state_folder(load_settings(state_dir=tmp_path)) == tmp_path
    assert state_folder(load_settings(state_home=tmp_path)) == tmp_path / "labelvino"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("HOME", "/home/ann")
    assert state_folder(load_settings()) == Path("/home/ann/.local/state/labelvino")


def test_no_place_for_the_state(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_home() -> Path:
        raise RuntimeError("none")

    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setattr(Path, "home", no_home)
    caplog.set_level(logging.INFO)
    with pytest.raises(StateError, match="LABELVINO_STATE_DIR"):
        open_tuned_store(load_settings())
    assert thresholds_of(load_settings(), PROJECT, MODEL, LABELS) == {}
    assert "no place for tuned thresholds" in caplog.text


def test_an_address_that_cannot_be_one() -> None:
    with pytest.raises(SettingsError):
        open_tuned_reader(load_settings(redis_url="http://x"))


# What is in force.


def test_nothing_is_in_force_without_a_store() -> None:
    reader = TunedReader()
    assert reader.of(PROJECT, MODEL, LABELS) == {}
    assert reader.in_force(MODEL) == {}


def test_new_thresholds_count_at_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    store = store_with(tmp_path)
    reader = TunedReader(store)
    assert reader.of(PROJECT, MODEL, LABELS) == {}
    writer = TunedFiles(store.folder)
    for value in (0.3, 0.4):
        writer.put(PROJECT, MODEL, record(person=value).to_bytes())
        assert reader.of(PROJECT, MODEL, LABELS) == {"person": value}
        assert reader.of(PROJECT, MODEL, LABELS) == {"person": value}
    assert caplog.text.count("are in force for 1 labels") == 2
    assert reader.in_force(MODEL) == {PROJECT: 1}
    assert reader.of("8.1795219680", MODEL, LABELS) == {}  # another project
    assert "WARNING" not in caplog.text


def test_state_that_is_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = store_with(tmp_path, record())
    reader = TunedReader(store)
    assert reader.of(PROJECT, MODEL, LABELS) == {"person": 0.3}
    store.remove(PROJECT, MODEL)
    assert [reader.of(PROJECT, MODEL, LABELS) for _ in range(3)] == [{}] * 3
    assert caplog.text.count("are gone") == 1
    assert reader.in_force(MODEL) == {}


def test_state_of_another_model(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    reader = TunedReader(store_with(tmp_path, record(model=OTHER)))
    assert [reader.of(PROJECT, MODEL, LABELS) for _ in range(3)] == [{}] * 3
    assert caplog.text.count("of another model") == 1
    assert reader.of(PROJECT, OTHER, LABELS) == {"person": 0.3}


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"{", "it is damaged"), (b"{}", "another release"),
     (record("8.1").to_bytes(), "another project"), (record(model=OTHER).to_bytes(), "or model")],
)  # fmt: skip
def test_state_that_is_damaged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, data: bytes, reason: str
) -> None:
    store = store_with(tmp_path)
    store.put(PROJECT, MODEL, data)
    reader = TunedReader(store)
    assert [reader.of(PROJECT, MODEL, LABELS) for _ in range(3)] == [{}] * 3
    assert caplog.text.count(reason) == 1
    store.put(PROJECT, MODEL, record().to_bytes())
    assert reader.of(PROJECT, MODEL, LABELS) == {"person": 0.3}


def test_values_that_cannot_be(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    reader = TunedReader(store_with(tmp_path, record(person=0.3, giraffe=0.2, car=7.0)))
    assert [reader.of(PROJECT, MODEL, LABELS) for _ in range(3)] == [{"person": 0.3}] * 3
    assert caplog.text.count("no label 'giraffe'") == 1
    assert caplog.text.count("7 of 'car' is not within 0..1") == 1


def test_a_store_that_does_not_answer(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    store = store_with(tmp_path, record())
    reader = TunedReader(store)
    assert reader.of(PROJECT, MODEL, LABELS) == {"person": 0.3}

    def away(*_: object) -> bytes:
        raise AwayError("it is away.")

    read = store.of_project
    store.of_project = away  # type: ignore[method-assign,assignment]
    assert [reader.of(PROJECT, MODEL, LABELS) for _ in range(3)] == [{"person": 0.3}] * 3
    assert reader.of("8.1", MODEL, LABELS) == {}
    assert caplog.text.count("it is away") == 1
    store.of_project = read  # type: ignore[method-assign]
    with caplog.at_level(logging.INFO):
        assert reader.of(PROJECT, MODEL, LABELS) == {"person": 0.3}
    assert "can be read again" in caplog.text


def test_one_project_that_cannot_be_read_does_not_make_the_log_flap(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    store = store_with(tmp_path, record(), record("8.1"))
    reader = TunedReader(store)
    reader.of("8.1", MODEL, LABELS)
    caplog.clear()
    path = store.folder / f"8.1-{MODEL[:16]}.json"
    path.unlink()
    path.mkdir()  # what no user may read, not even root
    for _ in range(3):
        assert reader.of("8.1", MODEL, LABELS) == {"person": 0.3}
        assert reader.of(PROJECT, MODEL, LABELS) == {"person": 0.3}
    assert [r.message.count("cannot be read") for r in caplog.records] == [1, 0]
    path.rmdir()
    store.put("8.1", MODEL, record("8.1", person=0.4).to_bytes())
    assert reader.of("8.1", MODEL, LABELS) == {"person": 0.4}
    assert caplog.text.count("project 8.1: its tuned thresholds can be read again") == 1


def test_the_folder_is_read_once_for_a_project_that_is_not_tuned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_with(tmp_path, record("77.1"), record(model=OTHER))
    looked: list[str] = []
    models = store.models

    def counted(project: str) -> object:
        looked.append(project)
        if project == "9.1":
            raise StateError("it cannot be listed.")
        return models(project)

    monkeypatch.setattr(store, "models", counted)
    reader = TunedReader(store)
    for _ in range(3):
        assert reader.of("7.1", MODEL, LABELS) == reader.of("9.1", MODEL, LABELS) == {}
    assert looked == ["7.1", "9.1"]
    (store.folder / f"77.1-{OTHER[:16]}.json").mkdir()  # another project's, and not to be read
    assert models("7.1") == {}


def test_what_another_model_has_is_not_in_force(tmp_path: Path) -> None:
    """A reload to another model, for which nothing is tuned."""
    reader = TunedReader(store_with(tmp_path, record()))
    reader.of(PROJECT, MODEL, LABELS)
    assert reader.in_force(OTHER) == {}
    reader.of(PROJECT, OTHER, LABELS)
    assert (reader.in_force(MODEL), reader.in_force(OTHER)) == ({PROJECT: 1}, {})
    served = [MODEL]
    metrics = Metrics()
    metrics.tuned(reader, lambda: served[-1])
    assert f'labelvino_tuned_labels{{project="{PROJECT}"}} 1.0' in metrics.render().decode()
    served.append(OTHER)
    assert PROJECT not in metrics.render().decode()


def test_many_odd_thresholds_are_few_lines(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    odd = record(**{f"x{i}": 0.5 for i in range(1000)})
    assert TunedReader(store_with(tmp_path, odd)).of(PROJECT, MODEL, LABELS) == {}
    assert caplog.text.count("is not used") == 5
    assert "995 more" in caplog.text


def test_a_project_that_does_nothing_costs_nothing_to_read(tmp_path: Path) -> None:
    store = store_with(tmp_path, record())
    assert store.of_project(PROJECT, MODEL) is store.of_project(PROJECT, MODEL)


# The version, and what goes before.

CONFIG = """<View><Image name="img" value="$photo"/>
<RectangleLabels name="box" toName="img"><Label value="person"/>
<Label value="car" model_score_threshold="0.8"/></RectangleLabels></View>"""


def test_tuned_thresholds_change_the_version_and_stand_in_their_place() -> None:
    planner = ConfigPlanner(toy_contract(), MODEL, settings_threshold=0.4)
    plain = planner.plan(CONFIG)
    tuned = planner.plan(CONFIG, {"person": 0.2, "car": 0.1})
    thresholds = [[t.score_threshold for t in ts] for ts in tuned.plans["img"].targets]
    assert thresholds == [[0.2], [0.8], []]  # before the settings, behind the config
    assert plain.model_version != tuned.model_version
    assert planner.plan(CONFIG, {}) is plain
    assert planner.plan(CONFIG, {"car": 0.1}).model_version == plain.model_version
    assert planner.plan(CONFIG, {"person": 0.4}).model_version == plain.model_version
    line = ConfigPlanner(toy_contract(), MODEL, command_line_threshold=0.5)
    assert line.plan(CONFIG, {"person": 0.2}).model_version == line.plan(CONFIG).model_version


def test_json_is_what_people_can_read(tmp_path: Path) -> None:
    store = store_with(tmp_path, record())
    (path,) = store.folder.iterdir()
    assert path.name == f"{PROJECT}-{MODEL[:16]}.json"
    assert json.loads(path.read_text())["thresholds"] == {"person": 0.3}
