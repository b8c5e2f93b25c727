"""What a job says of how its tasks are to be predicted; no secret, and nothing of the images."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from backend.bulk.chunk import ChunkOptions
from backend.bulk.selection import Selection
from backend.labelstudio.regions import RegionOptions
from backend.predictor import PredictorOptions
from backend.runtime.image import ImageLimits
from backend.runtime.polygons import PolygonDetail

# What a task must still meet when its prediction is made.
_SELECTION = ("only_unlabelled", "replace", "fill_blank", "version_start")


@dataclass(frozen=True)
class Order:
    """The options of one `labelvino prelabel`, and what they were given for.

    config_digest   of the project's labelling config, which must be the same when work is done
    predictor       the options of predictions, as JSON, since another release may have others
    chunk           of the selection, only what a task must still meet travels
    tuned           thresholds tuned for the project, by model label
    """

    project_id: int
    project_title: str
    model_version: str
    config_digest: str
    predictor: str
    chunk: ChunkOptions
    tuned: tuple[tuple[str, float], ...] = ()

    @property
    def run_id(self) -> str:
        """All jobs of a project and a model version belong together."""
        digest = hashlib.sha256(self.model_version.encode()).hexdigest()
        return f"p{self.project_id}-{digest[:8]}"

    def to_json(self) -> dict[str, Any]:
        selection = asdict(self.chunk.selection)
        return {
            "project": self.project_id,
            "title": self.project_title,
            "model_version": self.model_version,
            "config": self.config_digest,
            "predictor": self.predictor,
            "selection": {name: selection[name] for name in _SELECTION},
            "covered_share": self.chunk.covered_share,
            "rate": self.chunk.rate,
            "tuned": dict(self.tuned),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Order:
        """Raises KeyError, TypeError or ValueError for what `to_json` has not made."""
        selection = Selection(**{name: content["selection"][name] for name in _SELECTION})
        return cls(
            int(content["project"]),
            str(content["title"]),
            str(content["model_version"]),
            str(content["config"]),
            str(content["predictor"]),
            ChunkOptions(selection, content["covered_share"], content["rate"]),
            tuple((str(name), float(value)) for name, value in dict(content["tuned"]).items()),
        )

    def without_rate(self) -> ChunkOptions:
        """For a worker: the rate is one for all of them, and kept in Redis."""
        return replace(self.chunk, rate=None)


def config_digest(label_config: str) -> str:
    return hashlib.sha256(label_config.encode()).hexdigest()


def options_text(options: PredictorOptions) -> str:
    """As they travel: without the image limits, which are each worker's own."""
    content = asdict(options)
    del content["limits"]
    return json.dumps(content, sort_keys=True)


def read_options(text: str, limits: ImageLimits) -> PredictorOptions:
    """What `options_text` gave. Raises ValueError for the options of another release."""
    try:
        content = json.loads(text)
        regions = dict(content.pop("regions"))
        detail = PolygonDetail(**regions.pop("polygon"))
        # JSON has no tuples.
        given: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in content.items()
        }
        options = PredictorOptions(regions=RegionOptions(detail, **regions), limits=limits, **given)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("the options are of another release") from error
    if options_text(options) != text:
        raise ValueError("the options are of another release")
    return options
