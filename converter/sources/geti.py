"""A Geti deployment: deployment/<task>/model/{model.xml,model.bin,config.json}.

config.json keeps in `model_parameters` what older deployments do not write into the IR.
Source: https://github.com/open-edge-platform/geti-sdk, deployment/deployed_model.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backend.runtime.errors import ConversionError


def deployment_facts(xml: Path) -> dict[str, str]:
    """Facts by Model API's names from the config.json beside an IR; {} where there is none.

    Raises ConversionError for a file that is not what Geti writes.
    """
    path = xml.with_name("config.json")
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConversionError(f"{path} cannot be read: {error}.") from error
    parameters = content.get("model_parameters") if isinstance(content, dict) else None
    if not isinstance(parameters, dict):
        return {}  # some other config.json
    facts = {
        key: _text(value)
        for key, value in parameters.items()
        if isinstance(value, str | int | float | list) and not isinstance(value, bool)
    }
    facts |= {key: str(value) for key, value in parameters.items() if isinstance(value, bool)}
    names = _label_names(parameters.get("labels"))
    if names:
        facts["labels"] = " ".join(name.replace(" ", "_") for name in names)
        facts["label_info"] = json.dumps({"label_names": names})
    if "type_of_model" in content:
        facts.setdefault("model_type", str(content["type_of_model"]))
    return facts


def _text(value: Any) -> str:
    return " ".join(str(part) for part in value) if isinstance(value, list) else str(value)


def _label_names(labels: Any) -> list[str]:
    """`all_labels`, by id or as a list; the empty label says that nothing is there."""
    if not isinstance(labels, Mapping):
        return []
    entries = labels.get("all_labels")
    if isinstance(entries, Mapping):
        entries = list(entries.values())
    if not isinstance(entries, list):
        return []
    return [
        str(entry["name"])
        for entry in entries
        if isinstance(entry, Mapping) and "name" in entry and not entry.get("is_empty")
    ]
