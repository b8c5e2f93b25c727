"""What a job tells at its end."""

from __future__ import annotations

import json

import pytest

from backend.bulk.summary import Summary
from backend.bulk.tally import Tally


def told(summary: Summary, capsys: pytest.CaptureFixture[str]) -> str:
    summary.tell(as_json=False)
    out, err = capsys.readouterr()
    assert out == ""
    return err


def test_nothing_was_done(capsys: pytest.CaptureFixture[str]) -> None:
    text = told(Summary("1 'a'", "v-1"), capsys)
    assert text == "project 1 'a': 0 done (0 empty), 0 failed in 0 s; version v-1\n"


def test_everything(capsys: pytest.CaptureFixture[str]) -> None:
    tally = Tally(done=8, empty=2, images=10, blank=1, skipped=3, left_ids=[9])
    tally.failed = {4: "broken", 5: "broken", 6: "gone"}
    tally.labels.update({"car": 7, "person": 9})
    text = told(Summary("1 'a'", "v-1", tally, seconds=2.0, from_cache=5), capsys)
    lines = text.splitlines()
    assert lines[0] == (
        "project 1 'a': 8 done (2 empty), 3 failed, 1 left blank, 3 skipped, 1 not reached in 2 s, "
        "5.0 images/s; version v-1"
    )
    assert lines[1:4] == [
        "  5 of 10 images from the cache", "  task 4, 5: broken", "  task 6: gone",
    ]  # fmt: skip
    assert [line.split() for line in lines[5:]] == [["person", "9"], ["car", "7"]]


def test_many_reasons_are_not_all_told(capsys: pytest.CaptureFixture[str]) -> None:
    tally = Tally(failed={n: f"reason {n}" for n in range(500)})
    tally.failed |= dict.fromkeys(range(1000, 1100), "the same")
    text = told(Summary("1", "v", tally), capsys)
    assert "task 1000, 1001, 1002, 1003, 1004 and 95 more: the same" in text
    assert "and 481 more reasons" in text and len(text.splitlines()) < 30


def test_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    tally = Tally(done=1, images=1, failed={7: "\u00e4"})
    Summary("out.json", "v", tally, what="file").tell(as_json=True)
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert err == "" and found["file"] == "out.json" and found["images_from_cache"] is None
    assert found["failed"] == [{"task": 7, "reason": "\u00e4"}]


def test_tallies_add_up() -> None:
    total = Tally()
    total.add(Tally(done=1, images=2, blank=3, skipped=4, left_ids=[5], failed={6: "a"}))
    total.add(Tally(done=1, empty=1, failed={7: "b"}, left_ids=[8]))
    assert (total.done, total.empty, total.tasks) == (2, 1, 2 + 3 + 4 + 2 + 2)


@pytest.mark.parametrize("name", ["door [open]", "car [/x]"])
def test_names_of_labels_are_shown_as_they_are(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    tally = Tally(done=1, images=1)
    tally.labels.update({name: 3})
    assert name in told(Summary("1", "v", tally), capsys)
