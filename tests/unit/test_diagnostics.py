"""The doctor: what is found, what is missing, the remedy, and the exit code."""

import platform
from pathlib import Path

import pytest

from lookalike import diagnostics
from lookalike.cpu import instruction_sets
from lookalike.diagnostics import Check, diagnose, exit_code


def by_name(checks: list[Check]) -> dict[str, Check]:
    assert len({check.name for check in checks}) == len(checks)
    return {check.name: check for check in checks}


def test_this_machine_decodes_everything_and_lacks_only_weights(tmp_path: Path) -> None:
    checks = by_name(diagnose(tmp_path / "cache", tmp_path / "gallery"))
    assert {name for name in checks if name.startswith("decoder")} == {
        "decoder JPEG",
        "decoder WebP",
        "decoder AVIF",
        "decoder HEIC",
    }
    for name, check in checks.items():
        if name.startswith(("decoder", "engine", "python")):
            assert check.status == "ok", check
    assert checks["model vgg16"].status == "warn"
    assert "lookalike models pull vgg16" in checks["model vgg16"].remedy
    assert "disk (gallery)" in checks
    assert not (tmp_path / "cache").exists(), "looking changes nothing"


def test_damaged_weights_fail_with_a_remedy(tmp_path: Path) -> None:
    file = tmp_path / "models" / "vgg16" / "weights.npz"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"PK\x03\x04 half a file")
    check = by_name(diagnose(tmp_path))["model vgg16"]
    assert check.status == "fail"
    assert "pull vgg16 again" in check.remedy
    assert exit_code([check]) == 1


def test_a_decoder_that_gives_wrong_colours_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(diagnostics.TEST_IMAGES, "AVIF", diagnostics.TEST_IMAGES["AVIF"][:200])
    check = by_name(diagnose(tmp_path))["decoder AVIF"]
    assert check.status == "fail"
    assert "reinstall" in check.remedy


def test_engines_named_by_url_are_asked_last(tmp_path: Path) -> None:
    down = Check("engine milvus", "fail", "nobody answers", "start it")
    checks = diagnose(tmp_path, models=(), engines=[lambda: down])
    assert checks[-1] == down
    assert exit_code(checks) == 1


def test_warnings_are_no_failure() -> None:
    assert exit_code([Check("a", "ok", ""), Check("b", "warn", "")]) == 0
    assert exit_code([]) == 0


def test_a_full_disk_or_little_memory_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnostics, "MIN_DISK", 1 << 62)
    monkeypatch.setattr(diagnostics, "MIN_MEMORY", 1 << 62)
    checks = by_name(diagnose(tmp_path, models=()))
    assert checks["disk (cache)"].status == checks["memory"].status == "fail"
    assert all(checks[name].remedy for name in ("disk (cache)", "memory"))


def test_the_processor_is_asked_for_avx2() -> None:
    flags = instruction_sets()
    assert flags, "every processor has some instruction sets to name"
    status = by_name(diagnose(Path("/"), models=()))["processor"].status
    arm = platform.machine().lower() in ("arm64", "aarch64")
    assert status == ("ok" if "avx2" in flags or arm else "warn")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"avx2", "avx512bf16", "avx512vnni"}, "bf16, VNNI (int8)"),
        ({"avx2", "avxvnni"}, "VNNI (int8)"),
        ({"amxbf16", "amxtile"}, "bf16, AMX"),
        ({"sse2"}, "none: networks run in fp32"),
    ],
)
def test_low_precision_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flags: set[str], words: str) -> None:
    monkeypatch.setattr(diagnostics, "instruction_sets", lambda: frozenset(flags))
    checks = by_name(diagnose(tmp_path, models=()))
    assert checks["low precision"].found.startswith(words)
    assert checks["processor"].status == ("ok" if "avx2" in flags or "arm" in platform.machine() else "warn")
