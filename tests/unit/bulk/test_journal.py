"""What is done survives whatever ends the run."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.bulk.offline.journal import Journal
from backend.runtime.errors import SettingsError

RUN = {"model version": "a-1", "task file": "d1"}
ONE = {"result": [{"id": "0"}]}
TWO = {"result": []}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.json.journal"


def test_an_empty_one(path: Path) -> None:
    with Journal(path, RUN) as journal:
        assert not journal.has(0) and journal.count(10) == 0
        journal.add([])
    with Journal(path, RUN) as journal:
        assert journal.count(10) == 0


def test_what_was_added_is_there_again(path: Path) -> None:
    with Journal(path, RUN) as journal:
        journal.add([(3, ONE), (0, TWO)])
        assert journal.prediction(3) == ONE
    with Journal(path, RUN) as journal:
        journal.add([(1, ONE)])
        assert [journal.has(i) for i in range(5)] == [True, True, False, True, False]
        assert (journal.count(2), journal.count(9)) == (2, 3)
        assert (journal.prediction(0), journal.prediction(1)) == (TWO, ONE)
    with Journal(path, RUN) as journal:
        assert journal.count(9) == 3 and journal.prediction(3) == ONE


def test_cut_off_at_any_byte_it_keeps_the_whole_lines(path: Path) -> None:
    with Journal(path, RUN) as journal:
        journal.add([(0, ONE), (1, TWO)])
    whole = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        with Journal(path, RUN) as journal:
            assert journal.count(9) == max(0, sum(end <= size for end in ends) - 1)
            journal.add([(2, ONE)])
            assert journal.prediction(2) == ONE
        with Journal(path, RUN) as journal:
            assert journal.has(2) and journal.prediction(2) == ONE


def test_zeros_of_a_power_cut_are_cut_off(path: Path) -> None:
    with Journal(path, RUN) as journal:
        journal.add([(0, ONE)])
    with path.open("ab") as file:
        file.write(b"\0" * 100 + b'\n{"place":5,"prediction":{}}\n')
    with Journal(path, RUN) as journal:
        assert journal.count(9) == 1
    assert b"\0" not in path.read_bytes()


def test_another_run_is_refused_and_names_what_differs(path: Path) -> None:
    with Journal(path, RUN) as journal:
        journal.add([(0, ONE)])
    with pytest.raises(SettingsError, match="another model version: --replace"):
        Journal(path, RUN | {"model version": "a-2"})
    with Journal(path, RUN) as journal:
        assert journal.count(9) == 1  # nothing was lost by that
    with Journal(path, RUN | {"model version": "a-2"}, anew=True) as journal:
        assert journal.count(9) == 0


def test_two_at_a_time_are_refused(path: Path) -> None:
    with Journal(path, RUN), pytest.raises(SettingsError, match="another run is writing"):
        Journal(path, RUN)


@pytest.mark.parametrize("content", [b"my notes\n", b'{"a": 1}\n', b"x", b"[1]\n"])
def test_a_file_that_is_no_journal_is_not_touched(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(SettingsError, match="no journal"):
        Journal(path, RUN)
    assert path.read_bytes() == content


def test_one_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="give another --out"):
        Journal(tmp_path / "no" / "j", RUN)


def test_removed(path: Path) -> None:
    with Journal(path, RUN) as journal:
        journal.remove()
    assert not path.exists()
