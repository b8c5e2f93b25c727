"""Label Studio's API, as far as the end-to-end tests need it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

PREDICT_TIMEOUT_S = 110.0  # Label Studio itself waits 100 s for a backend


class LabelStudioError(AssertionError):
    """Label Studio answered with an error; the message carries its words."""


@dataclass(frozen=True)
class Project:
    """A project of one test."""

    id: int
    title: str


class LabelStudio:
    """A signed-in client of one running Label Studio.

    url: its address, such as http://127.0.0.1:18080
    authorization: the value of the Authorization header, `Token ...` or `Bearer ...`
    """

    def __init__(self, url: str, authorization: str) -> None:
        self.url = url
        self._http = httpx2.Client(
            base_url=url, headers={"Authorization": authorization}, timeout=PREDICT_TIMEOUT_S
        )

    def close(self) -> None:
        self._http.close()

    def call(self, method: str, path: str, **kwargs: Any) -> Any:
        """One request; the JSON answer, or None when the answer has no body."""
        response = self._http.request(method, path, **kwargs)
        if response.is_error:
            raise LabelStudioError(
                f"{method} {path} answered {response.status_code}: {response.text[:300]}"
            )
        return response.json() if response.content else None

    # projects and tasks

    def create_project(self, title: str, label_config: str) -> Project:
        """A new project. Label Studio wants a title of at least three characters."""
        made = self.call(
            "POST", "/api/projects/", json={"title": title[:50], "label_config": label_config}
        )
        return Project(made["id"], made["title"])

    def upload(self, project: Project, files: Iterable[tuple[str, bytes]]) -> list[int]:
        """Upload images, one task each. Gives the task ids in the order of the files."""
        # Label Studio keeps one file per form field, so each needs a field of its own.
        parts = {name: (name, data, "image/jpeg") for name, data in files}
        before = {task["id"] for task in self.tasks(project)}
        self.call("POST", f"/api/projects/{project.id}/import", files=parts)
        made = [task for task in self.tasks(project) if task["id"] not in before]
        # It puts a random prefix before the name.
        return [
            next(task["id"] for task in made if task["data"]["image"].endswith(f"-{name}"))
            for name in parts
        ]

    def import_tasks(self, project: Project, tasks: Sequence[Mapping[str, Any]]) -> list[int]:
        """Import tasks as JSON; gives their ids in order."""
        before = {task["id"] for task in self.tasks(project)}
        self.call("POST", f"/api/projects/{project.id}/import", json=list(tasks))
        return sorted(task["id"] for task in self.tasks(project) if task["id"] not in before)

    def add_local_files(self, project: Project, folder: Path) -> int:
        """A local-files storage, without which Label Studio does not serve /data/local-files/."""
        body = {"project": project.id, "path": str(folder), "use_blob_urls": True}
        return int(self.call("POST", "/api/storages/localfiles", json=body)["id"])

    def tasks(self, project: Project) -> list[dict[str, Any]]:
        """All tasks of a project in order of id, without their predictions."""
        query = {"project": project.id, "page_size": 1000, "fields": "all"}
        found = self.call("GET", "/api/tasks/", params=query)["tasks"]
        return sorted(found, key=lambda task: int(task["id"]))

    # the machine learning backend

    def connect_backend(
        self, project: Project, url: str, basic_auth: tuple[str, str] | None = None
    ) -> int:
        """Connect a backend as the settings page does; gives its id."""
        body: dict[str, Any] = {"project": project.id, "url": url, "title": "labelvino"}
        if basic_auth is not None:
            user, password = basic_auth
            body |= {
                "auth_method": "BASIC_AUTH",
                "basic_auth_user": user,
                "basic_auth_pass": password,
            }
        return int(self.call("POST", "/api/ml/", json=body)["id"])

    def retrieve_predictions(self, project: Project, task_ids: Sequence[int]) -> dict[str, Any]:
        """The Data Manager's action "Retrieve Predictions" on the selected tasks."""
        body = {"selectedItems": {"all": False, "included": list(task_ids)}}
        query = {"id": "retrieve_tasks_predictions", "project": project.id}
        answer: dict[str, Any] = self.call("POST", "/api/dm/actions/", params=query, json=body)
        return answer

    def predictions(self, task_id: int) -> list[dict[str, Any]]:
        """The stored predictions of a task."""
        found: list[dict[str, Any]] = self.call(
            "GET", "/api/predictions/", params={"task": task_id}
        )
        return found

    def annotations(self, task_id: int) -> list[dict[str, Any]]:
        """The submitted annotations of a task."""
        found: list[dict[str, Any]] = self.call("GET", f"/api/tasks/{task_id}/annotations/")
        return found

    # webhooks and tokens

    def webhooks(self, project: Project) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call(
            "GET", "/api/webhooks/", params={"project": project.id}
        )
        return found

    def change_webhook(self, webhook_id: int, **changes: Any) -> None:
        self.call("PATCH", f"/api/webhooks/{webhook_id}/", json=changes)

    def create_personal_access_token(self) -> str:
        """A Personal Access Token: a refresh JWT that is traded for short access tokens."""
        self.call("POST", "/api/jwt/settings", json={"api_tokens_enabled": True})
        return str(self.call("POST", "/api/token/", json={})["token"])
