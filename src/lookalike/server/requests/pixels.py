"""The size of an image, read from its header before anything is decoded."""

from io import BytesIO

from lookalike.errors import ImageRejected
from lookalike.imaging import formats


def check_pixels(data: bytes, most: int) -> None:
    """Refuse an image of more than `most` pixels, by its header alone.

    What cannot be read here is left to the decoder, which says more about it.
    """
    try:
        width, height = formats.READERS[formats.identify(data)](BytesIO(data)).size
    except Exception:  # noqa: BLE001 - damaged files bring all kinds of them out of the readers
        return
    if width * height > most:
        raise ImageRejected(
            "too_many_pixels", f"The image has {width:,} x {height:,} pixels; with this key {most:,} is the most."
        )
