"""A project with our backend: registered once, heard once, and shown to annotators."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httpx2

from backend.labelstudio.api import LabelStudioApi, Project
from backend.labelstudio.json_calls import RefusedError, Row
from backend.labelstudio.refusals import backend_refused, webhook_refused
from backend.labelstudio.shown_url import shown_url
from backend.runtime.errors import LabelStudioError, SettingsError

SECRET_HEADER = "X-Labelvino-Secret"  # noqa: S105 - its name
_CONNECTED = "CO"


@dataclass(frozen=True)
class Wishes:
    """How a project shall know the backend.

    url          as Label Studio reaches it, from `backend_url`
    title        its name in the project, by which it is found again when it has moved
    basic_auth   user and password that the backend asks for
    secret       lets webhooks into a backend with basic auth
    make_current show its predictions even where the project shows those of another model
    """

    url: str
    title: str = "labelvino"
    basic_auth: tuple[str, str] | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)
    make_current: bool = False


@dataclass(frozen=True)
class Connection:
    """What is there now; `changes`: what was done for it; `notes`: what the user should know."""

    project: Project
    backend: Row
    webhook: Row
    changes: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Record:
    changes: list[str]
    notes: list[str]


def backend_url(text: str) -> str:
    """The address of a backend, checked and without a slash at its end. Raises SettingsError."""
    try:
        url = httpx2.URL(text.strip())
        port_is_right = url.port is None or 0 < url.port < 65536
    except (httpx2.InvalidURL, ValueError):
        raise _no_backend_url(text) from None
    if url.scheme not in ("http", "https") or not url.host or not port_is_right:
        raise _no_backend_url(text)
    if url.userinfo:
        raise SettingsError(
            f"{shown_url(text)}: give user and password in BASIC_AUTH_USER and BASIC_AUTH_PASS."
        )
    if url.query or url.fragment:
        raise _no_backend_url(text)
    return str(url).rstrip("/")


def connect(api: LabelStudioApi, wanted_project: str, wishes: Wishes) -> Connection:
    """Connect; a second call changes nothing. Raises LabelStudioError.

    `wanted_project`: id or title. The webhook comes last, so that predictions work where Label
    Studio refuses nothing else.
    """
    project = api.project(wanted_project)
    rows = api.backends(project)
    ours = _ours(rows, wishes)
    others = [row for row in rows if row is not ours]
    old_url = str(ours["url"]) if ours else None
    record = _Record([], _notes(rows, ours, wishes))
    try:
        backend = _registered(api, project, ours, wishes, record)
    except RefusedError as error:
        raise backend_refused(error, wishes.url) from error
    titles = {str(row["title"]) for row in others}
    project = _shown(api, project, backend, titles, wishes, record)
    try:
        urls = [str(row["url"]) for row in others]
        webhook = _heard(api, project, old_url, urls, wishes, record)
    except RefusedError as error:
        raise webhook_refused(error, wishes.url) from error
    return Connection(project, backend, webhook, tuple(record.changes), tuple(record.notes))


def _ours(rows: list[Row], wishes: Wishes) -> Row | None:
    """The row of our address; else the one of our title, which has another address."""
    same = [row for row in rows if _place(row["url"]) == _place(wishes.url)]
    if len(same) > 1:
        ids = ", ".join(str(row["id"]) for row in same)
        raise LabelStudioError(
            f"the project has the backend {wishes.url} {len(same)} times (ids {ids}): remove all "
            "but one under Settings > Model."
        )
    return next(iter(same), None) or next(
        (row for row in rows if row["title"] == wishes.title), None
    )


def _registered(
    api: LabelStudioApi, project: Project, ours: Row | None, wishes: Wishes, record: _Record
) -> Row:
    fields: dict[str, Any] = {"project": project.id, "url": wishes.url}
    if wishes.basic_auth is not None:
        user, password = wishes.basic_auth
        fields |= {
            "auth_method": "BASIC_AUTH", "basic_auth_user": user, "basic_auth_pass": password,
        }  # fmt: skip
    if ours is None:
        # Without it smart tools ask nobody; it changes nothing where a config has none.
        made = api.add_backend({**fields, "title": wishes.title, "is_interactive": True})
        record.changes.append(f"connected the backend {wishes.url} as '{wishes.title}'")
        return made
    moved = _place(ours["url"]) != _place(wishes.url)
    if not moved:
        fields["url"] = ours["url"]  # it may carry user and password
    wrong_user = wishes.basic_auth is not None and (
        ours.get("auth_method") != "BASIC_AUTH"
        or ours.get("basic_auth_user") != wishes.basic_auth[0]
        or not ours.get("basic_auth_pass_is_set")
    )
    if not moved and not wrong_user and ours.get("state") == _CONNECTED:
        return ours
    changed = api.change_backend(ours["id"], fields)
    if moved:
        record.changes.append(f"moved the backend from {shown_url(ours['url'])} to {wishes.url}")
    elif wrong_user:
        record.changes.append("gave Label Studio the backend's user and password")
    else:
        record.changes.append("connected the backend again")
    return changed


def _shown(
    api: LabelStudioApi,
    project: Project,
    backend: Row,
    other_titles: set[str],
    wishes: Wishes,
    record: _Record,
) -> Project:
    """Annotators see predictions, and ours where nobody has chosen others."""
    title = str(backend["title"])
    wanted: dict[str, Any] = {}
    if not project.shows_predictions:
        wanted["show_collab_predictions"] = True
        record.changes.append("let annotators see predictions")
    if project.model_version != title:
        counts = api.prediction_counts(project)
        is_alive = project.model_version in other_titles or counts.get(project.model_version, 0) > 0
        if project.model_version and is_alive and not wishes.make_current:
            record.notes.append(
                f"annotators see the predictions of '{project.model_version}', as the project is "
                "set: run with --make-current to show those of this backend."
            )
        else:
            wanted["model_version"] = title
            record.changes.append(f"chose the predictions of '{title}' for annotators")
    return api.change_project(project, wanted) if wanted else project


def _heard(
    api: LabelStudioApi,
    project: Project,
    old_url: str | None,
    other_urls: list[str],
    wishes: Wishes,
    record: _Record,
) -> Row:
    """Exactly one active webhook at our address, with the secret where there is one.

    Webhooks outlive their backend: those of our own earlier address, and those that carry our
    header but belong to no backend of the project, go.
    """
    hooks = api.webhooks()
    if any(hook["project"] is None and _is_at(hook, wishes.url) for hook in hooks):
        record.notes.append(
            "a webhook of the whole organization has this address too, so each event comes twice: "
            "remove it under the organization's webhooks."
        )
    hooks = sorted((h for h in hooks if h["project"] == project.id), key=lambda hook: hook["id"])
    ours = [hook for hook in hooks if _is_at(hook, wishes.url)]
    for hook in hooks:
        if hook in ours or any(_is_at(hook, url) for url in other_urls):
            continue
        if (old_url and _is_at(hook, old_url)) or SECRET_HEADER in hook["headers"]:
            api.delete_webhook(hook)
            record.changes.append(f"removed the old webhook {shown_url(hook['url'])}")
    if not ours:
        record.changes.append("made its webhook")
        return api.add_webhook(_webhook_fields(project, wishes))
    # The one that Label Studio made first stays; those behind it double each event.
    kept, *doubles = sorted(ours, key=lambda hook: not hook["is_active"])
    for hook in doubles:
        api.delete_webhook(hook)
        record.changes.append(f"removed a second webhook {shown_url(hook['url'])}")
    wanted: dict[str, Any] = {}
    if not kept["is_active"]:
        wanted["is_active"] = True
        record.changes.append("switched its webhook on")
    if wishes.secret is not None and kept["headers"].get(SECRET_HEADER) != wishes.secret:
        wanted["headers"] = {**kept["headers"], SECRET_HEADER: wishes.secret}
        record.changes.append("set the secret of its webhook")
    return api.change_webhook(kept, wanted) if wanted else kept


def _webhook_fields(project: Project, wishes: Wishes) -> dict[str, Any]:
    """As Label Studio makes it itself."""
    return {
        "project": project.id,
        "url": f"{wishes.url}/webhook",
        "send_payload": True,
        "send_for_all_actions": True,
        "headers": {} if wishes.secret is None else {SECRET_HEADER: wishes.secret},
    }


def _notes(rows: list[Row], ours: Row | None, wishes: Wishes) -> list[str]:
    notes = []
    first = rows[0] if rows else None
    if first is not None and (ours is None or first["id"] != ours["id"]):
        notes.append(
            f"Label Studio asks only a project's first backend for predictions, here "
            f"'{first['title']}' at {shown_url(first['url'])}: remove it under Settings > Model "
            "to get those of labelvino."
        )
    if ours is not None and not ours.get("is_interactive"):
        notes.append(
            "smart tools do not ask the backend, as the project is set: switch on its interactive "
            "preannotations under Settings > Model to get answers to clicks and boxes."
        )
    if wishes.basic_auth is not None and wishes.secret is None:
        notes.append(
            "Label Studio sends webhooks without user and password, so the backend refuses them: "
            "set LABELVINO_WEBHOOK_SECRET for the backend and here, and connect again."
        )
    return notes


def _place(url: str) -> tuple[str, str, int, str]:
    """What makes two addresses the same: scheme, host, port, path; not user and password."""
    try:
        parsed = httpx2.URL(url.strip())
        port = parsed.port or (443 if parsed.scheme == "https" else 80)
    except (httpx2.InvalidURL, ValueError):
        return "", "", 0, url
    return parsed.scheme, parsed.host, port, parsed.path.rstrip("/")


def _is_at(hook: Row, url: str) -> bool:
    scheme, host, port, path = _place(url)
    return _place(hook["url"]) == (scheme, host, port, f"{path}/webhook")


def _no_backend_url(text: str) -> SettingsError:
    return SettingsError(
        f"the backend's address cannot be used ({shown_url(text)}): write http://host:9090, as "
        "Label Studio reaches it."
    )
