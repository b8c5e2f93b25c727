"""The oracle itself: what the SDK accepts, and that its answers come through unchanged."""

from __future__ import annotations

import numpy as np
import pytest
from sdk import SdkError, SdkOracle

LABELLED = """<View><Image name="image" value="$image"/>
<PolygonLabels name="outline" toName="image"><Label value="cat"/></PolygonLabels></View>"""
PAIRED = """<View><Image name="image" value="$image"/>
<Labels name="kind" toName="image"><Label value="cat"/></Labels>
<Polygon name="outline" toName="image"/></View>"""

POINTS = {"points": [[10, 10], [40, 10], [40, 40]], "closed": True}
FRAME = {"id": "1", "to_name": "image", "original_width": 4, "original_height": 3}


def test_an_empty_prediction_is_valid(sdk: SdkOracle) -> None:
    assert sdk.validate(LABELLED, {"result": []}) == []


def test_a_label_that_the_config_lacks_is_named(sdk: SdkOracle) -> None:
    region = FRAME | {"from_name": "outline", "type": "polygonlabels"}
    right = region | {"value": POINTS | {"polygonlabels": ["cat"]}}
    wrong = region | {"value": POINTS | {"polygonlabels": ["dog"]}}
    assert sdk.validate(LABELLED, {"result": [right]}) == []
    (error,) = sdk.validate(LABELLED, {"result": [right, wrong]})
    assert "Region 1" in error
    assert "dog" in error


def test_paired_tools_need_the_geometry_in_both_results(sdk: SdkOracle) -> None:
    tool = FRAME | {"from_name": "outline", "type": "polygon", "value": POINTS}
    label = FRAME | {"from_name": "kind", "type": "labels"}
    full = label | {"value": POINTS | {"labels": ["cat"]}}
    bare = label | {"value": {"labels": ["cat"]}}
    assert sdk.validate(PAIRED, {"result": [tool, full]}) == []
    assert sdk.validate(PAIRED, {"result": [tool, bare]}) != []
    assert sdk.validate(PAIRED, {"result": [full]}) != []


def test_brush_masks_come_back(sdk: SdkOracle) -> None:
    mask = np.array([[0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]], bool)
    rle = sdk.encode(mask)
    assert (sdk.decode(rle, width=4, height=3) == mask[..., None] * 255).all()
    with pytest.raises(AssertionError, match="48 bytes, 4x4 pixels have 64"):
        sdk.decode(rle, width=4, height=4)


def test_an_exception_of_the_sdk_is_told_and_the_process_lives_on(sdk: SdkOracle) -> None:
    with pytest.raises(SdkError, match=r"\w+: "):
        sdk.validate("<View>", {"result": []})
    assert sdk.version() == "2.1.2"
