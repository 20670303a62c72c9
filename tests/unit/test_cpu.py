"""What is told of the processor, and the precision that networks run in by it."""

from pathlib import Path

import pytest

from lookalike import cpu
from lookalike.encoders import openvino_runtime

INTEL, AMD = "GenuineIntel", "AuthenticAMD"


@pytest.fixture(autouse=True)
def forget() -> None:
    """What was read of this processor before."""
    cpu.instruction_sets.cache_clear()
    cpu.is_amd.cache_clear()


def pretend(monkeypatch: pytest.MonkeyPatch, folder: Path, vendor: str, flags: str) -> None:
    """Have /proc/cpuinfo say something else."""
    core = f"processor\t: 0\nvendor_id\t: {vendor}\nflags\t\t: {flags}\n\n"
    (folder / "cpuinfo").write_text(core + core.replace(flags, "of_the_second_core"))
    monkeypatch.setattr(cpu, "_LINUX", folder / "cpuinfo")


def test_instruction_sets_are_those_of_the_first_core(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend(monkeypatch, tmp_path, INTEL, "fpu avx2 avx512_bf16")
    assert cpu.instruction_sets() == {"fpu", "avx2", "avx512bf16"}


@pytest.mark.parametrize(
    ("vendor", "flags", "precision"),
    [
        (AMD, "avx2 avx512f avx512_bf16", "bf16"),
        (INTEL, "avx2 avx512f avx512_bf16 amx_bf16 amx_tile", "bf16"),
        (INTEL, "avx2 avx512f avx512_bf16", "fp32"),  # Emerald Rapids whose hypervisor hides AMX
        (AMD, "avx2", "fp32"),
    ],
)
def test_networks_run_in_bf16_where_it_is_faster(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, vendor: str, flags: str, precision: str
) -> None:
    pretend(monkeypatch, tmp_path, vendor, flags)
    monkeypatch.setattr(openvino_runtime, "has_bf16", lambda: "bf16" in flags)
    assert openvino_runtime.choose_precision("auto", bf16_agrees=True) == precision
    assert openvino_runtime.choose_precision("auto", bf16_agrees=False) == "fp32"
