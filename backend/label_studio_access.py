"""Settings -> clients of Label Studio and fetchers of images."""

from __future__ import annotations

from backend.labelstudio.api import LabelStudioApi
from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.fetch_limits import FetchLimits
from backend.labelstudio.images import ImageFetcher
from backend.runtime.errors import SettingsError
from backend.settings import Settings

# Label Studio asks the backend four times within one call, and waits for each.
_API_TIMEOUT_S = 60.0


def open_client(
    settings: Settings, limits: FetchLimits, *, with_token: bool = True
) -> LabelStudioClient | None:
    """The configured Label Studio; None where there is none. Raises SettingsError."""
    if settings.label_studio_url is None:
        return None
    key = settings.label_studio_api_key if with_token else None
    return LabelStudioClient(
        settings.label_studio_url,
        key.get_secret_value() if key is not None else None,
        ca_bundle=settings.ca_bundle,
        proxy=settings.proxy,
        limits=limits,
    )


def open_api(settings: Settings, *, with_token: bool = True) -> LabelStudioApi:
    """Its API; the client in it is the caller's to close. Raises SettingsError."""
    limits = FetchLimits(read_timeout_s=_API_TIMEOUT_S, total_timeout_s=_API_TIMEOUT_S)
    client = open_client(settings, limits, with_token=with_token)
    if client is None:
        raise SettingsError("no Label Studio is given: use --label-studio-url or LABEL_STUDIO_URL.")
    return LabelStudioApi(client, _API_TIMEOUT_S)


def open_image_fetcher(settings: Settings) -> ImageFetcher:
    """What fetches the images of tasks. Raises SettingsError."""
    limits = FetchLimits(
        max_bytes=settings.max_image_bytes, total_timeout_s=settings.fetch_timeout_s
    )
    return ImageFetcher(
        open_client(settings, limits),
        limits=limits,
        aliases=settings.label_studio_aliases,
        allowed_hosts=settings.allowed_hosts,
        local_files_root=settings.local_files_root,
        ca_bundle=settings.ca_bundle,
        proxy=settings.proxy,
    )
