"""compose.yaml: what it says fits the Dockerfile, the settings and Label Studio itself."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from backend.settings import environment_names, load_settings
from tests.conftest import ROOT
from tests.dockerfile import Stage, read_stages
from tests.e2e.child_process import free_port
from tests.sdk import environment_python

GIVEN = {
    "LABEL_STUDIO_USERNAME": "ann@example.com",
    "LABEL_STUDIO_PASSWORD": "of-a-test",
    "LABEL_STUDIO_API_KEY": "0123456789abcdef0123456789abcdef01234567",
}
_VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


def filled_in(node: Any, given: dict[str, str]) -> Any:
    """Compose's own variables in all texts: `${A}`, `${A:-default}`, `${A:?message}`."""

    def value(match: re.Match[str]) -> str:
        name, kind, rest = match.groups()
        if given.get(name):
            return given[name]
        if kind == "?":
            raise KeyError(name)
        return rest or ""

    if isinstance(node, dict):
        return {key: filled_in(entry, given) for key, entry in node.items()}
    if isinstance(node, list):
        return [filled_in(entry, given) for entry in node]
    return _VARIABLE.sub(value, node) if isinstance(node, str) else node


def read_compose(given: dict[str, str]) -> dict[str, Any]:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    assert isinstance(services, dict)
    return {name: filled_in(service, given) for name, service in services.items()}


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return read_compose(GIVEN)


@pytest.fixture(scope="module")
def image() -> Stage:
    return next(stage for stage in read_stages(ROOT / "Dockerfile") if stage.name == "serving")


def test_services(services: dict[str, Any]) -> None:
    images = {name: service["image"] for name, service in services.items()}
    assert images.pop("label-studio") == "heartexlabs/label-studio:1.23.2"
    assert images.pop("redis").startswith("redis:")
    assert images == {"backend": "labelvino", "worker": "labelvino"}
    assert services["backend"]["build"] == "."


@pytest.mark.parametrize("name", ["label-studio", "backend", "worker", "redis"])
def test_no_rights_that_are_not_needed(services: dict[str, Any], name: str) -> None:
    service = services[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")
    user = service["user"].split(":")[0]
    assert user.isdigit()
    assert user != "0"
    # Label Studio's image writes into folders of its own at its start.
    assert service.get("read_only", False) == (name != "label-studio")


def test_secrets_are_given_and_never_written_down(services: dict[str, Any]) -> None:
    for name in GIVEN:
        with pytest.raises(KeyError, match=name):
            read_compose({key: value for key, value in GIVEN.items() if key != name})
    text = (ROOT / "compose.yaml").read_text()
    secrets = re.findall(r"^ +(\w*(?:KEY|PASS|PASSWORD|TOKEN|SECRET)): (.*)$", text, re.M)
    literal = {n for n, value in secrets if not value.startswith("${")}
    assert literal == {"LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN"}  # a switch
    assert len(secrets) > len(literal)


def test_the_backend_reads_each_of_its_variables(
    services: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {name for names in environment_names().values() for name in names}
    given = services["backend"]["environment"]
    assert given.keys() <= known
    for name in known:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.label_studio_url == "http://label-studio:8080"
    assert settings.label_studio_api_key is not None
    assert settings.label_studio_api_key.get_secret_value() == GIVEN["LABEL_STUDIO_API_KEY"]
    assert settings.basic_auth_pass is None
    assert settings.model is None


def test_workers_are_as_the_backend(
    services: dict[str, Any], image: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same model, settings and rights, so that versions and results agree."""
    worker, backend = services["worker"], services["backend"]
    assert image.only("ENTRYPOINT") == '["labelvino"]'
    assert worker["command"] == ["worker"]
    for key in ("image", "user", "volumes", "extra_hosts", "read_only", "tmpfs", "cap_drop"):
        assert worker[key] == backend[key], key
    environment = dict(worker["environment"])
    queue = environment.pop("LABELVINO_QUEUE_URL")
    assert environment.items() <= backend["environment"].items()
    assert queue == environment["LABELVINO_REDIS_URL"]
    assert "container_name" not in worker and "ports" not in worker  # it scales
    monkeypatch.setenv("LABELVINO_QUEUE_URL", queue)
    assert load_settings().queue_url is not None


def test_label_studio_reads_each_of_its_variables(services: dict[str, Any]) -> None:
    python = environment_python("label-studio", "LABELVINO_LABEL_STUDIO_PYTHON")
    package = next((python.parent.parent / "lib").glob("python3*/site-packages/label_studio"))
    files = [package / "server.py", *(package / "core").rglob("*.py")]
    source = "\n".join(path.read_text() for path in files)
    for name in services["label-studio"]["environment"]:
        # Its own reader takes a name with or without this prefix.
        short = name.removeprefix("LABEL_STUDIO_")
        assert re.search(rf"['\"](LABEL_STUDIO_)?{short}['\"]", source), name


def test_both_have_the_same_token_and_address(services: dict[str, Any]) -> None:
    studio, backend = (services[name]["environment"] for name in ("label-studio", "backend"))
    assert studio["LABEL_STUDIO_USER_TOKEN"] == backend["LABEL_STUDIO_API_KEY"]
    assert studio["LABEL_STUDIO_HOST"] == backend["LABELVINO_LABEL_STUDIO_ALIASES"]
    assert studio["LABEL_STUDIO_HOST"] == studio["CSRF_TRUSTED_ORIGINS"]
    assert studio["USE_DEFAULT_BANNED_SUBNETS"] == "false"
    assert backend["LABEL_STUDIO_URL"] == "http://label-studio:8080"
    (alias,) = services["backend"]["networks"]["default"]["aliases"]
    assert "." in alias  # else Label Studio refuses the webhook
    assert f"http://{alias}:9090" in (ROOT / "compose.yaml").read_text()


def test_the_backend_fits_its_image(services: dict[str, Any], image: Stage) -> None:
    backend = services["backend"]
    port = image.only("EXPOSE")
    assert [entry.split(":")[-2:] for entry in backend["ports"]] == [[port, port]]
    assert backend["user"].split(":")[0] in image.steps[0][1]  # useradd --uid
    volumes = dict(volume.split(":", 1) for volume in backend["volumes"])
    assert volumes == {"./models": f"{image.environment['LABELVINO_MODEL_DIR']}:ro",
                       "./data/server": "/data"}  # fmt: skip
    assert "/data" in image.steps[1][1]  # made, and given to its user
    assert backend["environment"]["LABELVINO_MODEL_CACHE"].startswith("/data/")
    assert backend["extra_hosts"] == ["host.docker.internal:host-gateway"]
    assert image.health_check  # so that none is needed here


def test_nothing_listens_to_other_machines(services: dict[str, Any]) -> None:
    """Until somebody says so: BACKEND_BIND and LABEL_STUDIO_BIND."""
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.fixture
def redis_process(services: dict[str, Any], tmp_path: Path) -> Iterator[int]:
    """A real Redis with the very options; its port."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no redis-server is installed")
    port = free_port()
    options = services["redis"]["command"][1:]
    address = ["--port", str(port), "--bind", "127.0.0.1"]
    process = subprocess.Popen(
        [program, *options, *address], cwd=tmp_path, stdout=subprocess.DEVNULL
    )
    try:
        yield port
    finally:
        process.terminate()
        process.wait(timeout=20)
    assert [path.name for path in tmp_path.iterdir()] == ["appendonlydir"]


def test_redis_takes_its_options(redis_process: int) -> None:
    import redis
    from redis.backoff import ConstantBackoff
    from redis.retry import Retry

    retry = Retry(ConstantBackoff(0.1), 50)
    with redis.Redis(port=redis_process, retry=retry, decode_responses=True) as client:
        assert client.ping()
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "volatile-lru"}
        assert client.config_get("save") == {"save": ""}
        assert client.config_get("appendonly") == {"appendonly": "yes"}


def test_it_waits_for_what_it_needs(services: dict[str, Any]) -> None:
    needed = services["backend"]["depends_on"]
    assert needed == {"redis": {"condition": "service_healthy"}}
    more = services["worker"]["depends_on"]
    for name in (*needed, *more):
        assert services[name]["healthcheck"]["test"][0] == "CMD"
