"""How both commands end: one clear line for an error, and the exit code that goes with it."""

from __future__ import annotations

import click

from backend.runtime.errors import AccuracyError, LabelvinoError

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
ACCURACY_NOT_MET = 4


def run(command: click.Command, name: str, arguments: list[str] | None = None) -> int:
    """Run a click command; returns its exit code. `arguments`: None takes the process's own."""
    try:
        code = command.main(arguments, prog_name=name, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return USAGE if isinstance(error, click.UsageError) else FAILED
    except (click.Abort, KeyboardInterrupt):
        click.echo(f"{name}: interrupted", err=True)
        return INTERRUPTED
    except (LabelvinoError, OSError) as error:
        click.echo(f"{name}: {' '.join(str(error).split())}", err=True)
        return ACCURACY_NOT_MET if isinstance(error, AccuracyError) else FAILED
    return code if isinstance(code, int) else DONE
