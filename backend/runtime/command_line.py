"""How both commands end: one clear line for an error, and the exit code that goes with it."""

from __future__ import annotations

import click

from backend.runtime.errors import LabelvinoError

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


def run(command: click.Command, name: str) -> int:
    """Run a click command with the arguments of the process; returns its exit code."""
    try:
        code = command.main(prog_name=name, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return USAGE if isinstance(error, click.UsageError) else FAILED
    except (click.Abort, KeyboardInterrupt):
        click.echo(f"{name}: interrupted.", err=True)
        return INTERRUPTED
    except (LabelvinoError, OSError) as error:
        click.echo(f"{name}: {error}", err=True)
        return FAILED
    return code if isinstance(code, int) else DONE
