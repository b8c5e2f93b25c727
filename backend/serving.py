"""Puts the parts together: settings -> engine, predictor, server."""

from __future__ import annotations

import errno
import logging
import signal
import socket
import sys
import threading
from pathlib import Path
from types import FrameType

import uvicorn

from backend.cache_access import open_result_cache
from backend.fair_pool import FairPool
from backend.label_studio_access import open_image_fetcher
from backend.labelstudio.config_writer import write_label_config
from backend.labelstudio.label_config import KINDS, ControlKind
from backend.labelstudio.regions import RegionOptions
from backend.photos import CocoIds, PhotoRun
from backend.predictor import Predictor, PredictorOptions
from backend.result_cache import ResultCache
from backend.runtime.engine import Engine, read_ir
from backend.runtime.errors import FetchError, SettingsError
from backend.runtime.image import ImageLimits
from backend.runtime.overlay import label_colour
from backend.runtime.polygons import PolygonDetail
from backend.runtime.self_test import SelfTest
from backend.server import create_app
from backend.settings import Settings, model_path

log = logging.getLogger("labelvino")

# How long tasks under way may take when the server is told to stop; Docker kills after 10 s.
_GRACE_S = 8


def serve(settings: Settings) -> None:
    """Serve until stopped. Raises LabelvinoError before the first request, if at all."""
    listener = _listen(settings.host, settings.port)
    with listener:
        pool = FairPool(settings.tasks_at_once)
        predictor = open_predictor(settings, pool, open_result_cache(settings))
        engine = predictor.engine
        app = create_app(predictor, settings)
        log.info(
            "%s on %s in %s, version %s, http://%s:%d",
            engine.contract.name,
            ",".join(engine.execution_devices),
            engine.precision,
            predictor.planner.default_version,
            *listener.getsockname()[:2],
        )
        config = uvicorn.Config(
            app, log_config=None, access_log=False, timeout_graceful_shutdown=_GRACE_S
        )
        # uvicorn ends its loop on SIGTERM and raises the signal again; for us it is a normal end.
        signal.signal(signal.SIGTERM, _leave)
        try:
            _Server(config, pool).run(sockets=[listener])
        finally:
            pool.close(timeout_s=1)
            log.info("stopped")


def open_predictor(
    settings: Settings, pool: FairPool, cache: ResultCache | None = None
) -> Predictor:
    """The model of the settings, checked on its device, with the images of Label Studio.

    `cache` may be shared by the models of a process, one after another too. Raises SettingsError,
    ContractError or DeviceError.
    """
    engine = open_engine(settings)
    _run_self_test(engine)
    return Predictor(engine, open_image_fetcher(settings), _options(settings), pool, cache)


def _run_self_test(engine: Engine) -> None:
    """Raises DeviceError where the device does not compute what the converter saw."""
    test = SelfTest.read(read_ir(engine.model_path))
    if test is None:
        log.warning("the model has no self-test: convert it again to have its device checked.")
    else:
        log.info("%s", test.run(engine))


class _Server(uvicorn.Server):
    """Lets tasks under way end when it is told to stop, and leaves the others."""

    def __init__(self, config: uvicorn.Config, pool: FairPool) -> None:
        super().__init__(config)
        self._pool = pool

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Not here, since a signal may interrupt a thread that holds the pool's lock.
        threading.Thread(target=self._pool.stop).start()
        super().handle_exit(sig, frame)


def open_engine(settings: Settings, *, throughput: bool = False) -> Engine:
    """Load the model of the settings. Raises SettingsError, ContractError or DeviceError."""
    return Engine(
        model_path(settings),
        device=settings.device,
        precision=settings.precision,
        throughput=throughput,
        cache_dir=settings.model_cache,
    )


def open_photo_run(
    settings: Settings,
    photos: list[Path],
    out: Path,
    annotations: Path | None,
    image_prefix: str,
) -> tuple[PhotoRun, FairPool, Engine]:
    """A run over photos into the folder `out`, which is made; COCO results with `annotations`."""
    engine = open_engine(settings, throughput=True)
    names = engine.contract.label_names
    coco = CocoIds.read(annotations, names) if annotations is not None else None
    controls = _controls(settings, has_masks=engine.contract.mask_frame is not None)
    xml = write_label_config(names, controls, tuple(label_colour(name) for name in names))
    pool = FairPool(settings.tasks_at_once)
    predictor = Predictor(engine, _NoImages(), _options(settings), pool)
    run = PhotoRun(
        predictor,
        predictor.plan(xml),
        photos,
        out,
        image_prefix=image_prefix,
        coco=coco,
    )
    if coco is None:
        (out / "label_config.xml").write_text(xml, encoding="utf-8")
    elif missing := coco.unmatched(names):
        log.warning("left out, since the annotations do not have them: %s", ", ".join(missing))
    return run, pool, engine


def _controls(settings: Settings, *, has_masks: bool) -> tuple[ControlKind, ...]:
    """The controls of a config made for a model: what the setting asks, as far as it can."""
    if not has_masks:
        if settings.controls in ("polygon", "brush"):
            raise SettingsError(
                f"--controls {settings.controls}: the model is a detector without masks; "
                "use --controls rectangle."
            )
        return ("rectangle",)
    if settings.controls == "all":
        return KINDS
    return ("polygon",) if settings.controls == "auto" else (settings.controls,)


def _options(settings: Settings) -> PredictorOptions:
    detail = PolygonDetail(
        settings.polygon_detail, settings.polygon_max_points, settings.polygon_min_area_px
    )
    given = "score_threshold" in settings.from_command_line
    return PredictorOptions(
        choice=settings.controls,
        regions=RegionOptions(detail, settings.max_brush_regions),
        score_strategy=settings.score_strategy,
        command_line_threshold=settings.score_threshold if given else None,
        settings_threshold=None if given else settings.score_threshold,
        limits=_image_limits(settings),
        max_detections=settings.max_detections,
    )


def _image_limits(settings: Settings) -> ImageLimits:
    return ImageLimits(settings.max_image_bytes, settings.max_image_pixels)


class _NoImages:
    """The image source of a run that has its images already."""

    def fetch(
        self,
        url: str,
        *,
        task_id: int | None = None,  # noqa: ARG002
        deadline: float | None = None,  # noqa: ARG002
    ) -> bytes:
        raise FetchError(f"{url} cannot be fetched here.")


def _listen(host: str, port: int) -> socket.socket:
    """Take the port before the model is loaded, so that a taken one is told at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends at once (TCP_NODELAY) only where the protocol is named; else answers wait 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        remedy = "--port" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "--host"
        raise SettingsError(
            f"cannot listen on {host}:{port} ({error.strerror or error}): choose another {remedy}."
        ) from error
    return listener


def _leave(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)
