"""The registry of models: what ships, what users add, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from backend.runtime.errors import SettingsError
from converter.commands.registry_option import registry_files
from converter.model_registry import Digest, entry_named, read_registry

SEEDS = [
    "mask_rcnn_inception_resnet_v2_1024x1024",
    "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x",
    "COCO-InstanceSegmentation/mask_rcnn_R_101_FPN_3x",
    "COCO-Detection/faster_rcnn_R_50_FPN_1x",
    "instance-segmentation-security-0002",
    "instance-segmentation-security-1040",
]


@pytest.mark.parametrize("name", SEEDS)
def test_what_ships(name: str) -> None:
    entry = read_registry()[name]
    assert entry.files
    assert entry.license
    assert entry.gives in ("masks", "boxes")
    assert all(file.url.startswith("https://") for file in entry.files)


def test_everything_that_ships_says_how_to_convert_it() -> None:
    for entry in read_registry().values():
        text = " ".join(entry.convert)
        names = [file.unpack_to or file.path for file in entry.files]
        assert any(f"{{folder}}/{name}" in text for name in names), entry.name


def test_what_it_says_is_a_command_that_convert_understands() -> None:
    from converter.cli import cli

    for entry in read_registry().values():
        arguments = [*entry.convert, "-o", "model.xml"]
        cli.commands["convert"].make_context("convert", arguments)


def test_open_model_zoo_states_sizes_and_whole_digests() -> None:
    for name, entry in read_registry().items():
        if name.startswith("instance-segmentation-security"):
            assert entry.size is not None
            assert all(f.digest is not None and f.digest.is_whole for f in entry.files)
            assert [f.path.rpartition(".")[2] for f in entry.files] == ["xml", "bin"]


def own(folder: Path, text: str) -> Path:
    path = folder / "own.toml"
    path.write_text(text)
    return path


FILE = '[[models.mine.files]]\npath = "m.onnx"\nurl = "https://models.test/m.onnx"\n'


def test_a_file_of_the_user_adds_and_replaces(tmp_path: Path) -> None:
    path = own(
        tmp_path,
        '[groups.house]\nlicense = "ours"\ngives = "masks"\n'
        f'[models.mine]\ngroup = "house"\ngives = "boxes"\n{FILE}'
        + FILE.replace("mine", "instance-segmentation-security-0002"),
    )
    models = read_registry([path])
    assert (models["mine"].license, models["mine"].gives) == ("ours", "boxes")
    assert models["mine"].size is None
    assert models["instance-segmentation-security-0002"].files == models["mine"].files
    assert set(read_registry()) | {"mine"} == set(models)


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    assert read_registry([own(tmp_path, "")]) == read_registry()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("models = 3", "'models' must hold tables"),
        ("[[models", "own.toml: "),
        ("[model.a]", "the file has the key 'model'"),
        ("[models.a]", "no files"),
        ("[models.mine]\nlicence = 'x'\n" + FILE, "the key 'licence', which is not known"),
        ("[models.mine]\ngroup = 'x'\n" + FILE, "group 'x', which is not there"),
        ("[models.mine]\nconvert = 'x'\n" + FILE, "'convert' that is no list"),
        ("[models.mine]\nabout = 3\n" + FILE, "'about' that is no text"),
        (FILE + "size = '5'", "the size '5'"),
        (FILE + "size = 0", "the size 0"),
        (FILE + "digest = 'sha1:00112233'", "the digest 'sha1:00112233'"),
        (FILE + "digest = 'sha256:XY'", "hexadecimal"),
        (FILE + "sha256 = '00'", "the key 'sha256'"),
        (FILE.replace("m.onnx", "../m.onnx", 1), "no relative path"),
        (FILE.replace("m.onnx", "/m.onnx", 1), "no relative path"),
        (FILE + "unpack_to = '..'", "no relative path"),
        (FILE.replace("https:", "ftp:"), "no http"),
        (FILE + FILE, "two files with the path 'm.onnx'"),
    ],
)
def test_what_is_refused(text: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=reason) as caught:
        read_registry([own(tmp_path, text)])
    assert "own.toml" in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        read_registry([tmp_path / "nothing.toml"])


def test_digests() -> None:
    assert Digest.parse("md5:" + "a" * 32).is_whole
    assert not Digest.parse("sha256:258fb6c6").is_whole
    assert str(Digest.parse("sha256:258fb6c6")) == "sha256:258fb6c6..."


def test_names_that_look_alike_are_named() -> None:
    with pytest.raises(SettingsError, match=r"did you mean .*security-1040"):
        entry_named("instance-segmentation-security-104", read_registry())


def test_the_user_s_own_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert registry_files(()) == ()
    (tmp_path / "labelvino").mkdir()
    path = tmp_path / "labelvino" / "models.toml"
    path.write_text("")
    assert registry_files(()) == (path,)
    assert registry_files((Path("given.toml"),)) == (Path("given.toml"),)


def test_the_variable_names_files(tmp_path: Path) -> None:
    from converter.cli import cli

    path = own(tmp_path, f"[models.mine]\n{FILE}")
    shown = CliRunner().invoke(
        cli, ["fetch", "mine", "--show"], env={"LABELVINO_MODEL_REGISTRY": f"{path}:{path}"}
    )
    assert shown.exit_code == 0, shown.output
    assert "https://models.test/m.onnx" in shown.output


def test_the_documented_file(tmp_path: Path) -> None:
    page = Path(__file__).resolve().parents[3] / "docs" / "fetching.md"
    text = page.read_text().partition("```toml\n")[2].partition("```")[0]
    entry = read_registry([own(tmp_path, text)])["screws-v3"]
    assert (entry.license, entry.gives, entry.labels) == ("ours", "masks", "parts.txt")
    assert [file.unpack_to for file in entry.files] == [None, "extra"]
    assert entry.resize == "fit:1024x1024"
