"""docs/commands.md out of the commands themselves: `make docs` writes it, a test compares it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import click

from backend.cli import cli as labelvino
from converter.cli import cli as labelvino_model

PAGE = Path(__file__).resolve().parent.parent / "docs" / "commands.md"
_INTRODUCTION = """# Commands

What `--help` prints, for each command. `make docs` writes this page, a test compares it.

Both commands end with 0 when all is done, 1 when something failed, 2 for a command line that is \
not understood, 3 when two models differ by more than they may, 4 when one lost too much accuracy, \
130 when interrupted. Data goes to stdout, talk to stderr.
"""
_WIDTH = 88


def command_reference() -> str:
    """The whole page, in Markdown."""
    parts = [_INTRODUCTION]
    for name, group in (("labelvino", labelvino), ("labelvino-model", labelvino_model)):
        for path, help_text in _helps(group, name, None):
            level = "#" * (2 + path.count(" "))
            parts.append(f"{level} {path}\n\n```text\n{help_text}\n```\n")
    return "\n".join(parts)


def _helps(
    command: click.Command, name: str, parent: click.Context | None
) -> Iterator[tuple[str, str]]:
    command = copy.copy(command)
    # click remembers it from the first call, which may have been one without the group above.
    vars(command)["_help_option"] = None
    context = click.Context(
        command, parent, name, terminal_width=_WIDTH, **command.context_settings
    )
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            child = command.get_command(context, each)
            assert child is not None
            yield from _helps(child, each, context)


if __name__ == "__main__":
    PAGE.write_text(command_reference(), encoding="utf-8")
