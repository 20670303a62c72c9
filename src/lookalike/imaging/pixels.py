"""PIL images and numpy arrays as image files, so that they take the same way as files do."""

import io

import numpy as np

from lookalike.errors import ImageRejected

LOSSLESS_MODES = frozenset(("1", "L", "LA", "P", "RGB", "RGBA", "I;16"))
"""Modes of Pillow that PNG stores without loss."""
CONVERTED_MODES = dict.fromkeys(("CMYK", "YCbCr", "LAB", "HSV", "RGBX"), "RGB") | {
    "La": "LA",
    "RGBa": "RGBA",
    "PA": "RGBA",
}
"""Modes of eight bits that PNG has not, and what they are converted to."""
CHANNELS = {np.dtype(np.uint8): (1, 2, 3, 4), np.dtype(np.uint16): (1,), np.dtype(np.bool_): (1,)}
"""Channels of arrays that are read, by dtype: grey, grey and alpha, RGB, RGBA."""


def encode_pixels(image: object) -> bytes:
    """Return an image as a PNG with the same pixels, upright as its EXIF orientation says.

    Args:
        image: A `PIL.Image.Image`, or an array: of uint8, (height, width) or (height, width, channels) with 1 to 4
            channels (grey, grey and alpha, RGB, RGBA); of uint16 or bool, with one.

    Raises:
        TypeError: It is neither.
        ImageRejected: The array has another shape or dtype, the image a mode that is neither of eight bits nor of
            sixteen, or its file cannot be read.
    """
    from PIL import Image, ImageOps  # noqa: PLC0415 - the client imports this module, and Pillow only for such images

    if isinstance(image, np.ndarray):
        _check_array(image)
        single = image.ndim == 3 and image.shape[2] == 1
        image = Image.fromarray(np.ascontiguousarray(image[..., 0] if single else image))
    if not isinstance(image, Image.Image):
        raise TypeError(
            f"an image is a path, bytes, a PIL image, a numpy array or a StoredImage, not {type(image).__name__}"
        )
    try:
        upright = ImageOps.exif_transpose(image)
        if upright.mode in CONVERTED_MODES:
            upright = upright.convert(CONVERTED_MODES[upright.mode])
        if upright.mode not in LOSSLESS_MODES:
            raise ImageRejected("unsupported", f"a PIL image of mode {upright.mode} is not read; convert it to RGB")
        file = io.BytesIO()
        upright.save(file, "PNG", compress_level=1)
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageRejected("damaged", f"the PIL image cannot be read: {error}") from error
    return file.getvalue()


def _check_array(array: np.ndarray) -> None:
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in CHANNELS.get(array.dtype, ()) or array.size == 0:
        remedy = "; where its values are 0 to 1, give (255 * array).astype('uint8')" if array.dtype.kind == "f" else ""
        raise ImageRejected(
            "unsupported",
            "an array is uint8 of shape (height, width), (height, width, 3) or (height, width, 4), not "
            f"{array.dtype} of shape {array.shape}{remedy}",
        )
