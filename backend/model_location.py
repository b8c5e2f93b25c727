"""Which model file is meant: a path, a path within the models' folder, or a folder with one."""

from __future__ import annotations

from pathlib import Path

from backend.runtime.errors import SettingsError


def locate_model(model: Path | None, model_dir: Path | None) -> Path:
    """The IR (.xml) to load; whether it exists is left to whoever loads it.

    A relative path is looked for in `model_dir` first, as Label Studio's examples do, then in the
    working folder. A folder stands for the only .xml in it. Raises SettingsError.
    """
    if model is None:
        if model_dir is None:
            raise SettingsError("no model is given: use --model MODEL.xml or LABELVINO_MODEL.")
        if not model_dir.is_dir():
            raise SettingsError(
                f"no model is given, and there is no folder {model_dir} to find one in: use "
                "--model MODEL.xml, or mount the folder of the models there."
            )
        return _only_model(model_dir)
    if model_dir is not None and (model_dir / model).exists():
        model = model_dir / model  # an absolute path stays what it is
    return _only_model(model) if model.is_dir() else model


def _only_model(folder: Path) -> Path:
    found = sorted(folder.glob("*.xml"))
    if len(found) == 1:
        return found[0]
    if not found:
        raise SettingsError(
            f"there is no model (.xml) in the folder {folder}: put one there, or use --model "
            "MODEL.xml."
        )
    listed = ", ".join(path.name for path in found[:5]) + (", ..." if len(found) > 5 else "")
    raise SettingsError(
        f"the folder {folder} has {len(found)} models ({listed}): name one with --model or "
        "LABELVINO_MODEL."
    )
