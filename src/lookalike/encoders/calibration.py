"""Distance calibration by encoder: measured tables, and a conservative default for other encoders."""

import tomllib
from functools import cache
from importlib import resources
from pathlib import Path

from lookalike.encoders.model_config import model_entries
from lookalike.pipeline import Calibration

UNMEASURED_ANCHORS = ((0.0, -9.0), (1.0, 0.0))
"""For an encoder without a measured table: a straight line, which preserves the order only."""
DEFAULT_THRESHOLD = 0.05
"""The copy threshold of such an encoder, unless its entry defines one."""


@cache
def _measured() -> dict[str, Calibration]:
    text = resources.files("lookalike.encoders").joinpath("calibration.toml").read_text()
    return {
        name: Calibration(tuple((float(d), float(r)) for d, r in table["anchors"]), float(table["threshold"]))
        for name, table in tomllib.loads(text).items()
    }


def calibration_of(name: str, user_file: Path | None = None) -> Calibration:
    """The calibration of an encoder: as measured (see docs/numbers.md), else from its entry's threshold.

    Raises BadSetting for a threshold outside 0..1.
    """
    if name in _measured():
        return _measured()[name]
    entry = model_entries(user_file).get(name)
    threshold = getattr(entry, "threshold", None)
    return Calibration(UNMEASURED_ANCHORS, DEFAULT_THRESHOLD if threshold is None else threshold)
