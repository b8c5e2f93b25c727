"""A toy model, a stand-in Label Studio and the parts of a bulk job between them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image
from stand_in_studio import StandInStudio
from toy_model import save_toy_model

from backend.bulk.chunk import ChunkOptions
from backend.bulk.prelabel import Prelabelling
from backend.bulk.selection import Selection
from backend.bulk.tally import Tally
from backend.fair_pool import FairPool
from backend.label_studio_access import open_api, open_image_fetcher
from backend.labelstudio.patience import Patience
from backend.serving import open_predictor
from backend.settings import Settings, load_settings

CONFIG = """<View><Image name="img" value="$image"/>
<PolygonLabels name="outline" toName="img"><Label value="person"/><Label value="car"/>
</PolygonLabels></View>"""
INSTANCES = [((5.0, 5.0, 45.0, 35.0), 0.9, 0), ((50.0, 20.0, 90.0, 50.0), 0.8, 1)]


def png(width: int = 100, height: int = 60) -> bytes:
    out = BytesIO()
    Image.new("L", (width, height), 128).save(out, "PNG")
    return out.getvalue()


def stand_in(tasks: int = 0) -> StandInStudio:
    studio = StandInStudio(CONFIG, png())
    studio.add_tasks(tasks)
    return studio


def settings_for(studio: StandInStudio, model: Path, **given: object) -> Settings:
    return load_settings(
        model=model,
        device="CPU",
        workers=2,
        label_studio_url=studio.url,
        label_studio_api_key="0123456789abcdef0123456789abcdef01234567",
        **given,
    )


def toy(folder: Path) -> Path:
    path = folder / "toy.xml"
    return path if path.exists() else save_toy_model(path, INSTANCES)


@contextmanager
def bulk_job(
    studio: StandInStudio,
    folder: Path,
    selection: Selection | None = None,
    *,
    patience: Patience | None = None,
    covered_share: float | None = None,
    rate: float | None = None,
    labels: tuple[str, ...] = (),
    **given: object,
) -> Iterator[Prelabelling]:
    """A job for the running stand-in; waits are short unless `patience` says otherwise."""
    settings = settings_for(studio, toy(folder), **given)
    pool = FairPool(settings.tasks_at_once, in_turn=False)
    api = open_api(settings)
    try:
        with api.client, open_image_fetcher(settings) as source:
            predictor = open_predictor(settings, pool, source=source, labels=labels)
            options = ChunkOptions(selection or Selection(), covered_share, rate)
            patience = patience or quick_patience()
            yield Prelabelling(api, api.project("1"), predictor, pool, options, patience)
    finally:
        pool.close()


def quick_patience(give_up_s: float = 20.0) -> Patience:
    patience = Patience(first_wait_s=0.01, longest_wait_s=0.05, give_up_s=give_up_s)
    patience.pause = lambda _seconds: None  # type: ignore[method-assign]
    return patience


def run_job(job: Prelabelling) -> Tally:
    """Plan and run it once."""
    tally = Tally()
    job.run(job.make_plan(), tally.add)
    return tally
