"""Rules: what they look at, their order, and how they are written."""

import io
import itertools
from pathlib import Path

import pytest
from PIL import ExifTags, Image, ImageChops

from lookalike.cleanup.files import ExifFacts, Folders, exif_facts, file_status
from lookalike.cleanup.rules import DEFAULT_RULES, Candidate, choose, parse_rules
from lookalike.errors import BadInput, NotFound
from lookalike.types import UNCUT, Border, Record
from tests.support.drawn_images import drawn, encoded

TAKEN = "2019:05:06 07:08:09"


def exif(taken: str | None = None, camera: str | None = None, orientation: int = 1) -> Image.Exif:
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = orientation
    if camera:
        tags[ExifTags.Base.Make] = camera
    if taken:
        tags.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = taken
    return tags


@pytest.fixture
def candidates(tmp_path: Path) -> "Candidates":
    return Candidates(tmp_path)


class Candidates:
    """Makes candidates of files, each another one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)

    def make(
        self,
        data: bytes | None = None,
        *,
        size: tuple[int, int] = (40, 30),
        format: str = "PNG",  # noqa: A002
        border: Border = UNCUT,
        below: str = "",
        created: float = 0.0,
        reference: str | None = None,
        pixels: bytes | None = None,
        truncated: bool = False,
    ) -> Candidate:
        number = next(self._numbers)
        path = self._folder / below / f"{number}.img"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encoded(drawn(number, size)) if data is None else data)
        status = file_status(str(path))
        assert status is not None
        digest = number.to_bytes(32)
        record = Record(
            id=number,
            tenant="default",
            key=str(number),
            path=str(path),
            sha256=digest,
            pixels=pixels,
            nbytes=status.nbytes,
            width=size[0],
            height=size[1],
            format=format,
            border=border,
            attributes={},
            created=created,
            updated=created,
            sequence=number,
            truncated=truncated,
        )
        return Candidate([(record, status)], reference)


def kept(candidates: list[Candidate], *rules: str) -> int:
    """The place of the candidate that is kept, whatever their order."""
    places = {choose(list(order), parse_rules(rules))[0] for order in itertools.permutations(candidates)}
    [one] = places
    return candidates.index(one)


def test_pixels_are_those_inside_borders(candidates: Candidates) -> None:
    framed = candidates.make(size=(400, 300), border=Border(100, 100, 100, 50))
    plain = candidates.make(size=(200, 160))
    assert kept([framed, plain], "pixels") == 1
    assert kept([framed, candidates.make(size=(201, 150)), candidates.make(size=(10, 10))], "pixels") == 1


def test_quality_is_bytes_by_pixel(candidates: Candidates) -> None:
    image = drawn(1, (160, 120))
    versions = [encoded(image, "JPEG", quality=quality) for quality in (30, 95, 60)]
    assert kept([candidates.make(v, size=(160, 120)) for v in versions], "quality") == 1
    half = encoded(image.resize((80, 60)), "JPEG", quality=95)
    larger = candidates.make(versions[0], size=(160, 120))
    assert kept([larger, candidates.make(half, size=(80, 60))], "quality") == 1


@pytest.mark.parametrize("format_", ["PNG", "BMP", "TIFF", "PPM", "TGA"])
@pytest.mark.parametrize("lossy", ["JPEG", "WEBP", "HEIF"])
def test_formats_without_loss_are_better_than_others_of_more_bytes(
    candidates: Candidates, format_: str, lossy: str
) -> None:
    document = candidates.make(b"1" * 300, format=format_)
    photographed = candidates.make(b"2" * 900, format=lossy)
    assert kept([document, photographed], "quality") == 0
    assert kept([document, photographed, candidates.make(b"3" * 400, format=format_)], "quality") == 2


def test_a_gif_is_without_loss_where_it_is_smaller(candidates: Candidates) -> None:
    drawing, photo = candidates.make(b"1" * 300, format="GIF"), candidates.make(b"1" * 3000, format="GIF")
    jpeg, png = candidates.make(b"2" * 900, format="JPEG"), candidates.make(b"3" * 500, format="PNG")
    assert kept([drawing, jpeg], "quality") == 0
    assert kept([photo, jpeg], "quality") == 1
    assert kept([photo, jpeg, png], "quality") == 2
    assert kept([photo, png], "quality") == 0


@pytest.mark.parametrize("rule", ["pixels", "quality", "oldest", "exif", "format=jpeg/png"])
def test_a_truncated_image_is_never_kept_in_place_of_a_complete_one(candidates: Candidates, rule: str) -> None:
    tags = exif(TAKEN, "Ricoh")
    cut = encoded(drawn(1, (160, 120)), "JPEG", quality=95, exif=tags)
    cut_image = candidates.make(cut, size=(160, 120), format="JPEG", truncated=True)
    complete = candidates.make(size=(80, 60))
    assert kept([cut_image, complete], rule) == 1
    assert kept([cut_image, candidates.make(size=(8, 6), truncated=True)], "pixels") == 0


@pytest.mark.parametrize("format_", ["PNG", "BMP", "TIFF"])
def test_a_conversion_that_adds_bytes_alone_is_not_kept(candidates: Candidates, format_: str) -> None:
    jpeg = candidates.make(b"1" * 900, format="JPEG", pixels=b"one")
    converted = candidates.make(b"2" * 9000, format=format_, pixels=b"one")
    assert kept([jpeg, converted], *DEFAULT_RULES) == 0
    assert kept([jpeg, converted], f"format={format_}", *DEFAULT_RULES) == 1


@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
@pytest.mark.parametrize("turn", [None, *Image.Transpose])
def test_a_conversion_of_a_photo_is_found_by_its_pixels(
    candidates: Candidates, format_: str, turn: Image.Transpose | None
) -> None:
    """Photos are added without a digest of their pixels; a copy whose pixels differ is the original of a JPEG."""
    data = encoded(drawn(1, (160, 120)), "JPEG", quality=90)
    jpeg = candidates.make(data, size=(160, 120), format="JPEG", pixels=None)
    with Image.open(io.BytesIO(data)) as image:
        turned = image if turn is None else image.transpose(turn)
        converted = candidates.make(encoded(turned, format_), size=turned.size, format=format_, pixels=b"2")
        changed = ImageChops.offset(turned, 1)
    assert kept([jpeg, converted], *DEFAULT_RULES) == 0
    original = candidates.make(encoded(changed, format_), size=turned.size, format=format_, pixels=b"3")
    assert kept([jpeg, original], *DEFAULT_RULES) == 1


def test_what_has_other_pixels_is_no_conversion(candidates: Candidates) -> None:
    png = candidates.make(b"2" * 9000, format="PNG", pixels=b"one")
    compressed = candidates.make(b"1" * 900, format="JPEG", pixels=b"other")
    webp = candidates.make(b"3" * 500, format="WEBP", pixels=b"one")  # may be without loss, too
    unknown = candidates.make(b"4" * 800, format="JPEG", pixels=None)
    assert kept([png, compressed, webp, unknown], *DEFAULT_RULES) == 0
    assert kept([candidates.make(b"2" * 9000, format="PNG", pixels=None), unknown], *DEFAULT_RULES) == 0


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF", "HEIF"])
def test_exif_of_every_format(tmp_path: Path, format_: str) -> None:
    path = tmp_path / "image"
    path.write_bytes(encoded(drawn(1), format_, exif=exif(TAKEN, "Maker").tobytes()))
    assert exif_facts(str(path)) == ExifFacts(has_exif=True, taken="2019-05-06T07:08:09")
    path.write_bytes(encoded(drawn(1), format_))
    assert exif_facts(str(path)) == ExifFacts()


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (exif(orientation=6), ExifFacts()),  # editors write this into what has no other EXIF
        (exif(camera="Maker"), ExifFacts(has_exif=True)),
        (exif("0000:00:00 00:00:00"), ExifFacts()),
        (exif("    :  :     :  :  "), ExifFacts()),
        (exif("2019:13:45 07:08:09"), ExifFacts()),
        (exif(TAKEN + "\0"), ExifFacts(has_exif=True, taken="2019-05-06T07:08:09")),
    ],
)
def test_exif_that_was_never_set(tmp_path: Path, tags: Image.Exif, expected: ExifFacts) -> None:
    path = tmp_path / "image.jpg"
    path.write_bytes(encoded(drawn(1), "JPEG", exif=tags.tobytes()))
    assert exif_facts(str(path)) == expected


def test_damaged_exif_is_none(tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    whole = encoded(drawn(1), "JPEG", exif=exif(TAKEN, "Maker").tobytes())
    at = whole.index(b"Exif\0\0")
    for damaged in (whole[: at + 10], whole[: at + 8] + b"\xff" * 40 + whole[at + 48 :], b"", b"text"):
        path.write_bytes(damaged)
        assert exif_facts(str(path)) in (ExifFacts(), ExifFacts(has_exif=True, taken="2019-05-06T07:08:09"))
    path.unlink()
    assert exif_facts(str(path)) == ExifFacts()


def test_exif_and_capture_time(candidates: Candidates) -> None:
    def taken(time: str | None, camera: str | None = "Maker") -> Candidate:
        return candidates.make(encoded(drawn(1), "JPEG", exif=exif(time, camera).tobytes()))

    assert kept([taken(None, None), taken(None), taken(None, None)], "exif") == 1
    assert kept([taken("2020:01:01 00:00:00"), taken(TAKEN), taken(None)], "oldest") == 1


def test_formats_in_an_order(candidates: Candidates) -> None:
    made = [candidates.make(format=name) for name in ("WEBP", "JPEG", "PNG", "HEIF")]
    assert kept(made, "format") == 2
    assert kept(made, "format=heic/jpg") == 3
    assert kept(made, "format=JPG/png") == 1
    assert kept(made, "format=gif/webp") == 0


def test_preferred_folders(candidates: Candidates, tmp_path: Path) -> None:
    made = [candidates.make(below=name) for name in ("card", "archive, old", "archive")]
    assert kept(made, f"folder={tmp_path / 'archive, old'}") == 1
    (tmp_path / "link").symlink_to("archive", target_is_directory=True)
    assert kept(made, f"folder={tmp_path / 'link'}") == 2
    assert kept(made, f"folder={tmp_path / 'archive'}", f"folder={tmp_path / 'card'}") == 2


def test_the_first_rule_that_tells_two_apart_decides(candidates: Candidates) -> None:
    large = candidates.make(encoded(drawn(1), "JPEG", quality=20), size=(160, 120), format="JPEG")
    fine = candidates.make(encoded(drawn(1)), size=(80, 60), format="PNG")
    assert kept([large, fine], "pixels,quality") == 0
    assert kept([large, fine], "quality", "pixels") == 1
    _, reasons = choose([large, fine], parse_rules(["format", "pixels"]))
    assert reasons == {large: "other format", fine: "preferred format"}


def test_what_no_rule_decides(candidates: Candidates) -> None:
    data = encoded(drawn(1))
    late, early, protected = (
        candidates.make(data, created=created, reference=reference)
        for created, reference in ((2.0, None), (1.0, None), (3.0, "archive"))
    )
    assert kept([late, early], "pixels") == 1
    assert kept([late, early, protected], "pixels") == 2
    assert choose([late], ())[1] == {late: "the only file"}


def test_rules_that_cannot_be(tmp_path: Path) -> None:
    assert [rule.name for rule in parse_rules(["pixels, exif", "format=png"])] == ["pixels", "exif", "format"]
    assert [rule.name for rule in parse_rules(DEFAULT_RULES)] == list(DEFAULT_RULES)
    for text in ("", "size", "pixels=3", "format=", "folder", "folder=", "pixels,,exif"):
        with pytest.raises(BadInput, match=r"rule|format"):
            parse_rules([text])
    with pytest.raises(NotFound, match="no such folder"):
        parse_rules([f"folder={tmp_path / 'nowhere'}"])


def test_folders_contain_what_is_below(tmp_path: Path) -> None:
    for name in ("a/b", "ab", "c"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "c" / "link").symlink_to(tmp_path / "a", target_is_directory=True)
    folders = Folders([tmp_path / "a"])
    inside = {name: folders.containing(str(tmp_path / name)) for name in ("a/x", "a/b/x", "ab/x", "c/link/b/x", "x")}
    assert [name for name, found in inside.items() if found] == ["a/x", "a/b/x", "c/link/b/x"]
    assert Folders([]).containing(str(tmp_path / "a/x")) is None


@pytest.mark.parametrize("turned", [False, True])
def test_a_border_that_is_measured_a_little_otherwise_decides_nothing(candidates: Candidates, turned: bool) -> None:
    """Of the original one more line of a dark edge was taken for a border than of its smaller, compressed copy."""
    size = (30, 40) if turned else (40, 30)
    original = candidates.make(size=(40, 30), border=Border(0, 0, 0, 1))
    copy = candidates.make(encoded(drawn(1, size), "JPEG", quality=10), size=size, format="JPEG")
    kept, reasons = choose([copy, original], parse_rules(["pixels", "quality"]))
    assert (kept, reasons[copy]) == (original, "more compressed")


def test_a_border_that_was_added_to_an_image_of_the_same_size_decides(candidates: Candidates) -> None:
    framed = candidates.make(size=(40, 30), border=Border(4, 3, 4, 3))
    copy = candidates.make(encoded(drawn(1, (40, 30)), "JPEG", quality=10), size=(40, 30), format="JPEG")
    kept, reasons = choose([framed, copy], parse_rules(["pixels", "quality"]))
    assert (kept, reasons[framed]) == (copy, "fewer pixels")


def test_few_more_pixels_of_another_size_decide(candidates: Candidates) -> None:
    smaller, larger = candidates.make(size=(40, 30)), candidates.make(b"few bytes", size=(41, 30))
    assert choose([smaller, larger], parse_rules(["pixels", "quality"]))[0] is larger
