"""A model of the registry -> its files in a folder: downloaded, checked, unpacked, recorded."""

from __future__ import annotations

import datetime
import hashlib
import json
import shlex
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx2

from backend.runtime.errors import ConversionError, FetchError
from converter.archive import unpack
from converter.download import DownloadLimits, Progress, discard, download
from converter.model_registry import Digest, ModelEntry, RemoteFile
from converter.web_address import is_private, shown, without_login

RECORD = "labelvino-fetch.json"
"""Beside the files: what was fetched, and with which digests."""


@dataclass(frozen=True)
class FetchedFile:
    """`checked`: what the bytes were compared with; '' for the first fetch of unstated ones."""

    path: str
    url: str
    size: int
    sha256: str
    checked: str
    unpacked_to: str | None
    fetched_at: str

    @property
    def sentence(self) -> str:
        """What is known of the bytes now."""
        if self.checked:
            return f"{self.path}: {self.size} bytes, checked by {self.checked}"
        return (
            f"{self.path}: {self.size} bytes, sha256:{self.sha256}; nobody states its digest, so "
            f"this one was recorded in {RECORD}, and the next fetch compares with it"
        )


@dataclass(frozen=True)
class Fetched:
    """`new`: the files that were downloaded now; the others were there."""

    entry: ModelEntry
    folder: Path
    files: tuple[FetchedFile, ...]
    new: tuple[str, ...]

    @property
    def convert_command(self) -> str:
        """The command that converts it, '' where the registry does not say it."""
        if not self.entry.convert:
            return ""
        parts = [part.replace("{folder}", str(self.folder)) for part in self.entry.convert]
        return shlex.join(["labelvino-model", "convert", *parts, "-o", "model.xml"])


def describe(entry: ModelEntry, folder: Path) -> list[str]:
    """What a fetch would do, line by line, before anything is downloaded."""
    lines = [f"{entry.name}: {entry.about}" if entry.about else entry.name]
    lines += [f"  page     {entry.page}"] if entry.page else []
    lines += [f"  licence  {entry.license or 'not stated'}", f"  folder   {folder}"]
    for file in entry.files:
        size = "size not stated" if file.size is None else f"{file.size} bytes"
        lines.append(f"  file     {file.path}, {size}, {_stated(file.digest)}")
        lines.append(f"           {without_login(file.url)}")
    return lines


def _stated(digest: Digest | None) -> str:
    if digest is None:
        return "digest not stated: what comes is trusted at the first fetch"
    if digest.is_whole:
        return str(digest)
    return f"{digest} (only the first digits are stated: no protection against forgery)"


def fetch(
    entry: ModelEntry,
    folder: Path,
    *,
    force: bool = False,
    limits: DownloadLimits | None = None,
    progress: Callable[[str], Progress] = lambda _name: lambda _have, _total: None,
) -> Fetched:
    """Bring all files of a model into `folder`, which is made where it is missing.

    Files that were fetched before are checked, not downloaded again; `force` replaces what stands
    in their place. `progress`: given a file's name, what hears of its bytes. Raises FetchError, or
    ConversionError for an archive that is refused; a download that broke off goes on next time.
    """
    for file in entry.files:
        _check_address(file)
    made = not folder.exists()
    try:
        folder.mkdir(exist_ok=True)
        record = _read_record(folder)
        done: list[FetchedFile] = []
        new: list[str] = []
        for file in entry.files:
            old = record.get(file.path)
            known = None if force else _still_there(folder, file, old)
            if known is None:
                _check_room(folder, file)
                hear = progress(file.path)
                known = _bring(folder, file, old, limits or DownloadLimits(), hear)
                new.append(file.path)
            done.append(known)
            _write_record(folder, entry.name, {**record, **{each.path: each for each in done}})
    except OSError as error:
        raise FetchError(
            f"{folder} cannot be written: {error.strerror}: what was downloaded stays, and the "
            "same command goes on from there."
        ) from error
    finally:
        if made and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    return Fetched(entry, folder, tuple(done), tuple(new))


def _check_address(file: RemoteFile) -> None:
    """Without encryption anybody on the way can change a file that no digest protects."""
    url = httpx2.URL(file.url)
    whole = file.digest is not None and file.digest.is_whole
    if url.scheme == "http" and not whole and not is_private(url.host):
        raise FetchError(
            f"{shown(url)} is without encryption (http) and its whole digest is not known: give an "
            "https address or a digest in the registry file."
        )


def _still_there(folder: Path, file: RemoteFile, old: FetchedFile | None) -> FetchedFile | None:
    """The record of a file that needs no download. Raises FetchError where it was changed."""
    target = folder / (file.unpack_to or file.path)
    if old is None:
        if target.is_file() and _is_the_stated(target, file):
            digest = _digests(target)["sha256"]
            return _recorded(file, target.stat().st_size, digest, str(file.digest))
        if target.exists():
            raise FetchError(
                f"{target} exists, but was not fetched by this command: choose another folder, or "
                "replace it (--force)."
            )
        return None
    if not target.exists() or old.unpacked_to != file.unpack_to:
        return None
    if file.unpack_to is None and _digests(target)["sha256"] != old.sha256:
        raise FetchError(f"{target} was changed after it was fetched: fetch it anew with --force.")
    if old.url != shown(file.url) or (file.digest is not None and old.checked != str(file.digest)):
        return None  # the registry means another file now, or knows more of it
    return old


def _check_room(folder: Path, file: RemoteFile) -> None:
    part = folder / f"{file.path}.part"
    have = part.stat().st_size if part.exists() else 0
    free = shutil.disk_usage(folder).free
    if file.size is not None and file.size - have > free:
        raise FetchError(
            f"{folder} has room for {free} bytes, but {file.path} needs {file.size - have} more: "
            "free some, or choose another folder."
        )


def _bring(
    folder: Path,
    file: RemoteFile,
    old: FetchedFile | None,
    limits: DownloadLimits,
    progress: Progress,
) -> FetchedFile:
    target = folder / file.path
    target.parent.mkdir(parents=True, exist_ok=True)
    whole = file.digest is not None and file.digest.is_whole
    part = download(
        file.url,
        target,
        size=file.size,
        whole_digest_known=whole,
        limits=limits,
        progress=progress,
    )
    sha256, checked = _check_digest(part, file, old)
    size = part.stat().st_size
    if file.unpack_to is None:
        part.replace(target)
    else:
        _unpack(part, folder / file.unpack_to)
    discard(part)
    return _recorded(file, size, sha256, checked)


def _recorded(file: RemoteFile, size: int, sha256: str, checked: str) -> FetchedFile:
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return FetchedFile(file.path, shown(file.url), size, sha256, checked, file.unpack_to, now)


def _is_the_stated(path: Path, file: RemoteFile) -> bool:
    """Whether a file that somebody else put there is the very one, by its whole digest."""
    stated = file.digest
    if stated is None or not stated.is_whole:
        return False
    return _digests(path, stated.algorithm)[stated.algorithm] == stated.hex_digits


def _check_digest(part: Path, file: RemoteFile, old: FetchedFile | None) -> tuple[str, str]:
    """SHA-256 of the file, and what it was compared with. Raises FetchError."""
    found = _digests(part, file.digest.algorithm if file.digest else "sha256")
    stated = file.digest
    if stated is not None and not found[stated.algorithm].startswith(stated.hex_digits):
        discard(part)
        raise FetchError(
            f"{shown(file.url)} has the digest {stated.algorithm}:{found[stated.algorithm]}, but "
            f"must have {stated}: it was changed or damaged, and is removed."
        )
    if stated is not None:
        return found["sha256"], str(stated)
    if old is not None and old.sha256 != found["sha256"]:
        discard(part)
        raise FetchError(
            f"{shown(file.url)} has the digest sha256:{found['sha256']}, but the first time it was "
            f"sha256:{old.sha256}: if you expect the change, remove {RECORD} and fetch again."
        )
    return found["sha256"], "" if old is None else f"sha256:{old.sha256} of the first fetch"


def _digests(path: Path, algorithm: str = "sha256") -> dict[str, str]:
    hashes = {name: hashlib.new(name, usedforsecurity=False) for name in {"sha256", algorithm}}
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            for each in hashes.values():
                each.update(block)
    return {name: each.hexdigest() for name, each in hashes.items()}


def _unpack(part: Path, folder: Path) -> None:
    """Unpack beside, then take the old folder's place."""
    beside = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        unpack(part, beside)
    except ConversionError:
        discard(part)
        raise
    if folder.exists():
        shutil.rmtree(folder)
    beside.rename(folder)


def _read_record(folder: Path) -> dict[str, FetchedFile]:
    path = folder / RECORD
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {each["path"]: FetchedFile(**each) for each in content["files"]}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError) as error:
        raise FetchError(f"{path} is damaged ({error}): remove it and fetch again.") from error


def _write_record(folder: Path, name: str, files: dict[str, FetchedFile]) -> None:
    path = folder / RECORD
    written = path.with_name(f".{RECORD}.new")
    content = {"model": name, "files": [asdict(each) for each in files.values()]}
    written.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    written.replace(path)
