"""What the calls to Label Studio's API say when something is wrong."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from local_server import Answer, LocalServer, local_server, raw, redirect, send

from backend.labelstudio.api import LabelStudioApi, Project
from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.json_calls import RefusedError
from backend.runtime.errors import LabelStudioError

TOKEN = "0123456789abcdef0123456789abcdef01234567"
STREET = {
    "id": 3, "title": "Street", "label_config": "<View/>", "show_collab_predictions": True,
    "model_version": None,
}  # fmt: skip


def sends(data: object, status: int = 200) -> Answer:
    return send(status, json.dumps(data).encode(), "application/json")


def projects(*rows: dict[str, Any]) -> Answer:
    return sends({"count": len(rows), "results": list(rows)})


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with local_server() as running:
        yield running


@pytest.fixture
def api(server: LocalServer) -> Iterator[LabelStudioApi]:
    with LabelStudioClient(server.url, TOKEN) as client:
        yield LabelStudioApi(client, timeout_s=5.0)


def test_version(server: LocalServer, api: LabelStudioApi) -> None:
    server.routes["/api/version/"] = sends({"release": "1.23.2"})
    assert api.version() == "1.23.2"
    assert server.tokens("/api/version/") == [f"Token {TOKEN}"]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (send(200, b"<html>", "text/html"), "LABEL_STUDIO_URL"),
        (sends([]), "LABEL_STUDIO_URL"),
        (sends({}), "LABEL_STUDIO_URL"),
        (send(404, b"<html>", "text/html"), "does not answer as Label Studio"),
        (redirect("https://ls.test/api/version/"), r"leads on to https://ls\.test.*https"),
        (redirect("https://u:geheim@ls.test/"), "leads on to"),
        (sends({"detail": "Invalid token."}, 401), "legacy token.*Invalid token.*API_KEY"),
        (sends({"detail": "Not for you."}, 403), "token's user.*Not for you"),
        (sends({"detail": "Broken."}, 500), "HTTP 500, Broken.*log"),
        (send(502, b"<html>", "text/html"), "HTTP 502.*log"),
        (sends({"validation_errors": {"url": ["<b>Bad</b>\nurl."]}}, 400), "HTTP 400, Bad url"),
        (raw(b"nonsense\r\n\r\n"), "broke off"),
    ],
)
def test_error_sentences(
    server: LocalServer, api: LabelStudioApi, answer: Answer, says: str
) -> None:
    server.routes["/api/version/"] = answer
    with pytest.raises(LabelStudioError, match=says) as caught:
        api.version()
    assert "geheim" not in str(caught.value) and TOKEN not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_token(server: LocalServer) -> None:
    server.otherwise = sends({"detail": "no credentials"}, 401)
    with (
        LabelStudioClient(server.url) as client,
        pytest.raises(LabelStudioError, match="wants a token: set LABEL_STUDIO_API_KEY"),
    ):
        LabelStudioApi(client).user()


def test_nobody_there() -> None:
    with (
        LabelStudioClient("http://127.0.0.1:9", TOKEN) as client,
        pytest.raises(LabelStudioError, match=r"127\.0\.0\.1:9: no connection"),
    ):
        LabelStudioApi(client).version()


def test_a_silent_server_costs_no_more_than_the_timeout(server: LocalServer) -> None:
    server.otherwise = lambda handler: time.sleep(1.0)
    began = time.monotonic()
    with (
        LabelStudioClient(server.url, TOKEN) as client,
        pytest.raises(LabelStudioError, match="did not answer in time"),
    ):
        LabelStudioApi(client, timeout_s=0.2).version()
    assert time.monotonic() - began < 0.9


def test_no_project_at_all(server: LocalServer, api: LabelStudioApi) -> None:
    server.routes["/api/projects/"] = projects()
    with pytest.raises(LabelStudioError, match="no project that this token may see"):
        api.project("Street")


def test_project_by_id_and_by_title(server: LocalServer, api: LabelStudioApi) -> None:
    server.routes["/api/projects/3/"] = sends(STREET)
    server.routes["/api/projects/"] = projects(
        {"id": 3, "title": "Street"}, {"id": 4, "title": "Streets"}
    )
    wanted = Project(3, "Street", "<View/>", shows_predictions=True, model_version="", uid="3")
    assert api.project("3") == api.project("Street") == wanted


def test_a_title_of_digits(server: LocalServer, api: LabelStudioApi) -> None:
    server.routes["/api/projects/2024/"] = sends({"detail": "No Project matches."}, 404)
    server.routes["/api/projects/"] = projects({"id": 3, "title": "2024"})
    server.routes["/api/projects/3/"] = sends({**STREET, "title": "2024"})
    assert api.project("2024").id == 3


def test_a_title_that_several_have(server: LocalServer, api: LabelStudioApi) -> None:
    server.routes["/api/projects/"] = projects(
        {"id": 4, "title": "Street"}, {"id": 3, "title": "Street"}
    )
    with pytest.raises(LabelStudioError, match=r"2 projects.*3 'Street', 4 'Street'"):
        api.project("Street")


def test_a_title_that_none_has_lists_what_is_like_it(
    server: LocalServer, api: LabelStudioApi
) -> None:
    server.routes["/api/projects/"] = projects({"id": 3, "title": "Street"})
    with pytest.raises(LabelStudioError, match="no project 'street'; there is 3 'Street'"):
        api.project("street")

    def all_of_them(handler: BaseHTTPRequestHandler) -> None:
        found = [] if "title=" in handler.path else [{"id": i, "title": "x"} for i in range(12)]
        projects(*found)(handler)

    server.routes["/api/projects/"] = all_of_them
    with pytest.raises(LabelStudioError, match=r"0 'x', .*9 'x' and 2 more"):
        api.project("Street")


def test_a_changed_webhook_keeps_its_actions(server: LocalServer, api: LabelStudioApi) -> None:
    server.routes["/api/webhooks/5/"] = sends({"id": 5})
    api.change_webhook({"id": 5, "actions": ["TASKS_CREATED"]}, {"is_active": True})
    (seen,) = server.seen
    assert (seen.method, seen.target) == ("PATCH", "/api/webhooks/5/")
    assert json.loads(seen.body) == {"actions": ["TASKS_CREATED"], "is_active": True}


def test_what_is_deleted_has_no_answer(server: LocalServer, api: LabelStudioApi) -> None:
    server.routes["/api/webhooks/5/"] = send(204, b"")
    api.delete_webhook({"id": 5})
    assert server.seen[0].method == "DELETE"


def test_a_path_prefix(server: LocalServer) -> None:
    server.routes["/ls/api/ml/"] = sends([{"id": 7}, {"id": 6}])
    with LabelStudioClient(f"{server.url}/ls/", TOKEN) as client:
        found = LabelStudioApi(client).backends(Project(3, "", "", True, ""))
    assert [row["id"] for row in found] == [6, 7]
    assert server.targets == ["/ls/api/ml/?project=3"]


@pytest.mark.parametrize("ahead_s", [0, 90, -90])
def test_clock(server: LocalServer, api: LabelStudioApi, ahead_s: int) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        body = b"{}"
        handler.send_response_only(200)
        handler.send_header("Date", formatdate(time.time() + ahead_s, usegmt=True))
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    server.routes["/api/version/"] = answer
    found_s = api.clock_ahead_s()
    assert found_s is not None
    assert abs(found_s - ahead_s) < 2


def test_no_clock(server: LocalServer, api: LabelStudioApi) -> None:
    server.routes["/api/version/"] = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert api.clock_ahead_s() is None


def test_the_refusal_says_status_and_words(server: LocalServer, api: LabelStudioApi) -> None:
    server.routes["/api/webhooks/"] = sends({"detail": "Stop."}, 418)
    with pytest.raises(RefusedError) as caught:
        api.webhooks()
    assert (caught.value.status, caught.value.words) == (418, "Stop")


def test_the_name_of_a_project_in_requests(server: LocalServer, api: LabelStudioApi) -> None:
    """As in ../shared/label-studio/requests.json: its number, and the second of its creation."""
    created = {"created_at": "2026-11-21T00:08:00.900499Z"}
    server.routes["/api/projects/3/"] = sends({**STREET, **created})
    assert api.project("3").uid == "3.1795219680"
