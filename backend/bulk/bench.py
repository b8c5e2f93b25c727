"""Where a worker works: one warm model, for any project and any options."""

from __future__ import annotations

from collections import OrderedDict

from backend.bulk.chunk import ChunkOptions
from backend.bulk.job_queue import Chunk
from backend.bulk.order import Order, config_digest, read_options
from backend.bulk.prelabel import Prelabelling
from backend.bulk.tally import Tally
from backend.fair_pool import FairPool
from backend.image_results import ImageSource
from backend.labelstudio.api import LabelStudioApi, Project
from backend.labelstudio.patience import Patience
from backend.predictor import Predictor
from backend.result_cache import ResultCache
from backend.runtime.engine import Engine
from backend.runtime.errors import LabelvinoError
from backend.runtime.image import ImageLimits

_KEPT = 16  # projects and options that were worked for lately
_GIVE_UP_S = 60.0  # then the chunk goes back to the queue, and is tried again later


class WrongOrderError(LabelvinoError):
    """What a job asks for is no longer so, and will not be by itself."""


class Bench:
    """Does what jobs ask for; never with another model version than they name."""

    def __init__(
        self,
        api: LabelStudioApi,
        engine: Engine,
        source: ImageSource,
        limits: ImageLimits,
        pool: FairPool,
        cache: ResultCache | None = None,
    ) -> None:
        self._api = api
        self._engine = engine
        self._source = source
        self._limits = limits
        self._pool = pool
        self._cache = cache
        self.patience = Patience(give_up_s=_GIVE_UP_S)
        self._made: OrderedDict[Order, Prelabelling] = OrderedDict()

    def work(self, chunk: Chunk) -> Tally:
        """Predict a chunk's tasks, or leave them blank. Raises LabelvinoError."""
        work = self._prelabelling(chunk.order).work
        return work.leave_blank(chunk.task_ids) if chunk.kind == "blank" else work.predict(
            chunk.task_ids
        )  # fmt: skip

    def finish(self, chunk: Chunk) -> None:
        """The last step of a run. Raises LabelvinoError."""
        self._prelabelling(chunk.order).finish()

    def stop(self, timeout_s: float) -> None:
        """Begin no more tasks; those under way get `timeout_s`."""
        self.patience.stop()
        self._pool.drain(timeout_s)

    def _prelabelling(self, order: Order) -> Prelabelling:
        project = self.patience.call(lambda: self._api.project(str(order.project_id)))
        if config_digest(project.label_config) != order.config_digest:
            raise WrongOrderError(
                "the project's labelling config is not the one that the job was planned for: run "
                "'labelvino prelabel' again"
            )
        made = self._made.get(order)
        if made is None:
            made = self._make(order, project)
            self._made[order] = made
            while len(self._made) > _KEPT:
                self._made.popitem(last=False)
        if made.model_version != order.model_version:
            raise WrongOrderError(
                f"this worker would predict as {made.model_version}, and the job wants "
                f"{order.model_version}: install the same labelvino on all machines, and run "
                "'labelvino prelabel' again"
            )
        return made

    def _make(self, order: Order, project: Project) -> Prelabelling:
        try:
            options = read_options(order.predictor, self._limits)
        except ValueError:
            raise WrongOrderError(
                "the job comes from another release of labelvino: install the same one on all "
                "machines, and run 'labelvino prelabel' again"
            ) from None
        predictor = Predictor(self._engine, self._source, options, self._pool, self._cache)
        chunk: ChunkOptions = order.without_rate()
        return Prelabelling(
            self._api, project, predictor, self._pool, chunk, self.patience, dict(order.tuned)
        )
