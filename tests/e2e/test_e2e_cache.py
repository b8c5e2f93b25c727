"""The result cache of real backends, with a real Label Studio and a real Redis."""

from __future__ import annotations

from pathlib import Path

import httpx2
from backend_server import BackendServer
from conftest import MakeBackend, MakeProject
from prometheus_client.parser import text_string_to_metric_families
from redis_server import RedisServer
from studio_api import LabelStudio, Project

CONFIG = """<View><Image name="image" value="$image"/>
<PolygonLabels name="outline" toName="image" model_score_threshold="{}"><Label value="person"/>
<Label value="car"/><Label value="elephant"/></PolygonLabels></View>"""


def counts(backend: BackendServer) -> dict[str, int]:
    """Of the cache, such as {"redis hit": 3}."""
    text = httpx2.get(f"{backend.url}/metrics", timeout=10.0, trust_env=False).text
    return {
        f"{sample.labels['store']} {sample.labels['outcome']}": int(sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "labelvino_cache_total"
    }


def results(api: LabelStudio, project: Project, tasks: list[int]) -> list[object]:
    """What the newest prediction of each task holds, after retrieving them."""
    api.retrieve_predictions(project, tasks)
    return [max(api.predictions(task), key=lambda p: int(p["id"]))["result"] for task in tasks]


def test_what_one_backend_has_seen_another_need_not_compute(
    api: LabelStudio,
    start_backend: MakeBackend,
    make_project: MakeProject,
    photos_dir: Path,
    tmp_path: Path,
) -> None:
    photos = [(path.name, path.read_bytes()) for path in sorted(photos_dir.iterdir())[:6]]
    redis = RedisServer(tmp_path)
    first = start_backend(LABELVINO_REDIS_URL=redis.url)
    project = make_project(CONFIG.format(0.5))
    tasks = api.upload(project, photos[:3])
    backend_id = api.connect_backend(project, first.url)
    expected = results(api, project, tasks)
    assert any(expected)
    assert counts(first) == {"address miss": 3, "memory miss": 3, "redis miss": 3}

    # Another threshold: another version, so that Label Studio asks again, and no inference.
    api.call("PATCH", f"/api/projects/{project.id}/", json={"label_config": CONFIG.format(0.2)})
    more = results(api, project, tasks)
    assert sum(map(len, more)) > sum(map(len, expected))  # type: ignore[arg-type]
    assert counts(first)["memory hit"] == 3 and counts(first)["memory miss"] == 3

    # Another process, which has only Redis in common with the first.
    second = start_backend(LABELVINO_REDIS_URL=redis.url)
    api.call("DELETE", f"/api/ml/{backend_id}")
    other = make_project(CONFIG.format(0.5))
    again = api.upload(other, photos)
    api.connect_backend(other, second.url)
    assert results(api, other, again[:3]) == expected
    assert counts(second)["redis hit"] == 3 and "redis miss" not in counts(second)

    # Redis goes in mid run: predictions go on.
    redis.kill()
    assert all(isinstance(result, list) for result in results(api, other, again[3:]))
    assert counts(second)["redis error"] >= 1
    log = second.log_text()
    assert log.count("results are kept in this process only") == 1
    assert "Traceback" not in log
