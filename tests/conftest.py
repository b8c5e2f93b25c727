"""Fixtures that every test may use."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from sdk import SdkOracle

import backend.runtime  # noqa: F401  first of all: it keeps OpenVINO from sending usage data

# A shell that starts tests in the background has Ctrl-C ignored, and the commands under test would
# inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Compiled models and tuned thresholds of the tests stay out of the user's folders.
for _variable in ("XDG_CACHE_HOME", "XDG_STATE_HOME"):
    os.environ[_variable] = tempfile.mkdtemp(prefix="labelvino-tests-")
    atexit.register(shutil.rmtree, os.environ[_variable], ignore_errors=True)

# A busy machine is no fault of the code under test.
settings.register_profile("labelvino", deadline=None, print_blob=True)
settings.load_profile("labelvino")

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Real models and photos, which stand beside the checkout and are not part of the project."""
    if not (SHARED / "models").is_dir():
        pytest.skip("the folder 'shared' with real models and photos is not beside the checkout")
    return SHARED


@pytest.fixture(scope="session")
def photos_dir(shared_dir: Path) -> Path:
    """47 COCO photos."""
    return shared_dir / "images" / "coco_val_ccby" / "images"


@pytest.fixture(scope="session")
def instances_json(shared_dir: Path) -> Path:
    """Their ground truth, in COCO's format."""
    return shared_dir / "images" / "coco_val_ccby" / "instances.json"


@pytest.fixture(scope="session")
def sdk() -> Iterator[SdkOracle]:
    """label_studio_sdk in its own environment: validates predictions, encodes brush masks."""
    with SdkOracle.start() as oracle:
        yield oracle


@pytest.fixture
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of labelvino's settings comes from the environment."""
    from backend.settings import CONFIG_VARIABLE, environment_names

    for names in environment_names().values():
        for name in names:
            monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv(CONFIG_VARIABLE, raising=False)


@pytest.fixture
def with_token(no_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a token for Label Studio."""
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "0123456789abcdef0123456789abcdef01234567")
