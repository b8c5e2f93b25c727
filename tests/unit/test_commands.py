"""The documentation of the commands, and how quick their help is."""

from __future__ import annotations

import subprocess
import sys

import pytest

from backend.cli import cli
from tests.command_reference import PAGE, command_reference


def test_every_command_is_documented() -> None:
    assert PAGE.read_text(encoding="utf-8") == command_reference(), "run `make docs`"


def test_the_page_has_each_option() -> None:
    page = command_reference()
    for name, command in cli.commands.items():
        section = page.partition(f"### labelvino {name}\n")[2].partition("\n```\n")[0]
        for option in command.params:
            if option.param_type_name == "option":
                assert max(option.opts, key=len) in section, (name, option.name)


@pytest.mark.parametrize("arguments", [[], *([name] for name in sorted(cli.commands))])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys; from backend.cli import cli; "
        f"cli.main({[*arguments, '--help']!r}, standalone_mode=False); "
        "heavy = {'openvino', 'cv2', 'numpy', 'pydantic', 'httpx2', 'fastapi'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
