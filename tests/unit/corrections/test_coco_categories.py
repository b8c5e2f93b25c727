"""Category ids and names: the config's order, or the model's."""

from __future__ import annotations

from backend.corrections.export.categories import Category, categories_of
from backend.labelstudio.label_config import LabelConfig, parse_label_config
from backend.runtime.contract import Label

MODEL = (Label(1, "person"), Label(3, "car"), Label(6, "bus"), Label(8, "truck"))


def config(*labels: str) -> LabelConfig:
    tags = "".join(f"<Label {label}/>" for label in labels)
    return parse_label_config(
        '<View><Image name="i" value="$image"/>'
        f'<PolygonLabels name="p" toName="i">{tags}</PolygonLabels>'
        '<BrushLabels name="b" toName="i"><Label value="sky"/></BrushLabels></View>'
    )


def test_without_a_model_the_order_of_the_config() -> None:
    found = categories_of(config('value="car"', 'value="sky"', 'value="Mensch" alias="person"'))
    assert found.to_json() == [
        {"id": 1, "name": "car"}, {"id": 2, "name": "sky"}, {"id": 3, "name": "person"},
    ]  # fmt: skip
    assert found.notes == ()


def test_a_label_that_the_config_does_not_have_comes_last() -> None:
    found = categories_of(config('value="car"'))
    assert found.of("cat") == found.of("cat") == Category(3, "cat")
    assert found.foreign == ["cat"]
    assert found.of("sky").id == 2


def test_with_a_model_its_ids_and_names() -> None:
    found = categories_of(config('value="Car"', 'value="Mensch" predicted_values="person"'), MODEL)
    assert found.of("Car") == Category(3, "car")
    assert found.of("Mensch") == Category(1, "person")
    assert found.of("sky") == Category(9, "sky")
    assert found.notes == ("'sky' is no single label of the model: its category is 9",)


def test_several_of_the_models_labels_are_not_one_of_them() -> None:
    vehicle = 'value="vehicle" predicted_values="car,bus,truck"'
    assert categories_of(config(vehicle), MODEL).of("vehicle") == Category(9, "vehicle")
    car = 'value="car" predicted_values="car,bus,truck"'
    assert categories_of(config(car), MODEL).of("car") == Category(3, "car")


def test_labels_that_share_one_of_the_models_stay_apart() -> None:
    both = ('value="taxi" predicted_values="car"', 'value="sedan" predicted_values="car"')
    found = categories_of(config(*both), MODEL)
    assert [found.of("taxi"), found.of("sedan")] == [Category(9, "taxi"), Category(10, "sedan")]
    assert found.next_id == 12
