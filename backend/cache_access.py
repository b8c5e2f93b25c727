"""Settings -> the result cache."""

from __future__ import annotations

from backend.address_memory import AddressMemory
from backend.memory_store import MemoryStore
from backend.result_cache import CacheCounts, ResultCache, ResultStore
from backend.settings import Settings


def open_result_cache(settings: Settings) -> ResultCache | None:
    """The cache that all models of a process share; None where it is switched off.

    Redis need not be there yet. Raises SettingsError for an address that cannot be one.
    """
    if not settings.result_cache:
        return None
    counts = CacheCounts()
    stores: list[ResultStore] = []
    if settings.result_cache_bytes:
        stores.append(MemoryStore(settings.result_cache_bytes))
    if settings.redis_url is not None:
        # Not before it is wanted: the import takes 0.1 s.
        from backend.redis_store import RedisStore, connect_redis, shown_redis

        url = settings.redis_url.get_secret_value()
        client = connect_redis(url, ca_bundle=settings.ca_bundle)
        stores.append(
            RedisStore(
                client,
                shown_redis(url),
                ttl_s=settings.redis_ttl_s,
                max_value_bytes=settings.redis_max_value_bytes,
                on_error=counts.add,
            )
        )
    return ResultCache(stores, AddressMemory(settings.address_memory_s), counts)
