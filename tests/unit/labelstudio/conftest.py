"""Local servers and fetchers for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from local_server import LEGACY_TOKEN, LocalServer, local_server

from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.images import ImageFetcher


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with local_server() as running:
        yield running


@pytest.fixture
def make() -> Iterator[Callable[..., ImageFetcher]]:
    """Build fetchers that are closed at the end; `at`: the address of a Label Studio."""
    with ExitStack() as opened:

        def build(at: str | None = None, token: str | None = LEGACY_TOKEN, **settings: Any) -> Any:
            client = opened.enter_context(LabelStudioClient(at, token)) if at else None
            return opened.enter_context(ImageFetcher(client, **settings))

        yield build
