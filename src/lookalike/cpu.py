"""The processor: cores that this process may use, instruction sets, and what they are good for."""

import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from pathlib import Path

_LINUX = Path("/proc/cpuinfo")


def usable_cores() -> int:
    """Return the number of cores that this process may use (its CPU affinity, where the system has one)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def instruction_sets() -> frozenset[str]:
    """Return the names of instruction sets as in Linux, in lower case without "_" (avx2, avx512bf16, asimd).

    From /proc/cpuinfo on Linux and from sysctl on macOS; elsewhere from NumPy, which knows fewer.
    """
    if _LINUX.is_file():
        return _normalized(_of_first_core(r"flags|Features").split())
    if sys.platform == "darwin":
        names = ("machdep.cpu.features", "machdep.cpu.leaf7_features", "hw.optional")
        output = subprocess.run(["sysctl", *names], capture_output=True, text=True, check=False).stdout
        optional = re.findall(r"^hw\.optional\.(?:arm\.FEAT_)?(\w+): 1$", output, re.MULTILINE)
        return _normalized([*re.sub(r"^hw\..*$|^[\w.]+:", "", output, flags=re.MULTILINE).split(), *optional])
    known: dict[str, bool] = import_module("numpy._core._multiarray_umath").__cpu_features__
    return _normalized(name for name, supported in known.items() if supported)


@cache
def is_amd() -> bool:
    """Whether AMD made the processor."""
    vendor = _of_first_core("vendor_id") if _LINUX.is_file() else platform.processor()
    return "AuthenticAMD" in vendor


def is_bf16_faster_than_fp32() -> bool:
    """Whether networks are faster in bfloat16 than in fp32, on a processor that has it.

    With AMX they are. AVX512_BF16 multiplies twice as many pairs an instruction as AVX-512 does in fp32. AMD's Zen 4
    starts as many instructions of either kind, and gains (VGG16: 2.0 to 2.2 times); Intel's Emerald Rapids with AMX
    hidden by the hypervisor loses (0.6 times; docs/numbers.md).
    """
    return "amxbf16" in instruction_sets() or is_amd()


def _of_first_core(field: str) -> str:
    """What /proc/cpuinfo says in a field of the first core; "" for nothing."""
    with _LINUX.open(encoding="utf-8") as lines:
        for line in lines:
            if match := re.match(rf"(?:{field})\s*:(.*)$", line):
                return match[1]
    return ""


def _normalized(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.lower().replace("_", "").replace(".", "") for name in names)
