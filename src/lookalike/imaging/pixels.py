"""PIL images and numpy arrays as image files, so that they take the same way as files do."""

import io

import numpy as np

from lookalike.errors import ImageRejected

LOSSLESS_MODES = frozenset(("1", "L", "LA", "P", "RGB", "RGBA", "I;16"))
"""Modes of Pillow that PNG stores without loss."""
CONVERTED_MODES = frozenset(("CMYK", "YCbCr", "LAB", "HSV", "La", "RGBa", "PA", "RGBX"))
"""Modes of eight bits that PNG has not; converted to RGBA or RGB."""


def encode_pixels(image: object) -> bytes:
    """Return an image as a PNG with the same pixels, upright as its EXIF orientation says.

    Args:
        image: A `PIL.Image.Image`, or an array of uint8: (height, width), or (height, width, 3 or 4) for RGB and RGBA.

    Raises:
        TypeError: It is neither.
        ImageRejected: The array has another shape or dtype, the image a mode that is not of eight bits, or its file
            cannot be read.
    """
    from PIL import Image, ImageOps  # noqa: PLC0415 - the client imports this module, and Pillow only for such images

    if isinstance(image, np.ndarray):
        _check_array(image)
        image = Image.fromarray(np.ascontiguousarray(image))
    if not isinstance(image, Image.Image):
        raise TypeError(
            f"an image is a path, bytes, a PIL image, a numpy array or a StoredImage, not {type(image).__name__}"
        )
    try:
        upright = ImageOps.exif_transpose(image)
        if upright.mode in CONVERTED_MODES:
            upright = upright.convert("RGBA" if upright.mode in ("La", "RGBa", "PA") else "RGB")
        if upright.mode not in LOSSLESS_MODES:
            raise ImageRejected("unsupported", f"a PIL image of mode {upright.mode} is not read; convert it to RGB")
        file = io.BytesIO()
        upright.save(file, "PNG", compress_level=1)
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageRejected("damaged", f"the PIL image cannot be read: {error}") from error
    return file.getvalue()


def _check_array(array: np.ndarray) -> None:
    shaped = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if array.dtype != np.uint8 or not shaped or array.size == 0:
        raise ImageRejected(
            "unsupported",
            f"an array is uint8 of shape (height, width), (height, width, 3) or (height, width, 4), not {array.dtype} "
            f"of shape {array.shape}",
        )
