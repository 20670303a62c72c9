"""Training a head: on files of any quality, continued after an interruption, and a model like any other afterwards."""

from pathlib import Path

import numpy as np
import pytest

from lookalike import head_training
from lookalike.encoders import is_pulled, load_encoder, model_entries
from lookalike.errors import BadSetting
from lookalike.evaluation.edits import apply
from lookalike.head_training import collect, edited_copies, spread, train_head
from lookalike.imaging import prepare
from tests.support.command import lookalike
from tests.support.drawn_images import drawn, encoded

COUNT = 10


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """As few images as there are drawn ones, in blocks of four, with two copies of each."""
    monkeypatch.setattr(head_training, "MIN_IMAGES", COUNT)
    monkeypatch.setattr(head_training, "BLOCK", 4)
    monkeypatch.setattr(head_training, "COPIES", 2)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Drawn images, a broken one and one that is missing."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(COUNT):
        (folder / f"{seed:02}.png").write_bytes(encoded(drawn(seed)))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff and no more")
    return [*sorted(folder.iterdir()), folder / "missing.png"]


class Interrupted(Exception):
    """As by Ctrl-C."""


def test_an_interrupted_run_continues_and_gives_the_same_head(few: None, files: list[Path], tmp_path: Path) -> None:
    done: list[int] = []

    def interrupt() -> None:
        done.append(1)
        if len(done) == 8:
            raise Interrupted

    with pytest.raises(Interrupted):
        train_head("mine", files, tmp_path / "a", progress=interrupt)
    assert "mine" not in model_entries(cache=tmp_path / "a")
    second = train_head("mine", files, tmp_path / "a")
    assert (second.images, second.rejected, second.restored) == (COUNT, 2, 8)
    whole = train_head("mine", files, tmp_path / "b")
    assert (whole.images, whole.rejected, whole.restored) == (COUNT, 2, 0)
    one, other = (load_encoder("mine", tmp_path / name) for name in "ab")
    assert one.spec == other.spec
    assert not (second.path.parent / head_training.TRAINING_FOLDER).exists()


def test_a_trained_head_is_a_model_that_galleries_use(few: None, files: list[Path], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    train_head("mine", files, cache)
    assert is_pulled("mine", cache)
    mine, built_in = (load_encoder(name, cache) for name in ("mine", "vgg16-copy"))
    assert mine.spec.fingerprint != built_in.spec.fingerprint
    assert mine.input == built_in.input
    copy = prepare(apply("jpeg40", drawn(3)), [mine.input]).inputs[0]
    stored = mine.encode(np.stack([prepare(file.read_bytes(), [mine.input]).inputs[0] for file in files[:COUNT]]))
    assert int((stored.features @ mine.encode(copy[None]).features[0]).argmax()) == 3
    with pytest.raises(BadSetting, match="already"):
        train_head("mine", files, cache)
    with pytest.raises(BadSetting, match="already"):
        train_head("phash", files, cache)
    with pytest.raises(BadSetting, match="not a valid model name"):
        train_head("../mine", files, cache)


def test_too_few_images_say_how_many_there_were(files: list[Path], tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match=f"at least 100 images; of {COUNT + 2} files {COUNT} could be read"):
        train_head("mine", files, tmp_path / "cache")


def test_copies_are_the_same_for_the_same_seed_and_differ_otherwise() -> None:
    data = encoded(drawn(1, (1400, 300)))
    first, again, other = (list(edited_copies(data, seed)) for seed in ("0a" * 32, "0a" * 32, "0b" * 32))
    assert first == again
    assert first != other
    assert len(first) == head_training.COPIES


def test_files_are_spread_over_the_whole_list() -> None:
    files = [Path(f"{n}.png") for n in range(1000)]
    chosen = spread([*files, *files], 10)
    assert (len(chosen), chosen[0], chosen[-1]) == (10, files[0], files[-1])
    assert spread(files[:5], 10) == files[:5]


def test_bytes_are_sources_too(tmp_path: Path) -> None:
    spec = model_entries()["vgg16-copy"].input_spec
    encode = lambda pixels: np.ones((len(pixels), head_training.DESCRIPTOR_WIDTH), np.float32)  # noqa: E731
    found = collect([encoded(drawn(1)), b"no image"], encode, spec, work=tmp_path, weights="x")
    assert (found.originals.shape[0], found.differences.shape[0], found.rejected) == (1, head_training.COPIES, 1)


def test_the_command_trains_on_the_gallerys_files(
    few: None, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOKALIKE_CACHE", str(tmp_path / "cache"))
    gallery = tmp_path / "gallery"
    assert lookalike("init", "--pipelines", "phash", "-g", gallery).code == 0
    assert lookalike("add", files[0].parent, "-g", gallery).code == 1  # one is broken
    said = lookalike("train-head", "mine", "--images", "50", "-g", gallery, "--json")
    assert said.code == 0, said.err
    assert (said.line["images"], said.line["rejected"], said.line["name"]) == (COUNT, 0, "mine")
    made = lookalike("init", "--pipelines", "phash,mine", "-g", tmp_path / "second", "--json")
    assert made.line["pipelines"] == ["phash", "mine"]
    assert next(line for line in lookalike("models", "list", "--json").lines if line["name"] == "mine")["pulled"]
    ran = lookalike("train-head", "mine", files[0].parent, "--images", "20")
    assert (ran.code, "there is a model 'mine' already" in ran.err) == (2, True)
    refused = lookalike("train-head", "third", files[0].parent, "--images", "3")
    assert (refused.code, f"--images must be {COUNT} or more" in refused.err) == (2, True)
