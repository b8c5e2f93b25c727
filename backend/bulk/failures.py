"""The file of tasks that failed, for another try."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from backend.runtime.errors import SettingsError


def write_failures(
    path: Path, project_id: int, model_version: str, by_task: Mapping[int, str]
) -> None:
    """Write them, also where there are none, whole or not at all."""
    content = {
        "project": project_id,
        "model_version": model_version,
        "failed": [{"task": task_id, "reason": by_task[task_id]} for task_id in sorted(by_task)],
    }
    new = path.with_name(f"{path.name}.new")
    new.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    new.replace(path)


def check_failures_path(path: Path) -> None:
    """Raises SettingsError where the file cannot be written, and so before a long job."""
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise SettingsError(f"--failed {path} cannot be written: name a file in a folder of yours.")


def read_failures(path: Path, project_id: int) -> tuple[int, ...]:
    """The tasks of the file. Raises SettingsError for another file, or that of another project."""
    try:
        content = json.loads(path.read_bytes())
        of_project = int(content["project"])
        ids = tuple(int(entry["task"]) for entry in content["failed"])
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            f"{path} is not a file that --failed has written: give one that is."
        ) from error
    if of_project != project_id:
        raise SettingsError(
            f"{path} is about project {of_project}, not {project_id}: give the file of this one."
        )
    return ids
