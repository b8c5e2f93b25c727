"""Reads this project's Dockerfile and follows its install steps without Docker.

It understands what the Dockerfile uses and no more: anything else raises NotUnderstoodError, so
that a change there is a change here.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

# Absolute paths of the image that steps may name.
_IMAGE_PATHS = ("/src", "/opt", "/app", "/data")
_PIP_CACHE = "--mount=type=cache,target=/root/.cache/pip "
_NEEDS_ROOT = ("useradd ", "apt-get ")
_INSTALL_TIMEOUT_S = 900


class NotUnderstoodError(AssertionError):
    """The Dockerfile says something that its test does not know how to follow."""


@dataclass
class Stage:
    """`base`: an image, or the name of an earlier stage; `steps`: (instruction, rest)."""

    base: str
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def only(self, instruction: str) -> str:
        """The rest of the one such instruction."""
        found = [rest for kind, rest in self.steps if kind == instruction]
        if len(found) != 1:
            raise NotUnderstoodError(f"{len(found)} {instruction} in stage {self.name!r}")
        return found[0]

    def last(self, instruction: str) -> str:
        return [rest for kind, rest in self.steps if kind == instruction][-1]

    @property
    def environment(self) -> dict[str, str]:
        """The values of ENV, as they stand."""
        pairs: dict[str, str] = {}
        for kind, rest in self.steps:
            if kind == "ENV":
                for word in shlex.split(rest):
                    name, equals, value = word.partition("=")
                    if not equals:
                        raise NotUnderstoodError(f"ENV {rest}")
                    pairs[name] = value
        return pairs

    @property
    def health_check(self) -> list[str]:
        """The words of HEALTHCHECK's command."""
        _, found, command = self.only("HEALTHCHECK").partition(" CMD ")
        if not found:
            raise NotUnderstoodError("HEALTHCHECK without CMD")
        return exec_form(command)


def exec_form(text: str) -> list[str]:
    """`["a", "b"]` -> its words."""
    try:
        words = json.loads(text)
    except ValueError as error:
        raise NotUnderstoodError(f"not in exec form: {text}") from error
    if not (isinstance(words, list) and all(isinstance(word, str) for word in words)):
        raise NotUnderstoodError(f"not a list of words: {text}")
    return words


def read_stages(dockerfile: Path) -> list[Stage]:
    lines = [x for x in dockerfile.read_text().splitlines() if x.strip() and not x.startswith("#")]
    stages: list[Stage] = []
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        kind, _, rest = line.strip().partition(" ")
        rest = rest.strip()
        if kind == "FROM":
            base, _, name = rest.partition(" AS ")
            stages.append(Stage(base, name))
        elif kind in (
            "RUN", "COPY", "ENV", "USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"
        ):  # fmt: skip
            stages[-1].steps.append((kind, rest))
        else:
            raise NotUnderstoodError(line)
    return stages


class BuildContext:
    """What COPY may take: the folder without what .dockerignore leaves out."""

    def __init__(self, root: Path) -> None:
        self._root = root
        rules = (root / ".dockerignore").read_text().split()
        if rules[0] != "*":
            raise NotUnderstoodError(".dockerignore does not begin with *")
        self._taken = {rule[1:] for rule in rules if rule.startswith("!")}
        never = [rule for rule in rules[1:] if not rule.startswith("!")]
        if not all(rule.startswith("**/") for rule in never):
            raise NotUnderstoodError(f".dockerignore: {never}")
        self._never = [rule[3:] for rule in never]

    def copy(self, source: str, target: Path) -> None:
        """Copy a file, or the contents of a folder, as COPY does."""
        if source not in self._taken:
            raise NotUnderstoodError(f"COPY {source}: .dockerignore leaves it out")
        found = self._root / source
        if found.is_dir():
            shutil.copytree(found, target, ignore=self._left_out, dirs_exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(found, target)

    def _left_out(self, _folder: str, names: list[str]) -> list[str]:
        return [name for name in names if any(fnmatch(name, rule) for rule in self._never)]


class Build:
    """Follows stages below a folder that stands for the image's `/`.

    A stage that copies from an earlier one begins with an empty folder at the same place, as in
    Docker: what is not copied is gone, and what is copied stays where its scripts expect it.
    """

    def __init__(self, root: Path, context: BuildContext, environment: Mapping[str, str]) -> None:
        self.root = root
        self._context = context
        self._environment = dict(environment)
        self._done: dict[str, Path] = {}

    def follow(self, stage: Stage) -> None:
        self.root.mkdir()
        for kind, rest in stage.steps:
            if kind == "RUN":
                self._run(rest)
            elif kind == "COPY":
                self._copy(rest)

    def finish(self, stage: Stage) -> None:
        """Keep the stage aside for COPY --from."""
        self._done[stage.name] = self.root.rename(self.root.with_name(f"{stage.name}.done"))

    def inside(self, text: str) -> str:
        """The text with the image's absolute paths put below the folder."""
        names = "|".join(re.escape(path) for path in _IMAGE_PATHS)
        return re.sub(rf"(?<![\w./-])({names})(?=[/\s:]|$)", lambda m: f"{self.root}{m[1]}", text)

    def variables(self, stage: Stage) -> dict[str, str]:
        """The environment of a process in the image."""
        values = dict(self._environment)
        for name, value in stage.environment.items():
            values[name] = self.inside(value).replace("$PATH", values.get("PATH", ""))
        return values

    def _run(self, command: str) -> None:
        command = command.removeprefix(_PIP_CACHE)
        if command.startswith("--"):
            raise NotUnderstoodError(f"RUN {command}")
        if command.startswith(_NEEDS_ROOT):
            return  # users and packages of the system are not ours to make here
        command = self.inside(command).replace(" -o labelvino -g labelvino", "")
        if left := re.findall(
            r"(?<![\w.])/(?!dev/null)[\w]\S*", command.replace(str(self.root), "")
        ):
            # Below the folder the rest of a path remains; a path that was not moved begins a word.
            moved = [part for part in left if part.startswith(_IMAGE_PATHS)]
            if moved != left:
                raise NotUnderstoodError(f"RUN names {set(left) - set(moved)}")
        done = subprocess.run(
            ["/bin/sh", "-ec", command], env=self._environment, cwd=self.root,
            capture_output=True, text=True, timeout=_INSTALL_TIMEOUT_S, check=False,
        )  # fmt: skip
        if done.returncode:
            raise AssertionError(f"RUN {command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")

    def _copy(self, rest: str) -> None:
        words = rest.split()
        if words[0].startswith("--from="):
            earlier = self._done[words[0].removeprefix("--from=")]
            source, target = words[1:]
            if source != target:
                raise NotUnderstoodError(f"COPY {rest}: scripts would point elsewhere")
            shutil.copytree(f"{earlier}{source}", self.inside(target), symlinks=True)
            return
        if words[0].startswith("--"):
            raise NotUnderstoodError(f"COPY {rest}")
        *sources, target = words
        for source in sources:
            place = (
                PurePosixPath(target) / source if target.endswith("/") else PurePosixPath(target)
            )
            self._context.copy(source, Path(self.inside(str(place))))


def install_environment(tools: Path) -> dict[str, str]:
    """Of a caller's variables only the search path and what leads pip to its packages."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.startswith("PIP_") or name.lower().endswith("_proxy") or name == "SSL_CERT_FILE"
    }
    home = os.environ.get("HOME")
    path = f"{tools}{os.pathsep}{os.defpath}"
    return {"PATH": path, "LANG": "C.UTF-8", **kept, **({"HOME": home} if home else {})}
