"""Temporary."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from lookalike.types import Box, Pixels, Transform, Verification

SIDE = 512


@dataclass(frozen=True)
class Side:
    luma: np.ndarray
    width: int
    height: int


def side_of(pixels: Pixels, width: int, height: int) -> Side:
    image = (
        Image.fromarray(pixels)
        .convert("L")
        .resize((160, 160), Image.Resampling.BOX)
        .filter(ImageFilter.GaussianBlur(1.2))
    )
    return Side(np.asarray(image, np.float32), width, height)


def _box(x: np.ndarray) -> np.ndarray:
    c = np.pad(x, 6)[:, :].cumsum(0).cumsum(1)
    c = np.pad(c, ((1, 0), (1, 0)))
    s = c[11:, 11:] - c[:-11, 11:] - c[11:, :-11] + c[:-11, :-11]
    return s[1:161, 1:161] / 121


class Verifier:
    def verify(self, query: Side, stored: Side) -> Verification:
        best = None
        for t in range(8):
            q = np.rot90(query.luma, t % 4)
            if t > 3:
                q = q[:, ::-1]
            a, b = q.astype(np.float64), stored.luma.astype(np.float64)
            ma, mb = _box(a), _box(b)
            va, vb = _box(a * a) - ma * ma, _box(b * b) - mb * mb
            cov = _box(a * b) - ma * mb
            r = cov / np.sqrt((va + 4) * (vb + 4))
            tex = np.maximum(va, vb) > 25
            if tex.sum() < 60:
                continue
            share = float((r[tex] > 0.7).mean())
            if best is None or share > best[0]:
                best = share, t, float(tex.mean())
        whole = Box(0, 0, 1, 1)
        if best is None:
            return Verification(None, 0, 0, None, (), "whole", 0.0)
        tr = Transform(((1, 0, 0), (0, 1, 0), (0, 0, 1)), best[1] > 3, 0.0, query.width / stored.width, whole, whole)
        return Verification(best[0], 1.0, 1.0, tr, (), "whole", best[2])


def label(v: Verification) -> tuple[str, float]:
    if v.agreement is None or v.agreement < 0.6:
        return "similar", 0.0
    return ("copy", 1.0) if v.agreement > 0.8 else ("variant", 0.5)
