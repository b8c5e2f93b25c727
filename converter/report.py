"""What `convert --json` and `inspect` tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openvino as ov

from backend.runtime.errors import ConversionError
from converter.contracts import detect
from converter.convert import Conversion
from converter.facts import describe_facts, precision_of
from converter.sources import LoadOptions, load_source


def conversion_summary(done: Conversion) -> dict[str, Any]:
    """A conversion as plain JSON values."""
    contract, published = done.contract, done.published
    return {
        "output": str(published.path),
        "name": contract.name,
        "family": contract.family,
        "family_reason": done.reason,
        "source_format": contract.source_format,
        "source_digest": contract.source_digest,
        "framework_version": contract.framework_version,
        "input": done.inputs,
        "outputs": done.outputs,
        "labels": len(contract.labels),
        "resize": str(contract.resize),
        "mask_frame": contract.mask_frame,
        "precision": contract.precision,
        "score_threshold": contract.score_threshold,
        "ir_digest": published.ir_digest,
        "size_bytes": published.size_bytes,
        "notes": list(done.notes),
        "seconds": done.seconds,
        "infer_seconds": list(published.infer_seconds),
        "peak_memory_bytes": done.peak_memory_bytes,
        "trial_peak_memory_bytes": done.trial_peak_memory_bytes,
    }


def inspection(path: Path, options: LoadOptions | None = None) -> dict[str, Any]:
    """A model as plain JSON values: ports, facts, family. Raises ConversionError."""
    source = load_source(path, options)
    model = source.model
    name: str | None = source.facts.family
    reason = source.facts.family_reason
    try:
        if name is None:
            family, reason = detect(model)
            name = family.name
    except ConversionError as error:
        name, reason = None, str(error)
    return {
        "path": str(path),
        "format": source.format,
        "digest": source.digest,
        "framework_version": source.framework_version,
        "inputs": [_port(port) for port in model.inputs],
        "outputs": [_port(port) for port in model.outputs],
        "precision": precision_of(model),
        "operations": len(model.get_ops()),
        "converted_by_labelvino": "labelvino" in source.model_info,
        "family": name,
        "family_reason": reason,
        "facts": describe_facts(source),
    }


def inspection_text(found: dict[str, Any]) -> str:
    """The same for people."""
    lines = [f"{found['path']}: {found['format']} {found['framework_version']}".rstrip()]
    lines += [f"  digest      {found['digest']}"]
    for kind in ("inputs", "outputs"):
        for port in found[kind]:
            names = ", ".join(port["names"]) or "(no name)"
            lines.append(f"  {kind[:-1]:<11} {names}: {port['type']} {port['shape']}")
    lines.append(f"  weights     {found['precision']}, {found['operations']} operations")
    lines.append(f"  family      {found['family'] or 'none'}: {found['family_reason']}")
    own = found["facts"].get("labelvino")
    for key, value in (own if isinstance(own, dict) else {}).items():
        lines.append(f"  {key:<20} {_short(value)}")
    for key, value in found["facts"].items():
        if key != "labelvino":
            lines.append(f"  model_info/{key:<20} {_short(value)}")
    if not found["converted_by_labelvino"]:
        lines.append(
            "  not converted by labelvino: 'labelvino-model convert' brings it to the contract"
        )
    return "\n".join(lines)


def _short(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict) and "name" in value[0]:
        return f"{len(value)}: " + ", ".join(f"{v['id']} {v['name']}" for v in value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {entry}" for key, entry in value.items())
    return str(value)


def _port(port: ov.Output) -> dict[str, Any]:
    return {
        "names": sorted(port.get_names(), key=lambda name: (len(name), name)),
        "type": port.get_element_type().to_string(),
        "shape": str(port.get_partial_shape()),
    }
