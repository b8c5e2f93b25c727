"""Puts the parts together: settings -> engine, predictor, server."""

from __future__ import annotations

import gc
import logging
from dataclasses import replace
from pathlib import Path

from backend.cache_access import open_result_cache
from backend.corrections.tuning.on_training import open_training_desk
from backend.fair_pool import FairPool
from backend.image_results import ImageSource
from backend.label_studio_access import open_image_fetcher
from backend.labelstudio.config_writer import write_label_config
from backend.labelstudio.label_config import KINDS, ControlKind
from backend.labelstudio.regions import RegionOptions
from backend.metrics import Metrics
from backend.model_cache import model_cache_folder
from backend.model_slot import ModelSlot
from backend.model_watch import LOOK_EVERY_S, ModelWatch, file_stamp
from backend.photos import CocoIds, PhotoRun
from backend.predictor import Predictor, PredictorOptions
from backend.result_cache import ResultCache
from backend.runtime.bundle import open_bundle
from backend.runtime.engine import Engine, read_ir
from backend.runtime.errors import FetchError, SettingsError
from backend.runtime.image import ImageLimits
from backend.runtime.overlay import label_colours
from backend.runtime.polygons import PolygonDetail
from backend.runtime.self_test import SelfTest
from backend.server import create_app
from backend.server_process import listen, run_until_stopped
from backend.settings import Settings, model_path
from backend.tuned.access import open_tuned_reader

log = logging.getLogger("labelvino")


def serve(settings: Settings) -> None:
    """Serve until stopped. Raises LabelvinoError before the first request, if at all."""
    with listen(settings.host, settings.port) as listener:
        path = model_path(settings)
        stamp = file_stamp(path)
        # Modules stay: else a full collection takes 30 ms in the middle of a request.
        gc.collect()
        gc.freeze()
        pool = FairPool(settings.tasks_at_once)
        cache, source = open_result_cache(settings), open_image_fetcher(settings)

        def load() -> Predictor:
            if settings.bundle is not None:
                open_bundle(settings.bundle.folder)  # what is loaded again is verified again
            return open_predictor(settings, pool, cache, source=source, model=path)

        metrics = Metrics()
        slot = ModelSlot(load())
        watch = ModelWatch(path, stamp, load, slot, metrics.reload)
        tuned = open_tuned_reader(settings)
        desk = open_training_desk(settings, lambda: slot.current, pool)
        app = create_app(slot, settings, metrics, tuned, desk)
        _say_what_is_served(slot.current, settings, *listener.getsockname()[:2])
        watch.start(look=settings.watch_model)
        run_until_stopped(app, listener, pool, settings.stop_timeout_s, watch, desk)


def _say_what_is_served(predictor: Predictor, settings: Settings, host: str, port: int) -> None:
    engine = predictor.engine
    log.info(
        "%s on %s in %s, version %s, http://%s:%d",
        engine.contract.name,
        ",".join(engine.execution_devices),
        engine.precision,
        predictor.planner.default_version,
        host,
        port,
    )
    if settings.bundle is not None:
        log.info("package %s, manifest %s", settings.bundle.folder, settings.bundle.digest)
    watched = f"looked at every {LOOK_EVERY_S:g} s" if settings.watch_model else "not watched"
    log.info(
        "%s is %s; SIGHUP loads it again; a stop gives tasks under way %g s",
        engine.model_path,
        watched,
        settings.stop_timeout_s,
    )


def open_predictor(
    settings: Settings,
    pool: FairPool,
    cache: ResultCache | None = None,
    *,
    source: ImageSource | None = None,
    model: Path | None = None,
    throughput: bool = False,
    labels: tuple[str, ...] = (),
) -> Predictor:
    """The model of the settings, checked on its device, with the images of Label Studio.

    `cache` and `source` may be shared by the models of a process, one after another too; `model`:
    another one than that of the settings; `throughput`: for many images, not for one at a time;
    `labels`: of label configs, that get regions; empty: all.
    Raises SettingsError, ContractError or DeviceError.
    """
    engine = open_engine(settings, model, throughput=throughput)
    _run_self_test(engine)
    options = replace(predictor_options(settings), labels=labels)
    return Predictor(engine, source or open_image_fetcher(settings), options, pool, cache)


def _run_self_test(engine: Engine) -> None:
    """Raises DeviceError where the device does not compute what the converter saw."""
    test = SelfTest.read(read_ir(engine.model_path))
    if test is None:
        log.warning("the model has no self-test: convert it again to have its device checked.")
    else:
        log.info("%s", test.run(engine))


def open_engine(
    settings: Settings, model: Path | None = None, *, throughput: bool = False
) -> Engine:
    """Load the model of the settings, or another. Raises as `open_predictor`."""
    return Engine(
        model or model_path(settings),
        device=settings.device,
        precision=settings.precision,
        throughput=throughput,
        adapts=not throughput,
        cache_dir=model_cache_folder(settings),
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
    xml = write_label_config(names, controls, label_colours(names))
    pool = FairPool(settings.tasks_at_once)
    predictor = Predictor(engine, _NoImages(), predictor_options(settings), pool)
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


def predictor_options(settings: Settings) -> PredictorOptions:
    """How predictions are made, besides the model."""
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
        closer_looks=settings.closer_looks,
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
