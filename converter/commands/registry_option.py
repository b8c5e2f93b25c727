"""`--registry`, which fetch and list share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

VARIABLE = "LABELVINO_MODEL_REGISTRY"


def registry_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option; the command gets `registry`, a tuple of paths."""
    return click.option(
        "--registry",
        type=click.Path(path_type=Path),
        multiple=True,
        envvar=VARIABLE,
        help="A TOML file with more models; may be given more than once. Default: "
        f"{VARIABLE}, else models.toml in the folder of labelvino's configuration.",
    )(command)


def registry_files(given: tuple[Path, ...]) -> tuple[Path, ...]:
    """The files to read: those that were given, else the user's own where there is one."""
    own = Path(click.get_app_dir("labelvino")) / "models.toml"
    return given or ((own,) if own.is_file() else ())
