"""EXIF fields of every container, and of damaged data."""

import random
from typing import Any

import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from lookalike.imaging import prepare
from lookalike.imaging.exif import exif_fields, orientation
from lookalike.types import CAPTURE_SETTINGS, Capture
from tests.support.drawn_images import drawn, encoded

FULL = {
    "captured": "2019-07-14T09:30:05",
    "camera": "Canon EOS 6D",
    "orientation": 6,
    "latitude": 47.5034278,
    "longitude": -8.25,
}


def exif(**changes: Any) -> Image.Exif:
    """EXIF data as cameras write them; a change to None leaves a field out."""
    values = {
        "make": "Canon",
        "model": "Canon EOS 6D",
        "orientation": 6,
        "date": "2019:07:14 12:00:00",
        "original": "2019:07:14 09:30:05",
        "latitude": (47, 30, 12.34),
        "north": "N",
        "longitude": (8, 15, 0),
        "east": "W",
    } | changes
    made = Image.Exif()
    for tag, name in ((271, "make"), (272, "model"), (274, "orientation"), (306, "date")):
        if values[name] is not None:
            made[tag] = values[name]
    if values["original"] is not None:
        made.get_ifd(0x8769)[0x9003] = values["original"]
    gps = made.get_ifd(0x8825)
    for tag, name in ((1, "north"), (3, "east")):
        gps[tag] = values[name]
    for tag, name in ((2, "latitude"), (4, "longitude")):
        if values[name] is not None:
            gps[tag] = tuple(IFDRational(round(part * 100), 100) for part in values[name])
    return made


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "HEIF", "TIFF"])
def test_every_container_brings_its_fields(kind: str) -> None:
    data = encoded(drawn(1), kind, exif=exif() if kind == "TIFF" else exif().tobytes())
    expected = FULL | ({"orientation": 1} if kind == "HEIF" else {})  # its reader turns the image, and says so
    found = dict(prepare(data, ()).exif)
    if kind == "TIFF":  # Pillow writes the first directory only
        assert found == {"captured": "2019-07-14T12:00:00", "camera": "Canon EOS 6D", "orientation": 6}
        return
    assert (found.pop("captured"), found.pop("camera")) == (expected.pop("captured"), expected.pop("camera"))
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("changes", "field", "expected"),
    [
        ({"original": None}, "captured", "2019-07-14T12:00:00"),
        ({"original": "0000:00:00 00:00:00", "date": None}, "captured", None),
        ({"original": "2019:02:30 09:30:05"}, "captured", "2019-07-14T12:00:00"),
        ({"original": "unknown", "date": "    "}, "captured", None),
        ({"model": "DMC-LX100", "make": "Panasonic"}, "camera", "Panasonic DMC-LX100"),
        ({"model": "NIKON D750", "make": "NIKON CORPORATION"}, "camera", "NIKON D750"),
        ({"make": None}, "camera", "Canon EOS 6D"),
        ({"make": None, "model": None}, "camera", None),
        ({"orientation": 9}, "orientation", None),
        ({"latitude": (91, 0, 0)}, "latitude", None),
        ({"longitude": None}, "latitude", None),
        ({"north": "S"}, "latitude", -47.5034278),
        ({"east": "E"}, "longitude", 8.25),
    ],
)
def test_what_makes_no_sense_is_left_out(changes: dict[str, Any], field: str, expected: Any) -> None:
    found = exif_fields(exif(**changes).tobytes()).get(field)
    assert found == (pytest.approx(expected) if isinstance(expected, float) else expected)


def test_big_endian_data_are_read() -> None:
    made = Image.Exif()
    made.endian = ">"
    made[272] = "Leica M10"
    made[274] = 3
    assert exif_fields(made.tobytes()) == {"camera": "Leica M10", "orientation": 3}
    assert orientation(made.tobytes()) is Image.Transpose.ROTATE_180


def captured(time: str | None, **tags: Any) -> Image.Exif:
    """EXIF data with the tags of a capture, by name."""
    made = exif(original=time)
    below = made.get_ifd(0x8769)
    for tag, name in ((0x9291, "fraction"), (0x829A, "exposure"), (0x829D, "f_number"), (0x8827, "iso")):
        if name in tags:
            below[tag] = tags[name]
    return made


TIME = "2019:07:14 09:30:05"


def test_the_settings_of_a_capture_are_read() -> None:
    tags = {"fraction": "25", "exposure": IFDRational(1, 60), "f_number": IFDRational(28, 10), "iso": 400}
    found = exif_fields(captured(TIME, **tags).tobytes())
    assert (found["captured"], found["subsecond"], found["f_number"], found["iso"]) == (
        "2019-07-14T09:30:05",
        0.25,
        2.8,
        400,
    )
    assert found["exposure"] == pytest.approx(1 / 60, abs=1e-6)
    assert Capture.of(found) == Capture("2019-07-14T09:30:05", 0.25, round(1 / 60, 7), 2.8, 400)
    unknown = {"fraction": "  ", "exposure": IFDRational(0, 1), "f_number": IFDRational(1, 0), "iso": 0}
    found = exif_fields(captured(TIME, **unknown).tobytes())
    assert not {"subsecond", "exposure", "f_number", "iso"} & found.keys()
    assert Capture.of(found) is None


@pytest.mark.parametrize("time", [None, "0000:00:00 00:00:00", "    :  :     :  :  "])
def test_the_time_of_an_edit_is_no_capture(time: str | None) -> None:
    found = exif_fields(captured(time, exposure=IFDRational(1, 60)).tobytes())
    assert found["captured"] == "2019-07-14T12:00:00"
    assert Capture.of(found) is None
    assert Capture.of({}) is None


@pytest.mark.parametrize(
    ("changes", "separate"),
    [
        ({}, False),
        ({"captured": "2019-07-14T09:30:06"}, True),
        ({"subsecond": 0.5}, True),
        ({"subsecond": 0.25}, False),
        ({"exposure": 1 / 125}, True),
        ({"exposure": 0.017}, False),
        ({"f_number": 8.0}, True),
        ({"iso": 800}, True),
        ({"subsecond": None, "exposure": None, "f_number": None, "iso": None}, False),
    ],
)
def test_captures_differ_in_what_both_tell(changes: dict[str, Any], separate: bool) -> None:
    whole = {"captured": "2019-07-14T09:30:05", "subsecond": 0.253, "exposure": 1 / 60, "f_number": 2.8, "iso": 400}
    first, second = Capture(**whole), Capture(**whole | changes)
    assert first.differs_from(second) == second.differs_from(first) == separate


def test_no_data_have_no_fields() -> None:
    for data in (None, b"", b"Exif\0\0", b"II*\0", b"II*\0\xff\xff\xff\xff" + bytes(40), b"nothing of the kind at all"):
        assert exif_fields(data) == {}
        assert orientation(data) is None


def test_damaged_data_never_fail() -> None:
    whole = exif().tobytes()
    rng = random.Random(3)
    for _ in range(3000):
        data = bytearray(whole)
        for _at in range(rng.choice((1, 2, 8))):
            data[rng.randrange(6, len(data))] = rng.randrange(256)
        for field, value in exif_fields(bytes(data[: rng.randrange(10, len(data))])).items():
            assert field in {*FULL, *CAPTURE_SETTINGS}
            assert not isinstance(value, bool)
        exif_fields(bytes(data))
        orientation(bytes(data))
