"""What a network's files say of it is what loading it says."""

from pathlib import Path

import pytest

from lookalike.encoders import encoder_spec, load_encoder, model_entries
from lookalike.encoders.vgg16_copy import HEAD_FILE
from lookalike.errors import NotFound
from tests.unit.encoders.test_onnx import entry, network

BUILT_IN = [name for name, one in model_entries().items() if one.built_in]


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_features_of_an_encoder_are_known_without_loading_it(name: str, tmp_path: Path) -> None:
    assert encoder_spec(name, tmp_path) == load_encoder(name, tmp_path).spec


def test_exact_hashes_are_told_apart(tmp_path: Path) -> None:
    exact = encoder_spec("phash", tmp_path, exact_phash=True)
    assert exact == load_encoder("phash", tmp_path, exact_phash=True).spec
    assert exact != encoder_spec("phash", tmp_path)


def test_the_features_of_a_users_network_are_known_without_loading_it(tmp_path: Path) -> None:
    models = entry(tmp_path, network())
    known = encoder_spec("drawn", tmp_path, user_file=models)
    assert known is not None
    assert known == load_encoder("drawn", tmp_path, user_file=models).spec
    changed = entry(tmp_path, network(), scale=0.5)
    assert encoder_spec("drawn", tmp_path, user_file=changed) not in (None, known)


def test_what_the_files_do_not_say_is_left_to_loading(tmp_path: Path) -> None:
    assert encoder_spec("vgg16", tmp_path) is None  # not downloaded
    assert encoder_spec("vgg16-copy", tmp_path, precision="int8") is None  # its ranges were calibrated
    models = entry(tmp_path, network())
    assert encoder_spec("drawn", tmp_path, user_file=models, precision="bf16") is None  # the processor may lack it
    head = tmp_path / "models" / "own" / "head.npz"
    head.parent.mkdir(parents=True)
    head.write_bytes(HEAD_FILE.read_bytes()[:1000])
    assert encoder_spec("own", tmp_path) is None  # loading says what is wrong with it


def test_an_unknown_name_is_an_error_and_a_missing_file_is_left_to_loading(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nothing"):
        encoder_spec("nothing", tmp_path)
    models = entry(tmp_path, network())
    (tmp_path / "net.onnx").unlink()
    assert encoder_spec("drawn", tmp_path, user_file=models) is None
