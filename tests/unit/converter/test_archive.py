"""Archives from elsewhere: what is unpacked, and what is refused without a trace."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.runtime.errors import ConversionError
from converter.archive import Limits, is_archive, unpack

FILES = {"saved_model.pb": b"graph", "variables/variables.index": b"i" * 3000}


def tar_member(name: str, content: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def tar_of(*members: tuple[tarfile.TarInfo, bytes], mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:  # type: ignore[call-overload]
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zip_of(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in members:
            zipped.writestr(name, content)
    return buffer.getvalue()


def zip_link(name: str, target: str) -> bytes:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return zip_of((info, target.encode()))


def nameless_zip() -> bytes:
    """The same length with one name byte turned into one of an extra field that nobody reads."""
    data = zip_of(("a", b"x"))
    local, central = data.index(b"PK\x03\x04"), data.index(b"PK\x01\x02")
    data = bytearray(data)
    data[local + 26 : local + 30] = bytes([0, 0, 1, 0])
    data[central + 28 : central + 32] = bytes([0, 0, 1, 0])
    return bytes(data)


def damaged(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0x55]) + data[middle + 1 :]


PLAIN = [tar_member(name, content) for name, content in FILES.items()]
GOOD: dict[str, bytes] = {
    "a.tar": tar_of(*PLAIN, mode="w"),
    "a.tar.gz": tar_of(*PLAIN),
    "a.tar.bz2": tar_of(*PLAIN, mode="w:bz2"),
    "a.tar.xz": tar_of(*PLAIN, mode="w:xz"),
    "a.zip": zip_of(*FILES.items()),
    "with folders.tar": tar_of(
        tar_member("./", type=tarfile.DIRTYPE),
        tar_member("./variables/", type=tarfile.DIRTYPE),
        *(tar_member(f"./{name}", content) for name, content in FILES.items()),
        mode="w",
    ),
    "with folders.zip": zip_of(("variables/", b""), *FILES.items()),
}
LIMITS = Limits(members=4, total_bytes=1 << 20, ratio=50, ratio_from_bytes=1 << 16)
BAD: dict[str, tuple[bytes, str]] = {
    "no bytes": (b"", "is damaged"),
    "no archive": (b"<html>not found</html>" * 99, "is damaged"),
    "tar without files": (tar_of(), "no files in it"),
    "zip without files": (zip_of(("a/", b"")), "no files in it"),
    "tar cut off": (GOOD["a.tar.gz"][:-9], "is damaged"),
    "plain tar cut off": (GOOD["a.tar"][:1700], "is damaged"),
    "zip cut off": (GOOD["a.zip"][:-9], "is damaged"),
    "gzip with another checksum": (GOOD["a.tar.gz"][:-8] + bytes(8), "CRC|is damaged"),
    "zip with another checksum": (damaged(zip_of(("a", bytes(range(256)) * 20))), "is damaged"),
    "tar ..": (tar_of(tar_member("../a", b"x")), r"leads out of its folder, '../a'"),
    "tar a/../../b": (tar_of(tar_member("a/../../b", b"x")), "leads out of its folder"),
    "zip ..": (zip_of(("../a", b"x")), "leads out of its folder"),
    "tar absolute": (tar_of(tar_member("/etc/a", b"x")), "absolute path"),
    "zip absolute": (zip_of(("/etc/a", b"x")), "absolute path"),
    "zip of Windows": (zip_of(("C:\\a", b"x")), "absolute path or a foreign one"),
    "zip with backslashes": (zip_of(("..\\..\\a", b"x")), "absolute path or a foreign one"),
    "tar link": (
        tar_of(tar_member("a", type=tarfile.SYMTYPE, linkname="/etc/passwd")), "the link 'a'"
    ),
    "tar hard link": (tar_of(tar_member("a", type=tarfile.LNKTYPE, linkname="b")), "the link 'a'"),
    "zip link": (zip_link("a", "/etc/passwd"), "the link 'a'"),
    "tar device": (tar_of(tar_member("a", type=tarfile.CHRTYPE)), "the device 'a'"),
    "tar pipe": (tar_of(tar_member("a", type=tarfile.FIFOTYPE)), "the device 'a'"),
    "zip without a name": (nameless_zip(), "a member without a name"),
    "escape sequences": (tar_of(tar_member("\x1b[2J/../a", b"x")), r"'\\x1b\[2J/../a'"),
    "tar file twice": (tar_of(tar_member("a", b"x"), tar_member("./a", b"y")), "'a' twice"),
    "tar with too many": (tar_of(*(tar_member(f"{i}") for i in range(5))), "more than 4 members"),
    "zip with too many": (zip_of(*((f"{i}", b"") for i in range(5))), "more than 4 members"),
    "plain tar too large": (tar_of(tar_member("a", b"x" * (1 << 20)), mode="w"), "1048576 bytes"),
    "tar bomb": (tar_of(tar_member("a", bytes(1 << 19))), "more than 50 times its size"),
    "zip bomb": (zip_of(("a", bytes(1 << 19))), "more than 50 times its size"),
    "bomb in a header": (
        tar_of(tar_member("a", b"x", pax_headers={"comment": "x" * (1 << 19)})),
        "more than 50 times its size",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_a_good_archive(name: str, tmp_path: Path) -> None:
    archive, folder = tmp_path / name, tmp_path / "model"
    archive.write_bytes(GOOD[name])
    assert is_archive(archive)
    found = unpack(archive, folder)
    assert {p.relative_to(folder).as_posix(): p.read_bytes() for p in found} == FILES
    assert sorted(p for p in folder.rglob("*") if p.is_file()) == sorted(found)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, "model"])


@pytest.mark.parametrize("case", BAD)
def test_a_bad_archive(case: str, tmp_path: Path) -> None:
    data, reason = BAD[case]
    archive = tmp_path / "a.archive"
    archive.write_bytes(data)
    with pytest.raises(ConversionError, match=reason) as caught:
        unpack(archive, tmp_path / "model", LIMITS)
    assert str(archive) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["a.archive"]
    assert not (tmp_path.parent / "a").exists()


def test_permissions_and_owners_are_not_taken_over(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    archive.write_bytes(tar_of(tar_member("a", b"x", mode=0o6777, uid=12345), mode="w"))
    (file,) = unpack(archive, tmp_path / "model")
    assert file.stat().st_mode & 0o7111 == 0
    assert file.stat().st_uid == tmp_path.stat().st_uid


def test_a_folder_that_exists_is_left_alone(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    archive.write_bytes(GOOD["a.zip"])
    (tmp_path / "model").mkdir()
    with pytest.raises(ConversionError, match="exists: choose another"):
        unpack(archive, tmp_path / "model")
    assert list((tmp_path / "model").iterdir()) == []


def test_a_zip_with_a_password(tmp_path: Path) -> None:
    data = bytearray(zip_of(("a", b"x")))
    central = data.index(b"PK\x01\x02")
    for flag in (6, central + 8):
        data[flag] |= 1
    archive = tmp_path / "a.zip"
    archive.write_bytes(data)
    with pytest.raises(ConversionError, match=r"unpacked \(.*password"):
        unpack(archive, tmp_path / "model")


@pytest.mark.parametrize("name", ["model.onnx", "model.xml", "labels.txt"])
def test_other_files_are_no_archives(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"\x08\x07 or <xml/> or text")
    assert not is_archive(tmp_path / name)


@given(
    data=st.sampled_from(["a.tar", "a.tar.gz", "a.zip"]),
    changes=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_damage_is_refused_or_harmless(
    data: str,
    changes: list[tuple[int, int]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    place = tmp_path_factory.mktemp("archive")
    damaged_data = bytearray(GOOD[data])
    for at, value in changes:
        damaged_data[at % len(damaged_data)] = value
    archive = place / "a"
    archive.write_bytes(damaged_data)
    try:
        unpack(archive, place / "model", LIMITS)
    except ConversionError as error:
        assert "\n" not in str(error)
        assert [p.name for p in place.iterdir()] == ["a"]
    else:
        assert sorted(p.name for p in place.iterdir()) == ["a", "model"]
