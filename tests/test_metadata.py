"""Exif, XMP, IPTC, texts and resolution: what is kept, in which block, where it comes out again, and what is told."""

from __future__ import annotations

import hashlib
import io
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from made import SMOOTH, jpeg, png, saved, segment, xmp
from PIL import Image, ImageOps

from fedscodec.images import Picture, not_kept, picture_bytes, read_beside, read_picture
from fedscodec.images.account import Account
from fedscodec.images.metadata.directories import Entry, first_of, packed
from fedscodec.images.metadata.exif import ExifBlock
from fedscodec.images.metadata.texts import texts_in, with_texts
from fedscodec.images.metadata.xmp import is_sound, joined, parted, to_utf8, upright

EXIF_HEAD, PACKET_HEAD = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
MAKER_NOTE = b"Canon-like note with an absolute offset"
SIX = np.array([[1, 2, 3], [4, 5, 6]], dtype=np.uint8)


def exif(
    orientation: int | None = None, order: str = "<", thumbnail: bytes = b"", extra: tuple[Entry, ...] = ()
) -> bytes:
    """Make, maker notes, interoperability, ColorSpace, sizes; a second directory where there is a thumbnail."""
    letter = f"{order}I"
    block = bytearray((b"II*\0" if order == "<" else b"MM\0*") + bytes(4))

    def short(tag: int, value: int) -> Entry:
        return Entry(tag, 3, 1, struct.pack(f"{order}H", value))

    def placed(*entries: Entry, following: int = 0) -> int:
        at = len(block)
        block.extend(packed(entries, at, order, following))
        return at

    interop = placed(Entry(1, 2, 4, b"R98\0"))
    inner = placed(
        Entry(0x927C, 7, len(MAKER_NOTE), MAKER_NOTE), short(0xA001, 0xFFFF), short(0xA002, 48), short(0xA003, 32),
        Entry(0xA005, 4, 1, struct.pack(letter, interop)),
    )  # fmt: skip
    second = 0
    if thumbnail:
        at = len(block)
        block.extend(thumbnail)
        places = Entry(0x0201, 4, 1, struct.pack(letter, at)), Entry(0x0202, 4, 1, struct.pack(letter, len(thumbnail)))
        second = placed(*places)
    words = [Entry(0x010F, 2, 6, b"Maker\0"), Entry(0x8769, 4, 1, struct.pack(letter, inner)), *extra]
    words += [short(0x0112, orientation)] if orientation is not None else []
    struct.pack_into(letter, block, 4, placed(*words, following=second))
    return bytes(block)


def app1(block: bytes) -> bytes:
    return segment(0xE1, EXIF_HEAD + block)


def packet(data: bytes) -> bytes:
    return segment(0xE1, PACKET_HEAD + data)


def tags_of(picture: Picture) -> Image.Exif:
    tags = Image.Exif()
    tags.load(picture.exif or b"")
    return tags


# ── Orientation ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("by_exif", "by_xmp", "turned"),
    [(1, 6, False), (6, 1, True), (6, 6, True), (None, 6, True), (None, 1, False), (None, 9, False), (7, 3, True)],
)
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "avif"])
def test_orientation_is_gone_from_both_after_reading(
    by_exif: int | None, by_xmp: int, turned: bool, suffix: str
) -> None:
    picture = read_picture(jpeg(app1(exif(by_exif)), packet(xmp("", f'tiff:Orientation="{by_xmp}"'))))
    assert ((picture.height, picture.width) == (48, 32)) == turned
    written = picture_bytes(picture, suffix)
    with Image.open(io.BytesIO(written)) as image:
        assert image.size == ImageOps.exif_transpose(image).size == (picture.width, picture.height)
        assert image.getexif().get(0x0112, 1) == 1
    assert b"Orientation" not in written
    again = read_picture(written)
    assert again.pixels.shape == picture.pixels.shape
    assert b"Orientation" not in (picture.xmp or b"")


@pytest.mark.parametrize(
    "written",
    [
        "tiff:Orientation = '6'", 'tiff:Orientation="6"', "<tiff:Orientation>6</tiff:Orientation>",
        "<tiff:Orientation >6</tiff:Orientation >", 'xmlns:t="http://ns.adobe.com/tiff/1.0/" t:Orientation="6"',
    ],
)  # fmt: skip
def test_every_way_to_write_orientation(written: str) -> None:
    body = xmp(written) if written.startswith("<") else xmp("", written)
    left, found = upright(body)
    assert found == 6
    assert b"Orientation" not in left
    assert is_sound(left)


def test_avif_turns_by_its_container_alone() -> None:
    wide = Image.fromarray(np.repeat(np.repeat(SIX * 30, 24, axis=0), 24, axis=1))  # 72x48
    tags = Image.Exif()
    tags[0x0112] = 6
    tags[0x010F] = "feds"
    turned = read_picture(saved(wide, "AVIF", exif=tags))  # Pillow writes an irot
    assert (turned.width, turned.height) == (48, 72)
    tags = Image.Exif()
    tags[0x0113] = 6
    tags[0x010F] = "feds"
    data = saved(wide, "AVIF", exif=tags, xmp=xmp("", 'tiff:Orientation="6"'))
    assert data.count(b"\x13\1\3\0") + data.count(b"\1\x13\0\3") == 1
    told = data.replace(b"\x13\1\3\0", b"\x12\1\3\0").replace(b"\1\x13\0\3", b"\1\x12\0\3")  # in Exif and XMP, no irot
    picture = read_picture(told)
    assert (picture.width, picture.height) == (72, 48)
    assert b"Orientation" not in (picture.xmp or b"")
    assert ExifBlock(picture.exif or b"").orientation is None


# ── Exif ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "avif"])
def test_maker_notes_stay_at_their_offset_and_interoperability_stays(order: str, suffix: str) -> None:
    block = exif(6, order)
    picture = read_picture(jpeg(app1(block)))
    assert (picture.exif or b"").index(MAKER_NOTE) == block.index(MAKER_NOTE)
    written = picture_bytes(picture, suffix)
    if suffix == "tif":
        assert written.index(MAKER_NOTE) == block.index(MAKER_NOTE)
    again = read_picture(written)
    assert (again.exif or b"").index(MAKER_NOTE) == block.index(MAKER_NOTE)
    tags = tags_of(again)
    assert tags[0x010F] == "Maker"
    assert tags.get_ifd(0x8769)[0x927C] == MAKER_NOTE
    assert tags.get_ifd(0xA005)[1] == "R98"
    assert (tags.get_ifd(0x8769)[0xA002], tags.get_ifd(0x8769)[0xA003]) == (32, 48)  # as it was turned
    assert again.warnings == ()


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_thumbnail_that_was_cut_off_leaves_no_bytes(order: str) -> None:
    thumbnail = saved(Image.fromarray(SMOOTH[:8, :8]), "JPEG")
    turned = read_picture(jpeg(app1(exif(6, order, thumbnail))))
    assert turned.warnings == ("The thumbnail in Exif was left out, as it was not upright.",)
    left = turned.exif or b""
    assert not any(
        thumbnail[at : at + 8] in left for at in range(0, len(thumbnail) - 8, 8) if any(thumbnail[at : at + 8])
    )
    assert tags_of(turned)[0x010F] == "Maker"
    assert first_of(left).next == 0
    upright_one = read_picture(jpeg(app1(exif(1, order, thumbnail))))
    assert (upright_one.warnings, thumbnail in (upright_one.exif or b"")) == ((), True)
    assert not_kept(upright_one, "tif") == ("The thumbnail in Exif was left out, as TIFF would take it for a page.",)
    assert thumbnail[2:] not in picture_bytes(upright_one, "tif")


def test_a_thumbnail_that_claims_all_of_exif_takes_nothing_with_it() -> None:
    block = bytearray(exif(6, "<", b"thumbnail"))
    second = first_of(bytes(block)).next
    for at in (second + 2, second + 14):
        tag = struct.unpack_from("<H", block, at)[0]
        struct.pack_into("<I", block, at + 8, 0 if tag == 0x0201 else len(block))
    picture = read_picture(jpeg(app1(bytes(block))))
    tags = tags_of(picture)
    assert (tags[0x010F], tags.get_ifd(0x8769)[0x927C]) == ("Maker", MAKER_NOTE)


def test_colour_space_says_what_colours_are_after_a_conversion() -> None:
    def told(picture: Picture) -> int:
        return int(tags_of(picture).get_ifd(0x8769)[0xA001])

    beside = (b"eXIf", exif())
    assert told(read_picture(png(SMOOTH, beside))) == 0xFFFF
    assert told(read_picture(png(SMOOTH, beside, (b"gAMA", struct.pack(">I", 100_000))))) == 1
    srgb = png(SMOOTH, (b"eXIf", exif().replace(b"\xff\xff\0\0", b"\1\0\0\0")), (b"cICP", bytes([12, 13, 0, 1])))
    assert told(read_picture(srgb)) == 0xFFFF
    cmyk = read_picture(saved(Image.new("CMYK", (4, 4)), "JPEG", exif=EXIF_HEAD + exif()))
    assert told(cmyk) == 1


@pytest.mark.parametrize("suffix", ["png", "webp", "tif", "avif"])
def test_exif_and_xmp_of_more_than_64_kb_go_where_they_fit(suffix: str) -> None:
    long = Entry(0x010E, 2, 90_001, b"d" * 90_000 + b"\0")
    picture = Picture(SMOOTH, exif=exif(extra=(long,)), xmp=xmp(f"<dc:format>{'f' * 90_000}</dc:format>"))
    again = read_picture(picture_bytes(picture, suffix))
    assert not_kept(picture, suffix) == ()
    assert again.xmp == picture.xmp
    assert len(tags_of(again)[0x010E]) == 90_000


def test_in_jpeg_xmp_is_parted_and_exif_left_out() -> None:
    long = Entry(0x010E, 2, 90_001, b"d" * 90_000 + b"\0")
    picture = Picture(SMOOTH, exif=exif(extra=(long,)), xmp=xmp(f"<dc:format>{'f' * 190_000}</dc:format>"))
    told = f"JPEG holds 64 kB of Exif: its {len(picture.exif or b''):,} bytes were left out."
    assert not_kept(picture, "jpg") == (told,)
    written = picture_bytes(picture, "jpg")
    assert written.count(b"http://ns.adobe.com/xmp/extension/\0") == 3
    again = read_picture(written)
    assert (again.exif, again.warnings) == (None, ())
    assert b"f" * 190_000 in (again.xmp or b"")
    assert b"HasExtendedXMP" not in (again.xmp or b"")
    short, parts = parted(picture.xmp or b"")
    whole = b"".join(part[40:] for part in parts)
    assert hashlib.md5(whole).hexdigest().upper().encode() in short
    assert parts[1][:40] == parts[0][:36] + struct.pack(">I", 65_400)
    assert joined(short, whole).count(b"f" * 190_000) == 1


# ── XMP ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("code", ["utf-8", "utf-8-sig", "latin-1", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_xmp_becomes_utf_8(code: str) -> None:
    text = xmp("<dc:title>caf\u00e9</dc:title>").decode()
    picture = read_picture(jpeg(packet(text.encode(code))))
    assert picture.xmp == text.encode()
    assert picture.warnings == ()
    declared = f'<?xml version="1.0" encoding="iso-8859-2"?>{text}'.replace("\u00e9", "\u0159")
    assert to_utf8(declared.encode("iso-8859-2")) == text.replace("\u00e9", "\u0159").encode()


def test_extended_xmp_is_joined_or_reported() -> None:
    whole = xmp(f"<dc:format>{'f' * 70_000}</dc:format>")
    short, parts = parted(whole)
    heads = [b"http://ns.adobe.com/xmp/extension/\0" + part for part in parts]
    picture = read_picture(jpeg(packet(short), *[segment(0xE1, head) for head in heads]))
    assert (picture.warnings, b"f" * 70_000 in (picture.xmp or b"")) == ((), True)
    lacking = read_picture(jpeg(packet(short), segment(0xE1, heads[1])))
    assert lacking.warnings == ("The extension of XMP was damaged and was not kept.",)
    assert b"HasExtendedXMP" not in (lacking.xmp or b"")


@pytest.mark.parametrize("filler", [" ", "<tiff:Orientation ", ' xmpNote:HasExtendedXMP="', '<a:RDF x="', " xmlns:a="])
def test_hostile_xmp_takes_no_time(filler: str) -> None:
    body = xmp("<dc:title>x</dc:title>") + (filler * 1_000_000)[:1_000_000].encode()
    begin = time.process_time()
    data = jpeg(packet(body[:65_000])), png(SMOOTH, (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + body))
    for one in data:
        read_picture(one)
    assert time.process_time() - begin < 5  # and not minutes


def test_xmp_with_entities_is_kept_and_not_read() -> None:
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">]>' + xmp("<dc:title>&a;</dc:title>")
    assert not is_sound(bomb)
    picture = read_picture(png(SMOOTH, (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + bomb), (b"tEXt", b"Author\0me")))
    assert picture.warnings == ("The text of Author was not kept.",)


# ── IPTC, texts, resolution ───────────────────────────────────────────────────────────────────────────────


def iptc(*sets: tuple[int, bytes]) -> bytes:
    return b"".join(b"\x1c\2" + bytes([number]) + struct.pack(">H", len(body)) + body for number, body in sets)


def photoshop(*resources: tuple[int, bytes]) -> bytes:
    body = b"".join(
        b"8BIM" + struct.pack(">HxxI", kind, len(block)) + block + b"\0" * (len(block) % 2) for kind, block in resources
    )
    return segment(0xED, b"Photoshop 3.0\0" + body)


def test_iptc_becomes_xmp() -> None:
    block = iptc((120, b"Harbour at dawn"), (25, b"boats"), (25, "m\u00f6wen".encode()), (80, b"A. B."), (90, b"Kiel"))
    picture = read_picture(jpeg(photoshop((0x0404, block))))
    text = (picture.xmp or b"").decode()
    assert picture.warnings == ()
    for written in ("Harbour at dawn", "<rdf:li>boats</rdf:li><rdf:li>m\u00f6wen</rdf:li>", "A. B.", ":City>Kiel<"):
        assert written in text
    assert is_sound(picture.xmp or b"")
    same = read_picture(
        jpeg(packet(xmp("<dc:description>Harbour at dawn</dc:description>")), photoshop((0x0404, block)))
    )
    assert (same.xmp or b"").count(b"Harbour at dawn") == 1
    other = read_picture(jpeg(photoshop((0x0404, iptc((120, b"x"), (200, b"?"))), (0x040C, b"a thumbnail"))))
    assert set(other.warnings) == {
        *NOT_ALL_OF_IPTC, "The image resources of Photoshop were not kept.",
    }  # fmt: skip
    assert read_picture(jpeg(photoshop((0x0404, b"\x1c\2\x78\0\x99cut")))).warnings == ("IPTC was not kept.",)


NOT_ALL_OF_IPTC = ("Of IPTC only what XMP has a name for, and no value yet, was kept, in XMP.",)
PHOTOSHOP = 'xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"'
CITY = f"<photoshop:City {PHOTOSHOP}>{{}}</photoshop:City>"
KEYWORDS = "<dc:subject><rdf:Bag><rdf:li>{}</rdf:li><rdf:li>{}</rdf:li></rdf:Bag></dc:subject>"


@pytest.mark.parametrize(
    ("properties", "sets", "warnings"),
    [
        (KEYWORDS.format("sea", "A &amp; B"), [(25, b"sea"), (25, b"A & B")], ()),
        (KEYWORDS.format("sea", "sun"), [(25, b"sea"), (25, b"island")], NOT_ALL_OF_IPTC),
        (KEYWORDS.format("overseas", "sea lion"), [(25, b"sea")], NOT_ALL_OF_IPTC),
        (KEYWORDS.format("x" * 80, "sea"), [(25, b"x" * 64)], ()),
        (CITY.format("Rome"), [(90, b"Rome")], ()),
        (CITY.format("Rome"), [(90, b"Oslo")], NOT_ALL_OF_IPTC),
        ("", [(90, b"Rome"), (90, b"Oslo")], NOT_ALL_OF_IPTC),
        (CITY.replace("City", "DateCreated").format("2024-03-01T10:00:00"), [(55, b"20240301")], ()),
    ],
)
def test_no_value_of_iptc_is_lost_in_silence(
    properties: str, sets: list[tuple[int, bytes]], warnings: tuple[str, ...]
) -> None:
    block = jpeg(packet(xmp(properties)) if properties else b"", photoshop((0x0404, iptc(*sets))))
    assert read_picture(block).warnings == warnings


def test_a_value_of_iptc_may_be_an_attribute_of_xmp() -> None:
    given = xmp("").replace(b"<rdf:Description", f'<rdf:Description {PHOTOSHOP} photoshop:City="Rome"'.encode(), 1)
    assert read_picture(jpeg(packet(given), photoshop((0x0404, iptc((90, b"Rome")))))).warnings == ()


def test_a_date_of_iptc_becomes_one_of_xmp() -> None:
    picture = read_picture(jpeg(photoshop((0x0404, iptc((55, b"20240301"))))))
    assert b"<photoshop:DateCreated>2024-03-01<" in (picture.xmp or b"")


def test_control_characters_of_a_text_are_told() -> None:
    picture = read_picture(png(SMOOTH, (b"tEXt", b"Comment\0a\x1bb"), (b"tEXt", b"Author\0me")))
    assert picture.warnings == ("The control characters in the text of Comment were not kept.",)
    assert texts_in(picture.xmp) == [("Comment", "ab"), ("Author", "me")]


def test_a_packet_of_a_great_many_elements_is_not_made_a_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    given = with_texts(None, [("Comment", "short")]) or b""
    assert texts_in(given) == [("Comment", "short")]
    many = given.replace(b"</rdf:RDF>", b"<a/>" * 2**18 + b"</rdf:RDF>")
    monkeypatch.setattr("xml.etree.ElementTree.fromstring", lambda packet: pytest.fail("a tree of all of it"))
    assert texts_in(many) == []


@pytest.mark.parametrize(("given", "written"), [(65_535, 65_535), (65_536, 1), (100_000, 1)])
def test_jpeg_has_no_resolution_that_its_head_cannot_hold(given: int, written: int) -> None:
    picture = read_picture(saved(Image.fromarray(SMOOTH), "PNG", dpi=(given, given)))
    made = Image.open(io.BytesIO(picture_bytes(picture, "jpg")))
    assert made.info["jfif_density"] == (written, written)
    assert round(made.getexif()[0x011A]) == given


def test_a_message_ends_after_some_letters() -> None:
    account = Account()
    account.had("x" * 3_000_000)
    assert account.sentences == ("x" * 500 + "…",)


def test_a_directory_of_many_values_is_packed_in_no_time() -> None:
    entries = [Entry(tag, 7, 256, bytes([tag % 256]) * 256) for tag in range(60_000)]
    begin = time.process_time()
    made = packed(entries, 8, "<")
    assert time.process_time() - begin < 2  # it took a minute
    assert (len(made), made[:2], made[-1:]) == (2 + 12 * 60_000 + 4 + 256 * 60_000, b"\x60\xea", bytes([59_999 % 256]))


def test_texts_of_png_come_back() -> None:
    texts = {
        "parameters": "a tree\nSteps: 40, <lora:x & y>",
        "Copyright": "(c) me",
        "Title": "caf\u00e9",
        "Odd Key": "z",
    }
    chunks = [(b"tEXt", key.encode() + b"\0" + text.encode("latin-1")) for key, text in texts.items()]
    chunks.append((b"zTXt", b"Long\0\0" + zlib.compress(b"long " * 1000)))
    chunks.append((b"iTXt", b"Wide\0\1\0de\0Breit\0" + zlib.compress("\u2603".encode())))
    picture = read_picture(png(SMOOTH, *chunks))
    assert picture.warnings == ()
    assert dict(texts_in(picture.xmp)) == texts | {"Long": "long " * 1000, "Wide": "\u2603"}
    assert b"<dc:rights>" in (picture.xmp or b"")
    with Image.open(io.BytesIO(picture_bytes(picture, "png"))) as image:
        assert {key: image.info[key] for key in texts} == texts
        assert image.info["Wide"] == "\u2603"
    again = read_picture(picture_bytes(picture, "png"))
    assert again.xmp == picture.xmp  # not twice


def test_comments_come_back() -> None:
    picture = read_picture(jpeg(segment(0xFE, "caf\u00e9".encode())))
    assert texts_in(picture.xmp) == [("Comment", "caf\u00e9")]
    with Image.open(io.BytesIO(picture_bytes(picture, "jpg"))) as image:
        assert image.info["comment"] == "caf\u00e9".encode()
    assert texts_in(read_picture(saved(Image.fromarray(SMOOTH), "JPEG2000", comment="a lake")).xmp) == [
        ("Comment", "a lake")
    ]
    assert read_picture(saved(Image.fromarray(SMOOTH), "JPEG2000")).xmp is None
    gif = read_picture(saved(Image.fromarray(SMOOTH[:, :, 0]), "GIF", comment=b"from a GIF"))
    assert texts_in(gif.xmp) == [("Comment", "from a GIF")]


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt"])
def test_texts_beyond_a_megabyte_are_reported_and_bombs_stay_cheap(kind: bytes) -> None:
    text = b"x" * 1_600_000
    body = {b"zTXt": b"Note\0\0" + zlib.compress(text),
            b"iTXt": b"Note\0\1\0\0\0" + zlib.compress(text)}[kind]  # fmt: skip
    picture = read_picture(png(SMOOTH, (kind, body)))
    assert np.array_equal(picture.pixels, SMOOTH)
    assert picture.warnings == ("The PNG text Note is larger than a megabyte and was not kept.",)
    assert picture.xmp is None
    bomb = zlib.compress(bytes(50_000_000))
    begin = time.process_time()
    read_picture(png(SMOOTH, *[(b"zTXt", b"Note\0\0" + bomb)] * 100))
    assert time.process_time() - begin < 3


def test_raw_profiles_of_png() -> None:
    def raw(kind: str, block: bytes) -> tuple[bytes, bytes]:
        lines = "\n".join(block.hex()[at : at + 72] for at in range(0, 2 * len(block), 72))
        text = f"\n{kind}\n{len(block):8}\n{lines}\n".encode()
        return b"zTXt", f"Raw profile type {kind}\0\0".encode("latin-1") + zlib.compress(text)

    picture = read_picture(png(SMOOTH, raw("exif", EXIF_HEAD + exif(6)), raw("iptc", iptc((120, b"Harbour")))))
    assert (picture.width, picture.warnings) == (32, ())
    assert tags_of(picture)[0x010F] == "Maker"
    assert b"Harbour" in (picture.xmp or b"")
    packet_in = read_picture(png(SMOOTH, raw("xmp", xmp("<dc:title>t</dc:title>"))))
    assert packet_in.xmp == xmp("<dc:title>t</dc:title>")
    assert read_picture(png(SMOOTH, raw("odd", b"?"))).warnings == ("The raw profile odd was not kept.",)
    broken = (b"tEXt", b"Raw profile type exif\0\nexif\n  9\nzz\n")
    assert read_picture(png(SMOOTH, broken)).warnings == ("The PNG chunk tEXt was damaged and was not kept.",)


@pytest.mark.parametrize("source", ["png", "jpeg"])
def test_resolution_is_kept_in_exif(source: str) -> None:
    options = {"PNG": {"dpi": (300, 150)}, "JPEG": {"dpi": (300, 150)}}[source.upper()]
    picture = read_picture(saved(Image.fromarray(SMOOTH), source.upper(), **options))
    assert picture.warnings == ()
    for suffix in ("png", "jpg", "tif", "bmp"):
        with Image.open(io.BytesIO(picture_bytes(picture, suffix))) as image:
            assert image.info["dpi"] == pytest.approx((300, 150), abs=0.05)
    assert read_picture(saved(Image.fromarray(SMOOTH), "JPEG", dpi=(72, 72))).exif is None
    assert read_picture(saved(Image.fromarray(SMOOTH), "JPEG")).exif is None
    turned = read_picture(saved(Image.fromarray(SMOOTH), "TIFF", dpi=(300, 150)))
    assert ExifBlock(turned.exif or b"").density == ExifBlock(picture.exif or b"").density


def test_the_ratio_of_the_sides_of_a_pixel_is_kept() -> None:
    picture = read_picture(png(SMOOTH, (b"pHYs", struct.pack(">IIB", 2, 1, 0))))
    tags = tags_of(picture)
    assert (tags[0x011A], tags[0x011B], tags[0x0128]) == (2, 1, 1)
    assert struct.pack(">IIB", 10000, 5000, 0) in picture_bytes(picture, "png")
    assert read_picture(png(SMOOTH, (b"pHYs", struct.pack(">IIB", 1, 1, 0)))).exif is None


def test_resolution_joins_exif_and_nothing_moves() -> None:
    data = jpeg(app1(exif())).replace(b"JFIF\0\1\1\0\0\1\0\1", b"JFIF\0\1\1\1\1\x2c\0\x96")
    picture = read_picture(data)
    assert (picture.exif or b"").index(MAKER_NOTE) == exif().index(MAKER_NOTE)
    tags = tags_of(picture)
    assert (tags[0x010F], tags[0x011A], tags[0x011B]) == ("Maker", 300, 150)


# ── What is told ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_truncated_picture_is_reported() -> None:
    assert read_picture(png(SMOOTH, end=False)).warnings == ("The file is cut short: the end of the PNG is missing.",)
    more = read_picture(jpeg() + b"a film of somebody's phone")
    assert more.warnings == ("26 bytes that follow the picture were not kept.",)


def test_blocks_that_are_not_kept_are_reported_by_name() -> None:
    picture = read_picture(png(SMOOTH, (b"bKGD", bytes(6)), (b"tIME", bytes(7)), (b"caBX", b"jumb")))
    assert picture.warnings == ("The PNG chunks bKGD, tIME and caBX were not kept.",)
    damaged = png(SMOOTH, (b"tIME", bytes(7))).replace(b"tIME\0", b"tIME\1")
    assert read_picture(damaged).warnings == ("The PNG chunk tIME was damaged and was not kept.",)
    picture = read_picture(jpeg(segment(0xEB, b"JP\0\1jumb-c2pa"), segment(0xEC, b"Ducky\0\1")))
    assert picture.warnings == (
        "The content credentials (JUMBF) were not kept.", "The JPEG segment APP12 (Ducky) was not kept.",
    )  # fmt: skip
    webp = saved(Image.fromarray(SMOOTH), "WEBP")
    webp = webp[:4] + struct.pack("<I", len(webp)) + webp[8:] + b"ODD \0\0\0\0"
    assert read_picture(webp).warnings == ("The WebP chunk ODD  was not kept.",)


def test_metadata_is_read_without_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(SMOOTH, (b"eXIf", exif(6)), (b"tEXt", b"Author\0me"), (b"cICP", bytes([12, 13, 0, 1]))))
    picture = read_picture(path)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", None)
    beside = read_beside(path)
    assert (beside.icc, beside.exif, beside.xmp) == (picture.icc, picture.exif, picture.xmp)
    assert None not in (beside.icc, beside.exif, beside.xmp)


@pytest.mark.filterwarnings("ignore")  # Pillow warns of damaged Exif when it opens a JPEG
def test_damage_beside_the_pixels_never_costs_the_picture() -> None:
    rng = np.random.default_rng(11)
    block = exif(6, "<", saved(Image.fromarray(SMOOTH[:8, :8]), "JPEG"))
    segments = [app1(block), packet(xmp("<dc:title>t</dc:title>", 'tiff:Orientation="6"'))]
    segments += [photoshop((0x0404, iptc((120, b"Harbour"), (25, b"boats"))), (0x03ED, bytes(16)))]
    upright_pixels = read_picture(jpeg()).pixels
    seen = {upright_pixels[::-1, ::-1].tobytes(), *(np.rot90(upright_pixels, k).tobytes() for k in range(4))}
    seen |= {np.rot90(upright_pixels[:, ::-1], k).tobytes() for k in range(4)}
    for _ in range(300):
        bodies = [bytearray(one[4:]) for one in segments]
        body = bodies[rng.integers(3)]
        for at in rng.integers(0, len(body), rng.integers(1, 6)):
            body[at] = rng.integers(256)
        parts = [segment(one[1], bytes(new)) for one, new in zip(segments, bodies, strict=True)]
        assert read_picture(jpeg(*parts)).pixels.tobytes() in seen
    chunks = (
        (b"eXIf", block),
        (b"iCCP", b"x\0\0" + zlib.compress(bytes(400))),
        (b"pHYs", bytes(9)),
        (b"cHRM", bytes(32)),
    )
    for _ in range(300):
        made = [(kind, bytearray(body)) for kind, body in chunks]
        _, body = made[rng.integers(4)]
        for at in rng.integers(0, len(body), rng.integers(1, 6)):
            body[at] = rng.integers(256)
        left = bytes(made[rng.integers(4)][1][: rng.integers(0, 40)])
        picture = read_picture(png(SMOOTH, *[(kind, bytes(body)) for kind, body in made], (b"gAMA", left)))
        assert picture.pixels.size == SMOOTH.size
