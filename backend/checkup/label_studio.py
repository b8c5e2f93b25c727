"""Label Studio: address, clock, token, project, its backend, and the image of one task."""

from __future__ import annotations

from collections.abc import Iterator

from backend.checkup.finding import Finding, attempt
from backend.label_studio_access import open_api, open_image_fetcher
from backend.labelstudio.api import LabelStudioApi, Project
from backend.labelstudio.label_config import ImageTag, parse_label_config
from backend.labelstudio.shown_url import shown_url
from backend.runtime.errors import LabelvinoError
from backend.runtime.image import ImageLimits, decode_image
from backend.settings import Settings

MAX_SKEW_S = 30.0
_OF_PROJECT = ("project", "image", "backend")
_CONNECTED = "CO"
_MAX_WORDS = 200
# What serving needs, and what `labelvino connect` needs besides (names of Label Studio 1.23.2).
_TO_SERVE = ("projects.view", "tasks.view")
_TO_CONNECT = ("projects.change", "webhooks.view", "webhooks.change")


def label_studio_findings(settings: Settings, project: str | None) -> Iterator[Finding]:
    """All that can be seen from here with the token; each line as soon as it is known."""
    if settings.label_studio_url is None:
        reason = "no Label Studio is given: use --label-studio-url or LABEL_STUDIO_URL."
        yield from _unchecked(("label studio", "clock", "token", *_OF_PROJECT), reason)
        return
    try:
        # A token that is refused must not look like an address that is wrong.
        public = open_api(settings, with_token=False)
    except LabelvinoError as error:
        yield Finding("label studio", "problem", str(error))
        reason = "the settings of Label Studio cannot be used."
        yield from _unchecked(("clock", "token", *_OF_PROJECT), reason)
        return
    with public.client:
        address = attempt("label studio", lambda: _address(public))
        yield address
        if address.status == "problem":
            reason = "Label Studio is not there."
            yield from _unchecked(("clock", "token", *_OF_PROJECT), reason)
            return
        yield attempt("clock", lambda: _clock(public))
    try:
        api = open_api(settings)
    except LabelvinoError as error:
        yield Finding("token", "problem", str(error))
        yield from _unchecked(_OF_PROJECT, "the token cannot be used.")
        return
    with api.client:
        yield from _with_token(api, settings, project)


def _with_token(api: LabelStudioApi, settings: Settings, wanted: str | None) -> Iterator[Finding]:
    token = attempt("token", lambda: _token(api))
    yield token
    if token.status == "problem":
        yield from _unchecked(_OF_PROJECT, "the token cannot be used.")
        return
    if wanted is None:
        yield from _unchecked(_OF_PROJECT, "no project is given: use --project ID|TITLE.")
        return
    try:
        project = api.project(wanted)
    except LabelvinoError as error:
        yield Finding("project", "problem", str(error))
        yield from _unchecked(_OF_PROJECT[1:], "there is no project to look into.")
        return
    yield Finding("project", "ok", project.shown)
    yield attempt("image", lambda: _image(api, settings, project))
    yield attempt("backend", lambda: _backend(api, settings, project))


def _address(api: LabelStudioApi) -> Finding:
    text = f"{api.client.shown_address}, version {api.version()}"
    return Finding("label studio", "ok", text)


def _clock(api: LabelStudioApi) -> Finding:
    ahead_s = api.clock_ahead_s()
    if ahead_s is None:
        return Finding("clock", "unchecked", "Label Studio does not say its time.")
    if abs(ahead_s) > MAX_SKEW_S:
        text = (
            f"Label Studio's clock is {abs(ahead_s):.0f} s {'ahead' if ahead_s > 0 else 'behind'}: "
            "set both machines' clocks (NTP), or tokens and signed addresses die too early."
        )
        return Finding("clock", "problem", text)
    return Finding("clock", "ok", f"within {max(1.0, abs(ahead_s)):.0f} s of Label Studio's")


def _token(api: LabelStudioApi) -> Finding:
    user = api.user()
    whose = f"{api.client.token_kind} of {user.get('email') or 'a user without address'}"
    rights = user.get("permissions")
    if not isinstance(rights, list):
        return Finding("token", "hint", f"{whose}; Label Studio does not say what it may do.")
    missing = [right for right in _TO_SERVE if right not in rights]
    if missing:
        text = f"{whose} lacks {', '.join(missing)}: use the token of a user who has them."
        return Finding("token", "problem", text)
    missing = [right for right in _TO_CONNECT if right not in rights]
    if missing:
        text = f"{whose} may serve, but not 'labelvino connect': it lacks {', '.join(missing)}."
        return Finding("token", "hint", text)
    return Finding("token", "ok", f"{whose}, may serve and connect")


def _image(api: LabelStudioApi, settings: Settings, project: Project) -> Finding:
    task = api.first_task(project)
    if task is None:
        return Finding("image", "unchecked", "the project has no task yet.")
    tag = _image_tag(project)
    if tag is None:
        text = "the label config has no Image that a polygon, brush or rectangle control is for."
        return Finding("image", "problem", f"{text[:-1]}: see 'labelvino label-config'.")
    addresses = tag.addresses(task.get("data") or {})
    if not addresses:
        return Finding("image", "unchecked", f"the list of images of task {task['id']} is empty.")
    with open_image_fetcher(settings) as fetcher:
        data = fetcher.fetch(addresses[0], task_id=task["id"])
    image = decode_image(data, ImageLimits(settings.max_image_bytes, settings.max_image_pixels))
    height_px, width_px = image.pixels.shape[:2]
    text = (
        f"task {task['id']}: {width_px}x{height_px}, {len(data) / 1000:.0f} kB, from "
        f"{shown_url(addresses[0])}"
    )
    return Finding("image", "ok", text)


def _backend(api: LabelStudioApi, settings: Settings, project: Project) -> Finding:
    """Whether Label Studio asks a backend; it looks at each of them while it lists them."""
    connect = f"labelvino connect --url http://HOST:{settings.port} --project {project.id}"
    rows = api.backends(project)
    if not rows:
        text = f"no backend is connected to the project, so none is asked: run '{connect}'."
        return Finding("backend", "problem", text)
    first = rows[0]
    name = f"'{first.get('title')}' at {shown_url(str(first.get('url')))}"
    if first.get("state") != _CONNECTED:
        words = " ".join(str(first.get("error_message") or "").split())[:_MAX_WORDS]
        said = f" ({words.rstrip('.')})" if words else ""
        text = (
            f"Label Studio does not get an answer from {name}{said}: start 'labelvino serve' "
            f"there, or run '{connect}' with the address that Label Studio reaches."
        )
        return Finding("backend", "problem", text)
    version = first.get("model_version") or "no version yet"
    text = f"{name} is connected, version {version}"
    if len(rows) > 1:
        others = ", ".join(f"'{row.get('title')}'" for row in rows[1:])
        text += f"; Label Studio asks only this first one, not {others}."
        return Finding("backend", "hint", text)
    return Finding("backend", "ok", text)


def _image_tag(project: Project) -> ImageTag | None:
    """The first that is labelled. Raises LabelConfigError."""
    config = parse_label_config(project.label_config)
    labelled = {control.to_name for control in config.controls}
    return next((tag for tag in config.images if tag.name in labelled), None)


def _unchecked(checks: tuple[str, ...], reason: str) -> Iterator[Finding]:
    for check in checks:
        yield Finding(check, "unchecked", reason)
