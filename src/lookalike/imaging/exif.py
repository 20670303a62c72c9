"""EXIF data of an image: its orientation, and when, where and with what it was taken (CIPA DC-008, EXIF 2.32)."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from PIL import Image

from lookalike.imaging.tiff import Tiff, Value
from lookalike.types import ExifFields

_HEADER: Final = b"Exif\0\0"
_MAKE, _MODEL, _ORIENTATION, _DATE, _EXIF, _GPS = 0x010F, 0x0110, 0x0112, 0x0132, 0x8769, 0x8825
_FIRST: Final = frozenset({_MAKE, _MODEL, _ORIENTATION, _DATE, _EXIF, _GPS})
_CAPTURED, _DIGITIZED = 0x9003, 0x9004
_EXPOSURE, _F_NUMBER, _ISO, _FRACTION = 0x829A, 0x829D, 0x8827, 0x9291
_CAPTURE_TAGS: Final = frozenset({_CAPTURED, _DIGITIZED, _EXPOSURE, _F_NUMBER, _ISO, _FRACTION})
_GPS_TAGS: Final = frozenset({1, 2, 3, 4})
_DATE_FORMAT: Final = re.compile(r"(\d{4})[:\-/](\d\d)[:\-/](\d\d)[ T](\d\d):(\d\d):(\d\d)")
MAX_CAMERA_LENGTH: Final = 100
TRANSPOSITIONS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS: Final = frozenset(
    {Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_270, Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_90}
)
"""Transpositions that swap width and height."""


def orientation(exif: bytes | None) -> Image.Transpose | None:
    """The transposition that EXIF data ask for; None where they are missing or damaged."""
    if (tiff := _tiff(exif)) is None:
        return None
    return TRANSPOSITIONS.get(_number(tiff.fields(tiff.first_directory(), (_ORIENTATION,)).get(_ORIENTATION)) or 1)


def exif_fields(exif: bytes | None) -> ExifFields:
    """The fields that are stored with an image; without those that are missing or make no sense.

    `captured` is local time at the camera, `2019-07-14T09:30:00`, for EXIF seldom knows the time zone, or where that is
    unknown the time of an edit; `camera` is make and model; `orientation` is 1 to 8; `latitude` and `longitude` are
    degrees, north and east positive. Where the time of the capture is known: `subsecond` is what followed its second
    (0..1), `exposure` in seconds, `f_number` the aperture, `iso` the sensitivity.
    """
    if (tiff := _tiff(exif)) is None:
        return {}
    found = tiff.fields(tiff.first_directory(), _FIRST)
    fields: dict[str, str | int | float] = {}
    taken = tiff.fields(below, _CAPTURE_TAGS) if (below := _number(found.get(_EXIF))) else {}
    if (captured := _date(_text(taken.get(_CAPTURED)))) is not None:
        fields |= {"captured": captured, **_settings(taken)}
    elif edited := _date(_text(taken.get(_DIGITIZED))) or _date(_text(found.get(_DATE))):
        fields["captured"] = edited
    if camera := _camera(_text(found.get(_MAKE)), _text(found.get(_MODEL))):
        fields["camera"] = camera
    if 1 <= (turned := _number(found.get(_ORIENTATION)) or 0) <= 8:
        fields["orientation"] = turned
    if gps := _number(found.get(_GPS)):
        fields.update(_position(tiff.fields(gps, _GPS_TAGS)))
    return fields


def _settings(below: Mapping[int, Value]) -> dict[str, int | float]:
    """How an image was captured; without what is not known, for which cameras write 0."""
    digits = _text(below.get(_FRACTION))
    found = {
        "subsecond": float(f"0.{digits[:6]}") if digits.isascii() and digits.isdigit() else None,
        "exposure": _ratio(below.get(_EXPOSURE)) or None,
        "f_number": _ratio(below.get(_F_NUMBER)) or None,
        "iso": _number(below.get(_ISO)) or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _tiff(exif: bytes | None) -> Tiff | None:
    if not exif:
        return None
    data = exif.removeprefix(_HEADER)
    return Tiff.of(data) if data[:2] in (b"II", b"MM") and len(data) > 8 else None


def _number(value: Value | None) -> int | None:
    return int(value[0]) if isinstance(value, tuple) and value else None


def _ratio(value: Value | None) -> float | None:
    return round(value[0] / value[1], 7) if isinstance(value, tuple) and len(value) == 2 and value[1] else None


def _text(value: Value | None) -> str:
    if not isinstance(value, bytes):
        return ""
    text = value.partition(b"\0")[0].decode("utf-8", errors="replace")
    if not text.isprintable():
        text = "".join(character for character in text if character.isprintable())
    return text.strip()


def _date(text: str) -> str | None:
    match = _DATE_FORMAT.match(text)
    if match is None:
        return None
    try:
        return datetime(*(int(part) for part in match.groups())).isoformat()  # type: ignore[arg-type]
    except ValueError:
        return None  # 0000:00:00 00:00:00 stands for an unknown time


def _camera(make: str, model: str) -> str:
    """Make and model; models often begin with the make already."""
    begins = make and model.lower().startswith(make.split()[0].lower())
    return (model if begins else f"{make} {model}".strip())[:MAX_CAMERA_LENGTH]


def _position(gps: dict[int, Value]) -> dict[str, float]:
    latitude, longitude = _degrees(gps.get(2), gps.get(1), b"S"), _degrees(gps.get(4), gps.get(3), b"W")
    if latitude is None or longitude is None or abs(latitude) > 90 or abs(longitude) > 180:
        return {}
    return {"latitude": latitude, "longitude": longitude}


def _degrees(value: Value | None, reference: Value | None, negative: bytes) -> float | None:
    """Degrees of degrees, minutes and seconds, each a rational."""
    if not isinstance(value, tuple) or len(value) != 6 or not value[1]:
        return None
    parts = [value[i] / value[i + 1] if value[i + 1] else 0.0 for i in (0, 2, 4)]
    degrees = round(parts[0] + parts[1] / 60 + parts[2] / 3600, 7)
    return -degrees if isinstance(reference, bytes) and reference[:1] == negative else degrees
