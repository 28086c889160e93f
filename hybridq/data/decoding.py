"""One image file to an array, and one array to the size and channels of a network.

Imported by worker processes, so it imports little.
"""

from __future__ import annotations

import hashlib
import io
import stat
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, TiffImageFile

from hybridq.data.formats.silence import silent_decoders
from hybridq.data.pixels import DICOM_ENDINGS, MOST_PIXELS, File, Pixels
from hybridq.errors import UserError, printable

T = TypeVar("T")

FORMATS: Final = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF", "JPEG2000", "PPM")
IMAGE_ENDINGS: Final = (
    *(".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif"),
    *(".jp2", ".j2k", ".jpx", ".pbm", ".pgm", ".ppm", ".pnm"),
)
"""Endings of image files that are looked for in folders."""
KINDS: Final = "PNG, JPEG, TIFF, BMP, WebP, GIF, JPEG 2000, PNM or DICOM image"
EIGHT_TO_SIXTEEN: Final = 257
"""Full range to full range: 255 · 257 = 65535."""
OTHER_ORDER: Final = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}
"""Of the bytes of 16-bit values, in Pillow's words."""


@dataclass(frozen=True)
class Unreadable:
    """Why one file is no image."""

    path: str
    reason: str

    def __str__(self) -> str:
        return printable(f"{self.path}: {self.reason}")


class _RefusedError(Exception):
    """The reason, without the path."""


@dataclass(frozen=True)
class FileFacts:
    """What tells one state of a file from another."""

    size: int
    modified_ns: int
    digest: bytes


def decode_file(path: str, frame: int | None = None) -> Pixels | Unreadable:
    """An image file (:data:`KINDS`) at its own size: (H, W) grey or (H, W, 3) colour, uint8 or uint16.

    8 and 16 bits keep their depth, palettes and CMYK become RGB, transparency is dropped, and the orientation that a
    camera wrote is applied. ``frame`` None refuses files that hold several images, but takes the first of a GIF.
    """
    found = decode_with_facts(path, frame)
    return found if isinstance(found, Unreadable) else found[0]


def decode_with_facts(path: str, frame: int | None = None) -> tuple[Pixels, FileFacts] | Unreadable:
    """The same, with the state of the file that was decoded."""
    try:
        content, modified_ns = _read(Path(path))
        with silent_decoders():
            pixels = _decode_dicom(path, frame) if _is_dicom(path, content) else _decode(content, frame)
        return pixels, FileFacts(len(content), modified_ns, digest_of(content))
    except _RefusedError as error:
        return Unreadable(_spoken(path), str(error))


def decode_then(function: Callable[[Pixels], T], file: File) -> T | Unreadable:
    """``function`` of the decoded file."""
    pixels = decode_file(*file)
    return pixels if isinstance(pixels, Unreadable) else function(pixels)


def decode_and_fit(file: File, *, size: int, channels: int) -> tuple[Pixels, FileFacts] | Unreadable:
    """The file as :func:`fit` leaves it, with its state."""
    found = decode_with_facts(*file)
    return found if isinstance(found, Unreadable) else (fit(found[0], size, channels), found[1])


def digest_of(content: bytes) -> bytes:
    """16 bytes that tell one file's content from another's."""
    return hashlib.blake2b(content, digest_size=16).digest()


def fit(pixels: Pixels, size: int, channels: int) -> Pixels:
    """An image (H, W) or (H, W, 3) as (``channels``, size, size), of the same depth.

    For one channel colour becomes luminance (ITU-R 601-2), for three a grey image is repeated. Resizing is bilinear and
    antialiased, and does not keep the aspect ratio.
    """
    planes = _resize(luminance(pixels) if channels == 1 else pixels, size)
    fitted: Pixels = np.empty((channels, size, size), planes.dtype)
    fitted[:] = planes if planes.ndim == 2 else np.moveaxis(planes, 2, 0)
    return fitted


def luminance(pixels: Pixels) -> Pixels:
    """Grey (H, W) of a colour image (H, W, 3), ITU-R 601-2; a grey image is returned as it is."""
    if pixels.ndim == 2:
        return pixels
    if pixels.dtype == np.uint8:
        return np.asarray(Image.fromarray(pixels).convert("L"))
    return np.rint(pixels @ np.array([0.299, 0.587, 0.114])).astype(np.uint16)


def as_sixteen_bits(pixels: Pixels) -> NDArray[np.uint16]:
    """The same intensities on the scale 0–65535."""
    deep = pixels.astype(np.uint16, copy=False)
    return deep if pixels.dtype == np.uint16 else deep * np.uint16(EIGHT_TO_SIXTEEN)


def bring_to(pixels: Pixels, low: float, high: float) -> NDArray[np.uint16]:
    """The same images with the levels ``low`` and ``high`` (of 16 bits) at 0 and 65535, clipped."""
    share = (as_sixteen_bits(pixels).astype(np.float32) - np.float32(low)) / np.float32(high - low)
    return np.rint(np.clip(share, 0, 1) * 65535).astype(np.uint16)


def _read(path: Path) -> tuple[bytes, int]:
    """The bytes of a file and the time of its last change, taken first so that a change meanwhile is seen later."""
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise _RefusedError(f"is a folder, not a {KINDS}")
        if not stat.S_ISREG(found.st_mode):
            raise _RefusedError(f"is not a regular file, so not a {KINDS}")
        content = path.read_bytes()
    except FileNotFoundError:
        raise _RefusedError("no such file") from None
    except PermissionError:
        raise _RefusedError("may not be read") from None
    except OSError as error:
        raise _RefusedError(f"cannot be read ({(error.strerror or _one_line(error)).lower()})") from None
    except ValueError as error:  # a NUL in the name
        raise _RefusedError(f"cannot be read ({_one_line(error)})") from None
    if not content:
        raise _RefusedError(f"is empty, not a {KINDS}")
    return content, found.st_mtime_ns


def _decode(content: bytes, frame: int | None) -> Pixels:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's of damaged tags and of sizes under its own limit
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                _check_size(image.size)
                _choose_frame(image, frame)
                _check_depth(image, content)
                if _is_deep_colour(image):
                    return _sixteen_bit_colour(content, frame, _raw_mode(image))
                return _pixels(image)
    except _RefusedError:
        raise
    except UnidentifiedImageError:
        raise _RefusedError(f"is not a {KINDS}") from None
    except Image.DecompressionBombError:
        raise _RefusedError(f"claims more than {MOST_PIXELS:,} pixels, the most that are decoded") from None
    except Exception as error:  # Pillow has no error of its own: damage shows as any of a dozen
        raise _RefusedError(f"cannot be decoded ({_one_line(error)})") from None


def _check_size(size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MOST_PIXELS:
        raise _RefusedError(f"claims {width:,} × {height:,} pixels; at most {MOST_PIXELS:,} are decoded")


def _choose_frame(image: Image.Image, frame: int | None) -> None:
    # A photo's JPEG may hold a preview of itself as a second image: that is not animated.
    frames = 1 if image.format in ("JPEG", "MPO") else getattr(image, "n_frames", 1)
    if frame is None and frames > 1 and image.format != "GIF":
        raise _RefusedError(f"holds {frames} images (animated or of several pages); a file of one image is expected")
    if frame is not None and frame >= frames:
        raise _RefusedError(f"has no frame {frame}; it holds {frames}")
    if frame:
        image.seek(frame)
        _check_size(image.size)


def _check_depth(image: Image.Image, content: bytes) -> None:
    """Refuse colour of more than 8 bits that Pillow would cut without a word."""
    deep = False
    if isinstance(image, PpmImageFile) and image.mode == "RGB":
        args = image.tile[0].args
        deep = isinstance(args, tuple) and int(args[-1]) > 255
    elif image.format == "JPEG2000":
        at = content.find(b"\xff\x4f\xff\x51")  # the codestream's size, whose 43rd byte is the first channel's depth
        depth = content[at + 42] if at >= 0 and len(content) > at + 42 else 7
        if depth & 0x80:
            raise _RefusedError("has signed intensities; unsigned 8 and 16 bits are read")
        deep = depth > 7 and not image.mode.startswith("I")
    if deep:
        raise _RefusedError("has more than 8 bits a channel, which would be cut to 8; save it as 16-bit grey or TIFF")


def _pixels(image: Image.Image) -> Pixels:
    white_is_zero = isinstance(image, TiffImageFile) and image.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == 0
    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I;16"):
        deep = np.asarray(image).astype(np.uint16)
        return np.uint16(65535) - deep if white_is_zero else deep
    if image.mode == "I":
        return _sixteen_bits_of_32(np.asarray(image))
    if image.mode == "F":
        raise _RefusedError("has floating-point pixels; 8 and 16 bits are read")
    wanted = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    return np.asarray(image if image.mode == wanted else image.convert(wanted))


def _raw_mode(image: Image.Image) -> str:
    """How the file stores its pixels, in Pillow's words, such as ``RGB;16B``."""
    tiles = getattr(image, "tile", [])
    if not tiles:
        return ""
    args = tiles[0].args
    return str(args[0] if isinstance(args, tuple) and args else args)


def _is_deep_colour(image: Image.Image) -> bool:
    """Whether the file holds more than the 8 bits a channel to which Pillow would cut it."""
    if image.mode.startswith(("I", "F")):
        return False
    bits = image.tag_v2.get(BITSPERSAMPLE, (8,)) if isinstance(image, TiffImageFile) else (8,)
    return max(bits) > 8 or ";16" in _raw_mode(image)


def _sixteen_bit_colour(content: bytes, frame: int | None, raw: str) -> NDArray[np.uint16]:
    """Pillow keeps the high byte only; read as if of the other byte order, the same file gives the low byte."""
    layout, _, order = raw.partition(";")
    if layout not in ("RGB", "RGBA", "RGBX") or order not in OTHER_ORDER:
        raise _RefusedError("has 16 bits a channel in a layout that would be cut to 8; save it as 16-bit grey or RGB")
    orders = (order, OTHER_ORDER[order])
    high, low = (_eight_bit_colour(content, frame, f"{layout};{order}").astype(np.uint16) for order in orders)
    return high * np.uint16(256) + low


def _eight_bit_colour(content: bytes, frame: int | None, raw: str) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        image.seek(frame or 0)
        image.tile = [
            tile._replace(args=(raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw) for tile in image.tile
        ]
        image.load()
        return np.asarray(ImageOps.exif_transpose(image))[..., :3]


def _sixteen_bits_of_32(pixels: NDArray[np.int32]) -> NDArray[np.uint16]:
    if pixels.min() < 0 or pixels.max() > 65535:
        raise _RefusedError("has signed or 32-bit intensities outside 0–65535")
    return pixels.astype(np.uint16)


def _spoken(path: str) -> str:
    """What an error calls a file: not by its name where that may be its patient's."""
    from hybridq.data.formats.dicom_header import anonymous_name

    found = Path(path)
    return (anonymous_name(found) if found.is_file() else None) or path  # a pipe would be waited for forever


def _is_dicom(path: str, content: bytes) -> bool:
    if path.lower().endswith(DICOM_ENDINGS):
        return True
    from hybridq.data.formats.dicom import looks_like_dicom

    return looks_like_dicom(content)


def _decode_dicom(path: str, frame: int | None) -> Pixels:
    from hybridq.data.formats.dicom import decode_dicom

    try:
        return decode_dicom(Path(path), frame)
    except UserError as error:
        raise _RefusedError(str(error).removeprefix(f"{path}: ")) from None


def _resize(pixels: Pixels, size: int) -> Pixels:
    if pixels.shape[:2] == (size, size):
        return pixels
    if pixels.dtype == np.uint8:
        return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR))
    if pixels.ndim == 3:
        return np.stack([_resize(pixels[..., channel], size) for channel in range(3)], axis=2)
    resized = Image.fromarray(pixels.astype(np.float32)).resize((size, size), Image.Resampling.BILINEAR)
    return np.clip(np.rint(np.asarray(resized)), 0, 65535).astype(np.uint16)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
