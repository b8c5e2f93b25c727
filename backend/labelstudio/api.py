"""Label Studio's API, as far as connecting and finding faults need it (1.23.2)."""

from __future__ import annotations

import email.utils
import time
from dataclasses import dataclass
from datetime import datetime

from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.deadline import finish_by
from backend.labelstudio.json_calls import Fields, JsonCalls, RefusedError, Row
from backend.runtime.errors import FetchError, LabelStudioError

_PAGE = 100


@dataclass(frozen=True)
class Project:
    """What matters of a project.

    uid                its name in requests to backends: number, dot, second it was created in, so
                       that projects of the same number in two Label Studios are told apart
    shows_predictions  annotators see predictions at all
    model_version      whose: a backend's title, or the version of imported predictions; "" none
    """

    id: int
    title: str
    label_config: str
    shows_predictions: bool
    model_version: str
    uid: str = ""

    @property
    def shown(self) -> str:
        return f"{self.id} '{self.title}'"


class LabelStudioApi:
    """Calls that each end within `timeout_s`. Every method raises LabelStudioError."""

    def __init__(self, client: LabelStudioClient, timeout_s: float = 60.0) -> None:
        self.client = client
        self._json = JsonCalls(client, timeout_s)

    @property
    def calls(self) -> JsonCalls:
        """For what stands in other modules, such as a project's tasks."""
        return self._json

    def version(self) -> str:
        """Label Studio's release, such as "1.23.2"."""
        answer = self._json.call("GET", "api/version/")
        release = answer.get("release") if isinstance(answer, dict) else None
        if not isinstance(release, str):
            raise self._json.no_label_studio()
        return release

    def clock_ahead_s(self) -> float | None:
        """By how much Label Studio's clock is ahead of ours; None where it does not say."""
        with finish_by(time.monotonic() + self._json.timeout_s):
            try:
                asked_s = time.time()
                with self.client.get(self.client.api_url("api/version/")) as response:
                    date = response.headers.get("Date", "")
                half_s = (time.time() - asked_s) / 2
            except FetchError as error:
                raise self._json.unreachable(error) from error
        try:
            there_s = email.utils.parsedate_to_datetime(date).timestamp()
        except ValueError:
            return None
        return there_s + 0.5 - asked_s - half_s  # the header has whole seconds

    def user(self) -> Row:
        """Whose token it is: `email`, and `permissions` such as "projects.change"."""
        return self._json.object("GET", "api/current-user/whoami")

    def project(self, wanted: str) -> Project:
        """The project with this id or exactly this title."""
        if wanted.isascii() and wanted.isdigit():
            try:
                return _project(self._json.object("GET", f"api/projects/{wanted}/"))
            except RefusedError as error:
                if error.status != 404:
                    raise
        rows = self._projects(wanted)
        exact = [row for row in rows if row["title"] == wanted]
        if len(exact) == 1:
            return _project(self._json.object("GET", f"api/projects/{exact[0]['id']}/"))
        if exact:
            raise LabelStudioError(
                f"{len(exact)} projects have the title '{wanted}': give the id of one of "
                f"{_listed(exact)}."
            )
        rows = rows or self._projects("")
        if not rows:
            raise LabelStudioError(
                "Label Studio has no project that this token may see: create one first."
            )
        raise LabelStudioError(
            f"there is no project '{wanted}'; there is {_listed(rows)}: give an id or a whole "
            "title."
        )

    def find_project(self, title: str) -> Project | None:
        """The oldest project with exactly this title; None where there is none."""
        rows = [row for row in self._projects(title) if row["title"] == title]
        if not rows:
            return None
        return _project(self._json.object("GET", f"api/projects/{rows[0]['id']}/"))

    def create_project(self, title: str, label_config: str) -> Project:
        """Label Studio wants a title of 3 to 50 characters."""
        fields = {"title": title, "label_config": label_config}
        return _project(self._json.object("POST", "api/projects/", fields))

    def change_project(self, project: Project, changes: Fields) -> Project:
        return _project(self._json.object("PATCH", f"api/projects/{project.id}/", changes))

    def prediction_counts(self, project: Project) -> Row:
        """Number of stored predictions by model version."""
        return self._json.object("GET", f"api/projects/{project.id}/model-versions/")

    def first_task(self, project: Project) -> Row | None:
        """The first task, its addresses as they are stored; None where there is no task."""
        query: dict[str, str | int] = {"project": project.id, "page_size": 1}
        query |= {"fields": "all", "resolve_uri": "false"}
        found = self._json.object("GET", "api/tasks/", query=query).get("tasks")
        return found[0] if isinstance(found, list) and found else None

    def backends(self, project: Project) -> list[Row]:
        """In the order of their ids. Label Studio asks each for /health and /setup meanwhile."""
        found = self._json.rows("api/ml/", {"project": project.id})
        return sorted(found, key=lambda row: int(row["id"]))

    def add_backend(self, fields: Fields) -> Row:
        return self._json.object("POST", "api/ml/", fields)

    def change_backend(self, backend_id: int, fields: Fields) -> Row:
        return self._json.object("PATCH", f"api/ml/{backend_id}", fields)

    def webhooks(self) -> list[Row]:
        """All of the organization; `project` is None for those that hear every project."""
        return self._json.rows("api/webhooks/")

    def add_webhook(self, fields: Fields) -> Row:
        return self._json.object("POST", "api/webhooks/", fields)

    def change_webhook(self, webhook: Row, changes: Fields) -> Row:
        # Label Studio drops the chosen actions unless they come with every change.
        fields = {"actions": webhook.get("actions") or [], **changes}
        return self._json.object("PATCH", f"api/webhooks/{webhook['id']}/", fields)

    def delete_webhook(self, webhook: Row) -> None:
        self._json.call("DELETE", f"api/webhooks/{webhook['id']}/")

    def _projects(self, title_part: str) -> list[Row]:
        """Id and title of the first projects whose title contains `title_part`, in any case."""
        query: dict[str, str | int] = {"include": "id,title", "page_size": _PAGE}
        if title_part:
            query["title"] = title_part
        rows = self._json.object("GET", "api/projects/", query=query).get("results")
        if not isinstance(rows, list):
            raise self._json.no_label_studio()
        return sorted(rows, key=lambda row: int(row["id"]))


def _project(row: Row) -> Project:
    return Project(
        int(row["id"]),
        str(row["title"]),
        str(row.get("label_config") or ""),
        bool(row.get("show_collab_predictions")),
        str(row.get("model_version") or ""),
        _uid(row),
    )


def _uid(row: Row) -> str:
    """As label_studio/ml/api_connector.py makes it (1.23.2)."""
    created = row.get("created_at")
    if not isinstance(created, str):
        return str(row["id"])
    return f"{row['id']}.{int(datetime.fromisoformat(created).timestamp())}"


def _listed(rows: list[Row], most: int = 10) -> str:
    names = [f"{row['id']} '{row['title']}'" for row in rows[:most]]
    return ", ".join(names) + (f" and {len(rows) - most} more" if len(rows) > most else "")
