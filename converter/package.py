"""An IR of ours -> a deployment package, a folder that `labelvino serve --bundle` verifies."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from backend.runtime.bundle import MANIFEST, MODEL, SETTINGS, VERSION, open_bundle, parse_settings
from backend.runtime.contract import ModelContract, ir_digest, read_contract
from backend.runtime.engine import read_ir
from backend.runtime.errors import BundleError
from backend.runtime.self_test import SelfTest

_NOTES = "LICENSES.md"
_README = """# {name}

A model for labelvino, packaged by `labelvino-model package`.

    labelvino serve --bundle .

compares every file with `manifest.json` first. `facts.json` says what the model is, `labels.txt`
what it finds (category id and name), `settings.toml` how it is meant to be used (the command line
and the environment go before it), `self-test/` what it must find in a picture on every device, and
`{notes}` under which terms it may be used.
"""


@dataclass(frozen=True)
class Package:
    """`digest`: SHA-256 (hex) of the manifest, which stands for all files."""

    folder: Path
    digest: str
    files: tuple[str, ...]
    size_bytes: int


def package(
    model: Path,
    folder: Path,
    *,
    settings: Path | None = None,
    licenses: Sequence[Path] = (),
    force: bool = False,
) -> Package:
    """Write the package beside its place, verify it, then give it its name.

    The same model, settings and licences give the same bytes. `force` replaces a package, and
    nothing else. Raises BundleError or ContractError; nothing is left behind then.
    """
    ir = read_ir(model)
    contract = read_contract(ir, model)
    self_test = SelfTest.read(ir)
    if self_test is None:
        raise BundleError(f"{model} has no self-test: convert it again with labelvino-model.")
    wanted = b"" if settings is None else _settings(settings)
    _check_place(folder, force=force)
    try:
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as place:
            built = Path(place) / "package"
            built.mkdir()
            _write_model(model, contract, self_test, built)
            (built / SETTINGS).write_bytes(wanted)
            _write_licenses(licenses, built)
            _write_manifest(contract, ir_digest(model), built)
            digest = open_bundle(built).digest
            if folder.exists():
                folder.rename(Path(place) / "replaced")
            built.rename(folder)
    except OSError as error:
        raise BundleError(f"{folder} cannot be written: {error.strerror}.") from error
    files = tuple(sorted(p.relative_to(folder).as_posix() for p in _plain_files(folder)))
    return Package(folder, digest, files, sum((folder / name).stat().st_size for name in files))


def _check_place(folder: Path, *, force: bool) -> None:
    if not folder.absolute().parent.is_dir():
        raise BundleError(f"there is no folder {folder.absolute().parent}: make it first.")
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / MANIFEST).is_file():
        raise BundleError(f"{folder} exists and is no package: choose another folder.")
    if not force:
        raise BundleError(f"{folder} exists: choose another folder, or replace it (--force).")


def _settings(path: Path) -> bytes:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise BundleError(f"the settings {path} cannot be read: {error.strerror}.") from error
    parse_settings(text, path)
    return text


def _write_model(model: Path, contract: ModelContract, test: SelfTest, built: Path) -> None:
    shutil.copyfile(model, built / MODEL)
    shutil.copyfile(model.with_suffix(".bin"), (built / MODEL).with_suffix(".bin"))
    (built / "facts.json").write_text(_json(asdict(contract)), encoding="utf-8")
    lines = [f"{label.id} {label.name}\n" for label in contract.labels]
    (built / "labels.txt").write_text("".join(lines), encoding="utf-8")
    looked_at = built / "self-test"
    looked_at.mkdir()
    (looked_at / "picture.jpg").write_bytes(test.picture)
    expected = {"precision": "f32", "device": "CPU", "seen": [asdict(one) for one in test.seen]}
    (looked_at / "expected.json").write_text(_json(expected), encoding="utf-8")
    readme = _README.format(name=contract.name, notes=_NOTES)
    (built / "README.md").write_text(readme, encoding="utf-8")


def _write_licenses(licenses: Sequence[Path], built: Path) -> None:
    """Copies of the given texts, and a page that names them."""
    folder = built / "licenses"
    lines = ["# Licences", ""]
    for path in licenses:
        if not path.is_file():
            raise BundleError(f"there is no licence file {path}.")
        if (folder / path.name).exists():
            raise BundleError(f"two licence files are named {path.name}: rename one.")
        folder.mkdir(exist_ok=True)
        shutil.copyfile(path, folder / path.name)
        lines.append(f"- the model: [{path.name}](licenses/{path.name})")
    if not licenses:
        lines.append(
            "- the model: not stated. Whoever passes this package on must know its weights' licence"
            " (labelvino-model package --license FILE)."
        )
    lines += [
        "- labelvino, which serves it: Apache-2.0",
        "- OpenVINO, whose format model.xml and model.bin have: Apache-2.0",
    ]
    (built / _NOTES).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_manifest(contract: ModelContract, digest: str, built: Path) -> None:
    files = {}
    for path in _plain_files(built):
        data = path.read_bytes()
        files[path.relative_to(built).as_posix()] = {
            "sha256": hashlib.sha256(data).hexdigest(),
            "bytes": len(data),
        }
    manifest = {
        "version": VERSION,
        "name": contract.name,
        "precision": contract.precision,
        "ir_digest": digest,
        "files": files,
    }
    (built / MANIFEST).write_text(_json(manifest), encoding="utf-8")


def _plain_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _json(value: object) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
