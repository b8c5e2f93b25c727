"""Label lists: from a known name, from a file, or from what the source says of itself."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from backend.runtime.contract import Label
from backend.runtime.errors import ConversionError
from converter.coco import COCO_LABELS

_COCO_NAMES = ("coco80", "coco91")
_BACKGROUND = frozenset({"background", "__background__", "otx_empty_lbl"})
_FORMS = (
    "one name a line, 'id name' on every line, a JSON list or {id: name}, a TensorFlow .pbtxt "
    "label map, or a COCO instances.json"
)


def read_labels(spec: str) -> tuple[Label, ...]:
    """`coco80`, `coco91` or a file in one of the forms of docs/contract.md, in its order.

    Raises ConversionError: no such file, not understood, no label, an empty name, an id twice.
    """
    if spec in _COCO_NAMES:
        return COCO_LABELS
    path = Path(spec)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ConversionError(
            f"there is no label list '{spec}': give coco80, coco91 or a file."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConversionError(f"the label file {path} cannot be read: {error}.") from error
    try:
        labels = _parse(text, path.suffix.lower())
    except ValueError as error:
        raise ConversionError(f"the label file {path} {error}; it may have {_FORMS}.") from error
    _check(labels, f"the label file {path}")
    return labels


def labels_from_model_info(model_info: dict[str, str]) -> tuple[Label, ...]:
    """Model API's `labels`: names between white space, a background entry first. () if none.

    The ids are 1..n: Model API knows no category ids. Names keep their '_', since nothing tells
    whether it stood for a space, unless OTX's `label_info` says the names as they are. The 80 names
    of COCO are recognised, and get their spaces and category ids.
    """
    names = model_info.get("labels", "").split()
    if names and names[0].lower() in _BACKGROUND:
        names = names[1:]
    names = _names_with_spaces(model_info.get("label_info", ""), names)
    if [name.replace("_", " ") for name in names] == [label.name for label in COCO_LABELS]:
        return COCO_LABELS
    labels = tuple(Label(index, name) for index, name in enumerate(names, start=1))
    if labels:
        _check(labels, "the source's own label list")
    return labels


def _names_with_spaces(label_info: str, names: list[str]) -> list[str]:
    """OTX's JSON with `label_names`, where it is about the same labels; else `names`."""
    try:
        content = json.loads(label_info)
    except ValueError:
        return names
    full = content.get("label_names") if isinstance(content, dict) else None
    if not isinstance(full, list) or [str(n).replace(" ", "_") for n in full] != names:
        return names
    return [str(name) for name in full]


def _check(labels: tuple[Label, ...], where: str) -> None:
    if not labels:
        raise ConversionError(f"{where} has no labels; it may have {_FORMS}.")
    seen: dict[int, str] = {}
    for label in labels:
        if not label.name:
            raise ConversionError(f"{where} has an empty name for id {label.id}.")
        if label.id < 0:
            raise ConversionError(f"{where} has the negative id {label.id} ('{label.name}').")
        if label.id in seen:
            raise ConversionError(
                f"{where} has the id {label.id} twice: '{seen[label.id]}' and '{label.name}'."
            )
        seen[label.id] = label.name


def _parse(text: str, suffix: str) -> tuple[Label, ...]:
    if suffix == ".json" or text.lstrip()[:1] in ("[", "{"):
        return _parse_json(text)
    if suffix == ".pbtxt" or re.search(r"^\s*item\s*:?\s*\{", text, re.MULTILINE):
        return _parse_label_map(text)
    return _parse_lines(text)


def _parse_lines(text: str) -> tuple[Label, ...]:
    lines = [line.strip() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    numbered = [re.fullmatch(r"(\d+)\s*[:,\s]\s*(.+)", line) for line in lines]
    found = [match for match in numbered if match]
    if lines and len(found) == len(lines):
        return tuple(Label(int(match[1]), match[2].strip()) for match in found)
    if found:
        raise ValueError(
            f"has an id on {len(found)} of its {len(lines)} lines: number all of them or none"
        )
    return tuple(Label(number, name) for number, name in enumerate(lines, start=1))


def _parse_json(text: str) -> tuple[Label, ...]:
    content: Any = json.loads(text, object_pairs_hook=_no_twins)
    if isinstance(content, dict) and isinstance(content.get("categories"), list):
        content = content["categories"]
    if isinstance(content, dict):
        return tuple(Label(_id(key), _name(value)) for key, value in content.items())
    if isinstance(content, list) and all(isinstance(entry, dict) for entry in content):
        return tuple(Label(_id(entry.get("id")), _name(entry.get("name"))) for entry in content)
    if isinstance(content, list):
        return tuple(Label(number, _name(name)) for number, name in enumerate(content, start=1))
    raise ValueError("is JSON, but neither a list nor an object")


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"has the key '{key}' twice")
        found[key] = value
    return found


def _id(value: Any) -> int:
    if type(value) is int or (isinstance(value, str) and re.fullmatch(r"\d+", value)):
        return int(value)
    raise ValueError(f"has {value!r} where an id belongs")


def _name(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    raise ValueError(f"has {value!r} where a name belongs")


def _parse_label_map(text: str) -> tuple[Label, ...]:
    """Items of object_detection/protos/string_int_label_map.proto in protobuf's text form."""
    parts = re.findall(r"#[^\n]*|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|[{}]|[^\s{}:,;\"']+", text)
    depth, key = 0, ""
    item: dict[str, str] = {}
    labels: list[Label] = []
    for part in (t for t in parts if not t.startswith("#")):
        if part == "{":
            depth += 1
        elif part == "}":
            depth -= 1
            if depth == 0:
                labels.append(_label_of(item))
                item = {}
        elif depth == 1 and part in ("id", "name", "display_name"):
            key = part
        elif depth == 1 and key:
            item.setdefault(key, part)
            key = ""
        else:
            key = ""
    if depth != 0:
        raise ValueError("has an item without its closing brace")
    return tuple(labels)


def _label_of(item: dict[str, str]) -> Label:
    if "id" not in item or not ("name" in item or "display_name" in item):
        raise ValueError("has an item without an id or a name")
    text = item.get("display_name", item.get("name", ""))
    if text[:1] in ("'", '"'):
        text = re.sub(r"\\(.)", r"\1", text[1:-1])
    return Label(_id(item["id"]), text.strip())
