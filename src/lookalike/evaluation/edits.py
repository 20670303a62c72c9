"""Edited copies of images, for measuring searches: what people do to images before they share them.

    copy = apply("watermark", image, seed=7)      # the bytes of a file

A copy is determined by the edit, the image, the seed and the other images: the same machine and version of Pillow
give the same bytes.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from PIL import Image

from lookalike.errors import BadSetting
from lookalike.evaluation import color, geometry, overlays, screenshots
from lookalike.evaluation.random_source import Change, RandomSource

Severity = Literal["light", "medium", "heavy"]
_TURN = Image.Transpose


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a copy is written: a format of Pillow's and its options; `passes` before it re-encode as JPEG each time."""

    format: str = "JPEG"
    options: Mapping[str, Any] = field(default_factory=lambda: {"quality": 90})
    passes: tuple[int, ...] = ()

    @property
    def suffix(self) -> str:
        """The usual file suffix, with its dot."""
        return {"JPEG": ".jpg", "TIFF": ".tif"}.get(self.format, f".{self.format.lower()}")


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit: `what` describes it, after "the image was"; `severity` is its visibility.

    light: hardly visible; medium: obvious, the content is intact; heavy: much is removed or added.
    """

    name: str
    what: str
    severity: Severity
    change: Change
    encoding: Encoding = Encoding()


def apply(name: str, image: Image.Image, seed: int = 0, *, others: Sequence[Image.Image] = ()) -> bytes:
    """An edited copy of an image, as the bytes of a file (JPEG at quality 90, unless the edit says otherwise).

    `image` may have any mode and size; it is not changed. `others` are used around a copy (collages,
    screens), so leave out the image itself; without them simple ones are drawn. Raises BadSetting for an
    unknown edit.
    """
    edit = find(name)
    changed = edit.change(image.convert("RGB"), RandomSource(f"{name} {seed}", others))
    for quality in edit.encoding.passes:
        changed = Image.open(io.BytesIO(_encoded(changed, "JPEG", {"quality": quality})))
    return _encoded(changed, edit.encoding.format, edit.encoding.options)


def find(name: str) -> Edit:
    """The edit of this name; raises BadSetting, which lists the known names."""
    try:
        return EDITS[name]
    except KeyError:
        raise BadSetting(f"Unknown edit {name!r}; known edits: {', '.join(EDITS)}.") from None


def _encoded(image: Image.Image, form: str, options: Mapping[str, Any]) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def _same(image: Image.Image, rng: RandomSource) -> Image.Image:
    return image


def _jpeg(quality: int, *passes: int) -> Encoding:
    return Encoding("JPEG", {"quality": quality}, passes)


_ALL: tuple[Edit, ...] = (
    # encodings: the same pixels, or nearly
    Edit("strip_metadata", "saved again without its metadata", "light", _same, _jpeg(95)),
    Edit("jpeg40", "compressed (JPEG quality 40)", "light", _same, _jpeg(40)),
    Edit("jpeg15", "compressed hard (JPEG quality 15)", "medium", _same, _jpeg(15)),
    Edit("double_jpeg", "compressed five times over", "light", _same, _jpeg(60, 75, 50, 80, 45)),
    Edit("png", "converted to PNG", "light", _same, Encoding("PNG", {})),
    Edit("webp", "converted to WebP", "light", _same, Encoding("WEBP", {"quality": 60})),
    Edit("avif", "converted to AVIF", "light", _same, Encoding("AVIF", {"quality": 50, "max_threads": 1})),
    Edit("gif", "converted to GIF (256 colours)", "medium", _same, Encoding("GIF", {})),
    # sizes and shapes
    Edit("scale_half", "scaled to half its size", "light", geometry.scale(1 / 2)),
    Edit("scale_quarter", "scaled to a quarter of its size", "medium", geometry.scale(1 / 4)),
    Edit("enlarge", "enlarged to twice its size", "light", geometry.scale(2)),
    Edit("squeeze", "squeezed to 80% of its width", "medium", geometry.scale(0.8, 1)),
    Edit("perspective", "photographed from the side", "heavy", geometry.perspective(0.18)),
    # frames
    Edit("letterbox", "given black bars above and below", "medium", geometry.bars(down=0.2)),
    Edit("pillarbox", "given black bars left and right", "medium", geometry.bars(across=0.2)),
    Edit("black_frame", "framed in black", "medium", geometry.frame(0.12)),
    Edit("white_frame", "framed in white", "medium", geometry.frame(0.12, geometry.WHITE)),
    Edit("colour_frame", "framed in a colour", "medium", geometry.frame(0.12, None)),
    Edit("blurred_sides", "made square with blurred sides", "heavy", geometry.blurred_sides),
    # rotations
    Edit("mirror", "mirrored", "medium", geometry.turn(_TURN.FLIP_LEFT_RIGHT)),
    Edit("flip", "turned upside down as in water", "medium", geometry.turn(_TURN.FLIP_TOP_BOTTOM)),
    Edit("rotate_90", "turned by 90 degrees", "medium", geometry.turn(_TURN.ROTATE_90)),
    Edit("rotate_180", "turned by 180 degrees", "medium", geometry.turn(_TURN.ROTATE_180)),
    Edit("rotate_270", "turned by 270 degrees", "medium", geometry.turn(_TURN.ROTATE_270)),
    Edit("rotate_5", "rotated by 5 degrees, with black corners", "medium", geometry.rotate(5, crop=False)),
    Edit("rotate_5_crop", "rotated by 5 degrees and cropped", "medium", geometry.rotate(5, crop=True)),
    Edit("rotate_15", "rotated by 15 degrees, with black corners", "heavy", geometry.rotate(15, crop=False)),
    # crops, by the share of the area that stays
    Edit("crop_90", "cropped to the middle 90% of its area", "light", geometry.crop(0.9)),
    Edit("crop_80", "cropped to the middle 80% of its area", "medium", geometry.crop(0.8)),
    Edit("crop_70", "cropped to the middle 70% of its area", "medium", geometry.crop(0.7)),
    Edit("crop_50", "cropped to the middle 50% of its area", "heavy", geometry.crop(0.5)),
    Edit("crop_50_sides", "cropped to half its width and height (25% of its area)", "heavy", geometry.crop(0.25)),
    Edit("crop_70_corner", "cropped to 70% of its area, in a corner", "heavy", geometry.crop(0.7, off_centre=True)),
    Edit("crop_square", "cropped to a square", "heavy", geometry.crop_to(1.0)),
    # light and colour
    Edit("grey", "made black and white", "medium", color.grey),
    Edit("sepia", "made sepia, like an old print", "medium", color.sepia),
    Edit("brighter", "brightened", "light", color.enhance("brightness", 1.4)),
    Edit("darker", "darkened", "light", color.enhance("brightness", 0.6)),
    Edit("contrast_up", "given more contrast", "light", color.enhance("contrast", 1.5)),
    Edit("contrast_down", "given less contrast", "light", color.enhance("contrast", 0.6)),
    Edit("saturated", "given strong colours", "light", color.enhance("color", 1.8)),
    Edit("gamma_up", "given lighter shadows (gamma 0.6)", "light", color.gamma(0.6)),
    Edit("gamma_down", "given deeper shadows (gamma 1.6)", "light", color.gamma(1.6)),
    Edit("warm_filter", "put through a warm, faded filter", "medium", color.warm),
    Edit("vignette", "darkened towards the corners", "light", color.vignette(0.8)),
    Edit("posterise", "reduced to a few colours", "medium", color.posterise),
    Edit("negative", "turned into a negative", "heavy", color.negative),
    # sharpness and noise
    Edit("blur", "blurred", "medium", color.blur(0.006)),
    Edit("sharpen", "sharpened strongly", "light", color.sharpen),
    Edit("noise", "given noise", "medium", color.noise(20)),
    Edit("pixelate", "pixelated", "heavy", color.pixelate(64)),
    # overlays
    Edit("watermark", "covered with a watermark", "medium", overlays.watermark),
    Edit("logo", "given a logo in a corner", "light", overlays.logo),
    Edit("text_overlay", "written on", "medium", overlays.text_overlay),
    Edit("meme", "made a meme, with text at top and bottom", "medium", overlays.meme),
    Edit("stickers", "covered with stickers", "medium", overlays.stickers),
    # surroundings
    Edit("caption", "given a caption above", "medium", overlays.caption(above=True)),
    Edit("caption_below", "given a caption below", "medium", overlays.caption(above=False)),
    Edit("screenshot", "captured from a phone's photo viewer", "heavy", screenshots.viewer),
    Edit("screenshot_post", "captured from a post in a feed", "heavy", screenshots.post),
    Edit("screenshot_window", "captured from a window on a desktop", "heavy", screenshots.window),
    Edit("collage", "put into a collage of four", "heavy", overlays.collage),
    Edit("pasted_50", "pasted into another image (50% of its area)", "heavy", overlays.pasted(0.5)),
    Edit("pasted_25", "pasted into another image (25% of its area)", "heavy", overlays.pasted(0.25)),
)

EDITS: dict[str, Edit] = {edit.name: edit for edit in _ALL}
"""Every edit by its name."""
