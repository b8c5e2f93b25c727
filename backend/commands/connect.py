"""`labelvino connect`"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from backend.commands import options

if TYPE_CHECKING:
    from backend.labelstudio.connection import Connection


@click.command()
@click.option("--url", required=True, help="The backend, as Label Studio reaches it.")
@click.option("--project", required=True, metavar="ID|TITLE", help="The project.")
@options.label_studio_url
@click.option("--title", default="labelvino", show_default=True, help="Its name in the project.")
@click.option(
    "--make-current",
    is_flag=True,
    help="Show its predictions even where the project shows another model's.",
)
@options.config
@click.option("--json", "as_json", is_flag=True, help="Print what is there now as JSON.")
def connect(
    url: str,
    project: str,
    label_studio_url: str | None,
    title: str,
    make_current: bool,
    config: Path | None,
    as_json: bool,
) -> None:
    """Connect a running backend to a project of Label Studio.

    Registers it, sees to it that there is exactly one webhook, and that annotators see its
    predictions. A second run changes nothing. The token, and the backend's user, password and
    webhook secret, are read from the environment or a settings file (docs/configuration.md).
    """
    from backend.label_studio_access import open_api
    from backend.labelstudio.connection import Wishes, backend_url
    from backend.labelstudio.connection import connect as connect_project

    settings = options.settings_of(config, label_studio_url=label_studio_url)
    secret, password = settings.webhook_secret, settings.basic_auth_pass
    wishes = Wishes(
        backend_url(url),
        title,
        basic_auth=(settings.basic_auth_user or "", password.get_secret_value())
        if password is not None
        else None,
        secret=secret.get_secret_value() if secret is not None else None,
        make_current=make_current,
    )
    api = open_api(settings)
    with api.client:
        done = connect_project(api, project, wishes)
    for note in done.notes:
        click.echo(f"labelvino: {note}", err=True)
    if as_json:
        click.echo(json.dumps(_summary(done), indent=2))
        return
    for change in done.changes or ("nothing to change, the backend is connected already",):
        click.echo(f"labelvino: project {done.project.shown}: {change}", err=True)


def _summary(done: Connection) -> dict[str, object]:
    from backend.labelstudio.shown_url import shown_url

    return {
        "project": {"id": done.project.id, "title": done.project.title},
        "backend": {
            "id": done.backend["id"],
            "title": done.backend["title"],
            "url": shown_url(done.backend["url"]),
            "model_version": done.backend["model_version"],
        },
        "webhook": {"id": done.webhook["id"], "url": shown_url(done.webhook["url"])},
        "annotators_see": done.project.model_version,
        "changes": list(done.changes),
        "notes": list(done.notes),
    }
