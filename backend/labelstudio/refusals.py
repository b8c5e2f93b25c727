"""Why Label Studio does not take a backend or its webhook, in words that help (1.23.2)."""

from __future__ import annotations

from backend.labelstudio.json_calls import RefusedError
from backend.runtime.errors import LabelStudioError

_SSRF_WORDS = ("reserved network", "URL was not allowed")
_SSRF_REMEDY = (
    "start Label Studio with USE_DEFAULT_BANNED_SUBNETS=false in its environment, or give the "
    "backend a public address"
)


def backend_refused(error: RefusedError, url: str) -> LabelStudioError:
    """Why Label Studio does not take the backend, in our words."""
    words = error.words
    if any(part in words for part in _SSRF_WORDS):
        return LabelStudioError(
            f"Label Studio refuses the private address {url} ({words}): {_SSRF_REMEDY}."
        )
    if "resolve hostname" in words:
        return LabelStudioError(
            f"Label Studio does not know the host of {url}: give the address as Label "
            "Studio's machine or container reaches it."
        )
    if "health check failed" in words:
        return LabelStudioError(
            f"Label Studio cannot reach the backend at {url}: start it there, listening on "
            "an address that Label Studio reaches (--host); from a container, localhost is the "
            "container itself."
        )
    if "401" in words or "authentication" in words:
        return LabelStudioError(
            f"the backend at {url} does not accept user and password: set BASIC_AUTH_USER "
            "and BASIC_AUTH_PASS here as it has them."
        )
    if "valid ML backend" in words:
        return LabelStudioError(
            f"what answers at {url} is no ML backend, or it failed ({words}): check the "
            "port, and the backend's log."
        )
    return error


def webhook_refused(error: RefusedError, url: str) -> LabelStudioError:
    """Predictions work by now; only events do not come."""
    done = f"the backend is connected, but Label Studio refuses its webhook at {url}/webhook"
    if any(part in error.words for part in _SSRF_WORDS):
        return LabelStudioError(
            f"{done} ({error.words}): ML_BLOCK_LOCAL_IP=false alone is not enough; {_SSRF_REMEDY}, "
            "and connect again."
        )
    if "valid URL" in error.words:
        return LabelStudioError(
            f"{done}, since its host name has no dot or has an underscore: give the backend a name "
            "like labelvino.local (in compose a network alias) and connect again."
        )
    return LabelStudioError(f"{done}: {error}")
