"""The Dockerfile's install steps, followed in a clean environment, and the server that results.

Nothing here needs Docker. What only Docker can show (users, the read-only root) is read, not run.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from backend.demo import MODEL_PATH
from backend.demo.pictures import encode_jpeg
from backend.demo.scenes import FIRST_UNSEEN_SEED, draw_scene
from backend.labelstudio.config_writer import write_label_config
from backend.runtime.engine import load_contract
from tests.conftest import ROOT
from tests.dockerfile import (
    Build,
    BuildContext,
    NotUnderstoodError,
    Stage,
    exec_form,
    install_environment,
    read_stages,
)
from tests.e2e.child_process import ServerProcess, free_port
from tests.unit.labelstudio.local_server import local_server, send

pytestmark = pytest.mark.timeout(1200)  # the first time, some 150 MB of packages are fetched

DOCKERFILE = ROOT / "Dockerfile"
START_TIMEOUT_S = 60.0
# No training framework, no oracle, no test tool.
ABSENT = (
    "tensorflow", "torch", "nncf", "onnx", "label_studio_sdk", "label_studio", "label_studio_ml",
    "flask", "pytest", "mypy", "pycocotools",
)  # fmt: skip


@dataclass(frozen=True)
class Image:
    """The serving stage, followed: its folder and the variables of a process in it."""

    root: Path
    stage: Stage
    variables: dict[str, str]

    @property
    def python(self) -> Path:
        return self.root / "opt/labelvino/bin/python"

    def run(self, *command: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(word) for word in command], env=self.variables | more, cwd="/",
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip


@pytest.fixture(scope="module")
def stages() -> dict[str, Stage]:
    return {stage.name: stage for stage in read_stages(DOCKERFILE)}


@pytest.fixture(scope="module")
def image(stages: dict[str, Stage], tmp_path_factory: pytest.TempPathFactory) -> Image:
    folder = tmp_path_factory.mktemp("image")
    tools = folder / "tools"
    tools.mkdir()
    # The base image's interpreter: the one that this environment was made with.
    base = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
    (tools / "python").symlink_to(base.resolve())
    build = Build(folder / "root", BuildContext(ROOT), install_environment(tools))
    build.follow(stages["build"])
    build.finish(stages["build"])
    build.follow(stages["serving"])
    # Pip's variables are of no use in the image, and nothing of the caller's is in it.
    variables = {
        name: value
        for name, value in build.variables(stages["serving"]).items()
        if name in {"PATH", "LANG"} | stages["serving"].environment.keys()
    }
    home = folder / "home"
    home.mkdir()
    return Image(build.root, stages["serving"], variables | {"HOME": str(home)})


@dataclass(frozen=True)
class Running:
    url: str
    port: int


@pytest.fixture(scope="module")
def server(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """ENTRYPOINT and CMD, with the demo's model where a user's would be, from another folder."""
    models, port = image.root / "app" / "models", free_port()
    for path in (MODEL_PATH, MODEL_PATH.with_suffix(".bin")):
        (models / path.name).write_bytes(path.read_bytes())
    entry = exec_form(image.stage.only("ENTRYPOINT")) + exec_form(image.stage.only("CMD"))
    program = image.root / "opt/labelvino/bin" / entry[0]
    folder = tmp_path_factory.mktemp("elsewhere")
    env = image.variables | {
        # Of the image's own variables only this one is another here: no port is opened to others.
        "LABELVINO_HOST": "127.0.0.1",
        "LABELVINO_PORT": str(port),
        "LABELVINO_ALLOWED_HOSTS": "127.0.0.1",
        "TMPDIR": str(tmp_path_factory.mktemp("tmp")),
    }
    process = ServerProcess([program, *entry[1:]], env, folder / "server.log", folder)
    try:
        running = Running(f"http://127.0.0.1:{port}", port)
        process.wait_until_healthy(f"{running.url}/health", START_TIMEOUT_S)
        yield running
    finally:
        process.stop()
    # On a read-only root nothing may need to write; here compiled models could be kept.
    assert list(Path(env["TMPDIR"]).iterdir()) == []
    home = Path(env["HOME"])
    assert [str(path.relative_to(home)) for path in home.glob("*/*")] == [".cache/labelvino"]
    assert [path.name for path in folder.iterdir()] == ["server.log"]


def test_stages(stages: dict[str, Stage]) -> None:
    assert list(stages) == ["build", "serving", "gpu", ""]
    assert stages["build"].base == stages["serving"].base == "python:3.11-slim-bookworm"
    assert stages["gpu"].base == stages[""].base == "serving"
    assert stages[""].steps == []


def test_not_root(stages: dict[str, Stage]) -> None:
    assert stages["serving"].last("USER") == stages["gpu"].last("USER") == "labelvino"
    users = [r for kind, r in stages["serving"].steps if kind == "RUN" and "useradd" in r]
    assert len(users) == 1
    assert re.search(r"--uid 10001 .*labelvino$", users[0])


def test_the_graphics_stage_adds_drivers_only(stages: dict[str, Stage]) -> None:
    (command,) = [rest for kind, rest in stages["gpu"].steps if kind == "RUN"]
    update, install, remove = command.split(" && ")
    assert update == "apt-get update"
    assert install.startswith("apt-get install --yes --no-install-recommends ")
    assert install.split()[4:] == ["ocl-icd-libopencl1", "intel-opencl-icd"]
    assert remove == "rm -rf /var/lib/apt/lists/*"
    assert [kind for kind, _ in stages["gpu"].steps] == ["USER", "RUN", "USER"]


def test_the_last_word_of_a_changed_dockerfile(tmp_path: Path) -> None:
    changed = tmp_path / "Dockerfile"
    for line in ("SHELL bash", "ADD x /src", "WORKDIR /src"):
        changed.write_text(f"FROM a AS b\n{line}\n")
        with pytest.raises(NotUnderstoodError):
            read_stages(changed)
    build = Build(tmp_path / "root", BuildContext(ROOT), install_environment(tmp_path))
    for step in ("cp x /usr/local/bin/x", "--mount=type=secret,id=x true", "cat /etc/passwd"):
        changed.write_text(f"FROM a AS b\nRUN {step}\n")
        with pytest.raises(NotUnderstoodError):
            build.follow(read_stages(changed)[0])
        build.root.rmdir()
    with pytest.raises(NotUnderstoodError, match="leaves it out"):
        BuildContext(ROOT).copy("tests", tmp_path / "x")


def test_nothing_but_the_serving_set(image: Image) -> None:
    code = (
        "import importlib.util as u, json, sys, backend, converter;"
        f"print(json.dumps([[n for n in {ABSENT!r} if u.find_spec(n)], backend.__file__, "
        "sys.prefix, sys.version_info[:2]]))"
    )
    done = image.run(image.python, "-c", code)
    assert done.returncode == 0, done.stderr
    present, package, prefix, version = json.loads(done.stdout)
    assert present == []
    assert tuple(version) == sys.version_info[:2]
    assert Path(prefix) == image.root / "opt/labelvino"
    assert Path(package).is_relative_to(prefix)  # not editable
    assert not (image.root / "src").exists()
    assert not (image.root / "opt/labelvino").is_relative_to(ROOT)


def test_exactly_the_pinned_packages(image: Image) -> None:
    pins = dict(
        re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    )
    command = (image.python, "-m", "pip", "list", "--format", "json")
    done = image.run(*command, PIP_DISABLE_PIP_VERSION_CHECK="1")  # which would write into HOME
    assert done.returncode == 0, done.stderr
    installed = {
        re.sub(r"[-_.]+", "-", entry["name"]).lower(): entry["version"]
        for entry in json.loads(done.stdout)
    }
    assert installed.keys() - pins.keys() <= {"labelvino", "pip", "setuptools"}
    assert installed["openvino"] == pins["openvino"]
    assert installed["fastapi"] == pins["fastapi"]


def test_libraries_are_in_the_base_image(image: Image) -> None:
    """What the environment needs of the system; python:3.11-slim-bookworm has these and no more.

    libstdc++, libgcc and libz are in every Debian, since apt and dpkg need them. libOpenCL is what
    the stage `gpu` adds; without it OpenVINO leaves out its GPU plugin.
    """
    base = {"linux-vdso", "ld-linux-x86-64", "libc", "libm", "libdl", "libpthread", "librt"}
    base |= {"libutil", "libstdc++", "libgcc_s", "libz"}
    outside: set[str] = set()
    missing: dict[str, str] = {}
    for library in (image.root / "opt/labelvino/lib").rglob("*.so*"):
        done = subprocess.run(
            ["ldd", library], env={"PATH": os.defpath}, capture_output=True, text=True, check=False
        )
        for name, target in re.findall(r"^\t(\S+)(?: => (\S+))?(?: \(|.found)", done.stdout, re.M):
            stem = Path(name).name.split(".so")[0]
            if target == "not":
                missing[stem] = library.name
            elif not target.startswith(str(image.root)):
                outside.add(stem)
    assert "libc" in outside
    assert outside - {"libOpenCL"} <= base
    assert missing.items() <= {("libOpenCL", "libopenvino_intel_gpu_plugin.so")}


def test_a_real_prediction(server: Running) -> None:
    labels = load_contract(MODEL_PATH).label_names
    config = write_label_config(labels, ("polygon",), ((0, 0, 0),) * len(labels))
    with local_server() as pictures:
        pictures.otherwise = send(body=encode_jpeg(draw_scene(FIRST_UNSEEN_SEED, 480, 320)))
        task = {"id": 1, "data": {"image": f"{pictures.url}/scene.jpg"}}
        body = {"tasks": [task], "project": "1.1", "label_config": config, "params": {}}
        answer = httpx2.post(f"{server.url}/predict", json=body, timeout=60, trust_env=False)
    assert answer.status_code == 200, answer.text
    (prediction,) = answer.json()["results"]
    assert {region["type"] for region in prediction["result"]} == {"polygonlabels"}


def test_the_health_check(image: Image, server: Running) -> None:
    command = image.stage.health_check
    assert command[0] == "python"
    up = image.run(image.python, *command[1:], LABELVINO_PORT=str(server.port))
    assert up.returncode == 0, up.stderr
    also_up = image.run(image.python, *command[1:], LABELVINO_PORT="", PORT=str(server.port))
    assert also_up.returncode == 0, also_up.stderr
    down = image.run(image.python, *command[1:], LABELVINO_PORT=str(free_port()))
    assert down.returncode != 0
