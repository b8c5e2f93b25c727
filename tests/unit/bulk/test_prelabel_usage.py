"""Options of `labelvino prelabel` that do not go together, and files that cannot be used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from backend.bulk.failures import check_failures_path, read_failures, write_failures
from backend.cli import cli
from backend.runtime.errors import SettingsError

QUEUE = ("--queue", "redis://127.0.0.1:1")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "--project is needed, or --tasks"),
        (("--out", "o.json"), "--out cannot be given with --project"),
        (("--tasks", "t.json"), "--label-config is needed with --tasks"),
        (("--tasks", "t.json", "--label-config", "c.xml"), "--out is needed with --tasks"),
        (("--tasks", "t.json", "--project", "1"), "--project cannot be given with --tasks"),
        (("--tasks", "t.json", *QUEUE), "--queue cannot be given with --tasks"),
        (("--project", "1", "--retry", "f", "--view", "3"), "leave out --view"),
        (("--project", "1", "--retry", "f", "--watch"), "--watch goes neither"),
        (("--project", "1", "--dry-run", "--watch"), "--watch goes neither"),
        (("--project", "1", "--no-wait"), "--no-wait needs a queue"),
        (("--project", "1", "--no-cache", *QUEUE), "--no-cache goes not with a queue"),
        (("--project", "1", "--leave-blank", "120%"), "--leave-blank"),
        (("--project", "1", "--limit", "0"), "--limit"),
    ],
)
def test_what_does_not_go_together(arguments: tuple[str, ...], says: str) -> None:
    done = CliRunner().invoke(cli, ["prelabel", *arguments])
    assert done.exit_code == 2, done.output
    assert says in done.output


def test_failures_come_back(tmp_path: Path) -> None:
    path = tmp_path / "failed.json"
    write_failures(path, 7, "v", {})
    assert read_failures(path, 7) == ()
    write_failures(path, 7, "v", {30: "gone", 4: "\u00e4"})
    assert read_failures(path, 7) == (4, 30)
    assert [p.name for p in tmp_path.iterdir()] == ["failed.json"]
    with pytest.raises(SettingsError, match="about project 7, not 8"):
        read_failures(path, 8)


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps({"project": 7, "failed": [1]})])
def test_a_file_that_is_no_list_of_failures(content: str, tmp_path: Path) -> None:
    path = tmp_path / "failed.json"
    path.write_text(content)
    with pytest.raises(SettingsError, match="not a file that --failed has written"):
        read_failures(path, 7)
    with pytest.raises(SettingsError, match="cannot be read"):
        read_failures(tmp_path / "none.json", 7)


def test_a_place_for_failures_is_looked_at_before_the_work(tmp_path: Path) -> None:
    check_failures_path(tmp_path / "failed.json")
    for path in (tmp_path, tmp_path / "no" / "failed.json"):
        with pytest.raises(SettingsError, match="cannot be written"):
            check_failures_path(path)
