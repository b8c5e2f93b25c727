"""Unpack an archive that came from somewhere else, and refuse what no model needs."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import shutil
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol, cast

from backend.runtime.errors import ConversionError

_BLOCK_BYTES = 1 << 20
_OPENERS: tuple[tuple[bytes, Callable[[Path], Any]], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"BZh", bz2.open),
    (b"\xfd7zXZ\x00", lzma.open),
)
_BROKEN = (
    EOFError,
    ValueError,
    OverflowError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
)


@dataclass(frozen=True)
class Limits:
    """What an archive may hold.

    `ratio`: unpacked bytes for each packed one, looked at above `ratio_from_bytes`. Weights hardly
    shrink, a bomb shrinks a thousandfold.
    """

    members: int = 10_000
    total_bytes: int = 16 << 30
    ratio: float = 100.0
    ratio_from_bytes: int = 64 << 20


DEFAULT_LIMITS = Limits()


def is_archive(path: Path) -> bool:
    """Whether a file is a .zip, a .tar or a compressed .tar, by its first bytes.

    .keras, .pt and .pt2 files are zip archives too: look at the name first.
    """
    with path.open("rb") as file:
        head = file.read(262)
    return head.startswith((b"PK\x03\x04", *(magic for magic, _ in _OPENERS))) or (
        head[257:262] == b"ustar"
    )


def unpack(archive: Path, folder: Path, limits: Limits = DEFAULT_LIMITS) -> list[Path]:
    """Unpack a .tar (also .gz, .bz2, .xz) or .zip into the new folder `folder`; returns its files.

    All or nothing: it is unpacked beside `folder` and renamed in the end. Permissions and owners
    are not taken over. Raises ConversionError for an archive that is damaged, has a member outside
    the folder (absolute, `..`), a link or device, the same file twice, or that exceeds `limits`;
    and where `folder` exists or cannot be written.
    """
    if folder.exists():
        raise ConversionError(f"{folder} exists: choose another folder.")
    try:
        place = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise ConversionError(
            f"the folder {folder.parent} cannot be written to: {error.strerror}."
        ) from error
    try:
        unpacked = _Unpacked(archive, place, limits)
        with _one_line(archive):
            with archive.open("rb") as file:
                zipped = file.read(4) == b"PK\x03\x04"
            (_unzip if zipped else _untar)(unpacked)
        if not unpacked.files:
            raise ConversionError(f"{archive} has no files in it: download or copy it again.")
        place.chmod(0o755)
        place.rename(folder)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return [folder / name for name in unpacked.files]


@contextmanager
def _one_line(archive: Path) -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        raise ConversionError(
            f"{archive} is not a .zip or .tar archive, or is damaged ({error}): download or copy "
            "it again."
        ) from error
    except (NotImplementedError, RuntimeError) as error:  # zipfile's, of methods and passwords
        raise ConversionError(
            f"{archive} cannot be unpacked ({error}): unpack it by hand."
        ) from error
    except OSError as error:
        raise ConversionError(
            f"{archive} cannot be unpacked: {error.strerror or error}."
        ) from error


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Unpacked:
    """What has been unpacked so far, against the limits."""

    def __init__(self, archive: Path, place: Path, limits: Limits) -> None:
        self.archive = archive
        self.files: list[str] = []
        self._place = place
        self._limits = limits
        self._packed_bytes = archive.stat().st_size
        self._bytes = 0
        self._members = 0

    def member(self, name: str, kind: str) -> Path:
        """Where a member goes. Raises ConversionError for one that is refused."""
        self._members += 1
        if self._members > self._limits.members:
            raise self._refusal(f"has more than {self._limits.members} members")
        if kind not in ("file", "folder"):
            raise self._refusal(f"has the {kind} {name!r}, where a model has files only")
        path = PurePosixPath(name)
        if not name:
            raise self._refusal("has a member without a name")
        if path.is_absolute() or re.search(r"[\\\x00]|^[A-Za-z]:", name):
            raise self._refusal(f"has a member with an absolute path or a foreign one, {name!r}")
        if ".." in path.parts:
            raise self._refusal(f"has a member that leads out of its folder, {name!r}")
        return self._place / path

    def count(self, number_of_bytes: int) -> None:
        """More bytes came out. Raises ConversionError at a limit."""
        self._bytes += number_of_bytes
        if self._bytes > self._limits.total_bytes:
            raise self._refusal(f"unpacks to more than {_gigabytes(self._limits.total_bytes)}")
        if (
            self._bytes > self._limits.ratio_from_bytes
            and self._bytes > self._limits.ratio * self._packed_bytes
        ):
            raise self._refusal(
                f"unpacks to more than {self._limits.ratio:.0f} times its size, as archives do "
                "that are made to fill disks"
            )

    def add_folder(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)

    def add_file(self, path: Path, content: _Stream) -> None:
        name = path.relative_to(self._place).as_posix()
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = path.open("xb")
        except FileExistsError as error:
            raise self._refusal(f"has the file {name!r} twice") from error
        with file:
            while block := content.read(_BLOCK_BYTES):
                file.write(block)
        self.files.append(name)

    def _refusal(self, why: str) -> ConversionError:
        return ConversionError(
            f"{self.archive} {why}: it is refused; if you trust it, unpack it by hand."
        )


def _untar(unpacked: _Unpacked) -> None:
    # A stream: what comes out is counted as it comes, headers included, and a bomb goes no further.
    with _decompressed(unpacked.archive) as stream:
        counted = _Counted(stream, unpacked)
        with tarfile.open(fileobj=cast(IO[bytes], counted), mode="r|") as tar:
            for member in tar:
                path = unpacked.member(member.name, _tar_kind(member))
                content = tar.extractfile(member)
                if content is None:
                    unpacked.add_folder(path)
                else:
                    unpacked.add_file(path, content)
        while counted.read(_BLOCK_BYTES):  # to the checksum that stands last
            pass


def _tar_kind(member: tarfile.TarInfo) -> str:
    if member.isdir():
        return "folder"
    if member.issym() or member.islnk():
        return "link"
    if member.issparse():
        return "sparse file"
    return "file" if member.isreg() else "device"


def _decompressed(archive: Path) -> IO[bytes]:
    with archive.open("rb") as file:
        head = file.read(6)
    for magic, opener in _OPENERS:
        if head.startswith(magic):
            return cast(IO[bytes], opener(archive))
    return archive.open("rb")


class _Counted:
    """A stream that stops at the limits, whatever tarfile or zipfile ask for."""

    def __init__(self, stream: IO[bytes], unpacked: _Unpacked) -> None:
        self._stream = stream
        self._unpacked = unpacked

    def read(self, size: int, /) -> bytes:
        block = self._stream.read(size)
        self._unpacked.count(len(block))
        return block


def _unzip(unpacked: _Unpacked) -> None:
    with zipfile.ZipFile(unpacked.archive) as opened:
        for member in opened.infolist():
            # orig_filename: zipfile itself cuts names at a NUL
            path = unpacked.member(member.orig_filename, _zip_kind(member))
            if _zip_folder(member):
                unpacked.add_folder(path)
                continue
            with opened.open(member) as content:
                unpacked.add_file(path, _Counted(content, unpacked))


def _zip_kind(member: zipfile.ZipInfo) -> str:
    mode = member.external_attr >> 16
    if stat.S_ISLNK(mode):
        return "link"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "device"
    return "folder" if _zip_folder(member) else "file"


def _zip_folder(member: zipfile.ZipInfo) -> bool:
    return member.filename.endswith("/")  # is_dir() fails on an empty name


def _gigabytes(size: int) -> str:
    return f"{size / (1 << 30):.0f} GiB" if size >= 1 << 30 else f"{size} bytes"
