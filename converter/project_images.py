"""The images of a Label Studio project, by the backend's own client, in a folder for a while.

The one place where the converter knows Label Studio (docs/adr/0012-calibrate-from-a-project.md).
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backend.label_studio_access import open_api, open_image_fetcher
from backend.labelstudio.label_config import parse_label_config
from backend.labelstudio.project_tasks import ProjectTasks
from backend.runtime.errors import ConversionError, FetchError
from backend.settings import Settings, load_settings
from converter.calibration import Counter


@contextmanager
def project_photos(
    project: str, label_studio_url: str | None, most: int, count: Counter
) -> Iterator[tuple[Path, ...]]:
    """The images of at most `most` tasks, drawn at random but the same each time.

    The files vanish in the end. `project`: id or title; `label_studio_url`: None takes
    LABEL_STUDIO_URL; the token and the rest come from the backend's settings. Raises SettingsError,
    LabelStudioError, FetchError with the task, or ConversionError for a project without images.
    """
    settings = load_settings(label_studio_url=label_studio_url)
    with tempfile.TemporaryDirectory(prefix="labelvino-") as folder:
        yield tuple(_download(project, settings, Path(folder), most, count))


def _download(
    project: str, settings: Settings, folder: Path, most: int, count: Counter
) -> list[Path]:
    api = open_api(settings)
    with api.client, open_image_fetcher(settings) as fetcher:
        found = api.project(project)
        config = parse_label_config(found.label_config)
        tasks = ProjectTasks(api.calls, found.id).all()
        if not tasks:
            raise ConversionError(f"project {found.shown} has no task: import images first.")
        tasks = random.Random(0).sample(tasks, min(most, len(tasks)))  # noqa: S311
        paths = []
        for done, task in enumerate(tasks, start=1):
            for number, address in enumerate(
                address for image in config.images for address in image.addresses(task["data"])
            ):
                path = folder / f"task-{task['id']}-{number}.image"
                try:
                    path.write_bytes(fetcher.fetch(address, task_id=task["id"]))
                except FetchError as error:
                    raise FetchError(f"task {task['id']}: {error}") from error
                paths.append(path)
            count(done, len(tasks))
    return paths
