"""One frame of a DICOM file as the image that a viewer shows.

The grey scale pipeline is that of DICOM PS3.4, N.2: modality LUT or rescale slope and intercept, VOI LUT or window, and
inversion where the smallest value is white. LUTs without entries and windows that PS3.3, C.11.2 does not allow count as
absent. No identity is read here, and no error quotes a patient's data.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from hybridq.data.pixels import MOST_PIXELS, Pixels
from hybridq.errors import UserError

GREY: Final = ("MONOCHROME1", "MONOCHROME2")
PALETTE: Final = "PALETTE COLOR"
COLOUR: Final = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
PHOTOMETRIC: Final = (*GREY, PALETTE, *COLOUR)
TAGS: Final = [
    *("SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Rows", "Columns"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit"),
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence"),
    *("RedPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableDescriptor"),
    *("BluePaletteColorLookupTableDescriptor", "AlphaPaletteColorLookupTableDescriptor"),
    *("RedPaletteColorLookupTableData", "GreenPaletteColorLookupTableData", "BluePaletteColorLookupTableData"),
    *("SegmentedRedPaletteColorLookupTableData", "SegmentedGreenPaletteColorLookupTableData"),
    *("SegmentedBluePaletteColorLookupTableData",),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
]
"""What describes the pixels; nothing else of a file is read."""
SMALLEST_WIDTH: Final = {"LINEAR": 1.0, "LINEAR_EXACT": math.ulp(0.0), "SIGMOID": math.ulp(0.0)}
"""Of a window, by its function."""
PREFIX: Final = slice(128, 132)
"""Where DICM stands in a file with a preamble."""
FIRST_GROUPS: Final = (b"\x02\x00", b"\x08\x00")
"""With which a file without preamble begins."""
LONG: Final = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
"""VRs whose length has 32 bits."""

Contrast = Literal["window", "VOI LUT", "bits stored", ""]
"""How grey values become intensities; "" for colour."""


def decode_dicom(path: Path, frame: int | None = None) -> Pixels:
    """One frame (H, W) or (H, W, 3), uint8, or uint16 where more than 8 bits are stored.

    Grey values go through modality LUT (or rescale) and VOI LUT (or the first usable window), and MONOCHROME1 is
    inverted, so that black is always 0; the output range of that pipeline is stretched to all of 0–255 or 0–65535.
    Without VOI LUT or window, that range is the one of the bits stored: no contrast depends on the image itself.
    Padding is black.

    ``frame`` None is the only one. Raises :class:`UserError` for files that are no DICOM images, or hold several frames
    where one is expected, or are damaged or compressed as nothing here decodes.
    """
    from pydicom.pixels.processing import apply_color_lut

    header = _header(path)
    try:
        with silent_pydicom():  # pydicom converts a value when it is asked for: damage shows here
            photometric = str(header.get("PhotometricInterpretation", ""))
            frame = _check_frame(path, header, frame)
            if photometric not in PHOTOMETRIC:
                raise UserError(
                    f"{path}: has the photometric interpretation {photometric!r}; allowed: {', '.join(PHOTOMETRIC)}"
                )
            stored = _stored(path, header, frame)
            use_functional_groups(header, frame)
            if photometric in GREY:
                return _shown(stored, header, inverted=photometric == "MONOCHROME1")
            if photometric == PALETTE:
                return _stretch(apply_color_lut(stored, header), _palette_bits(header))
            return _stretch(stored, int(header.BitsStored))
    except UserError:
        raise
    except Exception as error:  # decoders in C raise what they like
        raise UserError(f"{path}: cannot be decoded ({_reason(error)})") from None


@contextmanager
def silent_pydicom() -> Iterator[None]:
    """No warnings and no log of pydicom's: they quote values that are not as they should be, and names of files."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            logger.setLevel(level)


def looks_like_dicom(content: bytes) -> bool:
    """Whether the first bytes of a file (at least 132, where there are as many) are those of a DICOM file."""
    return content[PREFIX] == b"DICM" or _lacks_preamble(content)


def read_header(path: Path, tags: Sequence[str], stop: Callable[..., bool]) -> Any:
    """The elements ``tags`` of a file before ``stop(tag, VR, length)`` is true; its transfer syntax is always known.

    Raises pydicom's ``InvalidDicomError`` for what is no DICOM file, and anything for a damaged one.
    """
    from pydicom.filereader import read_partial
    from pydicom.tag import Tag

    with path.open("rb") as file:
        headless = _lacks_preamble(file.read(PREFIX.stop))
        file.seek(0)
        header = read_partial(file, stop_when=stop, force=headless, specific_tags=[Tag(name) for name in tags])
    return _with_syntax(header)


def _lacks_preamble(content: bytes) -> bool:
    """Whether the content begins with two elements of group 2 or 8, in order, as a file without preamble does."""
    if content[PREFIX] == b"DICM" or content[:2] not in FIRST_GROUPS:
        return False
    first = _element(content, 0)
    second = None if first is None else _element(content, first[1])
    return first is not None and second is not None and first[0] < second[0] and second[0][0] in (2, 8)


def _element(content: bytes, at: int) -> tuple[tuple[int, int], int] | None:
    """Tag of the little-endian element at a position, and where the next begins; None behind the end."""
    header = content[at : at + 12]
    if len(header) < 12:
        return None
    tag = int.from_bytes(header[:2], "little"), int.from_bytes(header[2:4], "little")
    kind = header[4:6]
    if not (kind.isalpha() and kind.isupper()):  # implicit: no VR
        return tag, at + 8 + int.from_bytes(header[4:8], "little")
    if kind in LONG:
        return tag, at + 12 + int.from_bytes(header[8:12], "little")
    return tag, at + 8 + int.from_bytes(header[6:8], "little")


def _with_syntax(dataset: Any) -> Any:
    """Where a file does not name its transfer syntax, that by which it could be read."""
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    return dataset


def _header(path: Path) -> Any:
    from pydicom.errors import InvalidDicomError

    try:
        with silent_pydicom():
            return read_header(path, TAGS, lambda tag, *_: tag >= 0x7FE00008)
    except InvalidDicomError:
        raise UserError(f"{path}: is not a DICOM file") from None
    except OSError as error:
        raise UserError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from None
    except Exception:  # a damaged header fails in many ways, and its values are not to be quoted
        raise UserError(f"{path}: its DICOM header is damaged") from None


def _stored(path: Path, header: Any, frame: int) -> NDArray[Any]:
    """The values stored. Of a file that pydicom's reader of single frames does not open, all is read."""
    from pydicom import dcmread
    from pydicom.pixels.utils import pixel_array
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    if header.preamble is not None and header.file_meta.TransferSyntaxUID != DeflatedExplicitVRLittleEndian:
        return pixel_array(path, index=frame)
    return pixel_array(_with_syntax(dcmread(path, force=header.preamble is None)), index=frame)


def _check_frame(path: Path, header: Any, frame: int | None) -> int:
    rows, columns, bits = (header.get(name) for name in ("Rows", "Columns", "BitsStored"))
    if not rows or not columns or not bits:
        raise UserError(f"{path}: holds no image: it has no Rows, Columns or BitsStored")
    if rows * columns > MOST_PIXELS:
        raise UserError(f"{path}: claims {columns:,} × {rows:,} pixels; at most {MOST_PIXELS:,} are decoded")
    frames = int(header.get("NumberOfFrames") or 1)
    if frame is None and frames > 1:
        raise UserError(f"{path}: holds {frames} frames; a file of one image is expected")
    if frame is not None and frame >= frames:
        raise UserError(f"{path}: has no frame {frame}; it holds {frames}")
    return frame or 0


def use_functional_groups(header: Any, frame: int) -> None:
    """Enhanced multi-frame objects keep rescale and window by frame: put those of this frame where others have them."""
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or []
    groups = [*(header.get("SharedFunctionalGroupsSequence") or [])[:1], *per_frame[frame : frame + 1]]
    for group in groups:
        for macro in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
            for element in (group.get(macro) or [[]])[0]:
                header[element.tag] = element


def drop_unusable(header: Any) -> bool:
    """Remove what cannot be applied: empty LUTs and values, windows too narrow; whether a window was among it."""
    for name in ("ModalityLUTSequence", "VOILUTSequence"):
        if name in header and not _has_entries(header[name].value):
            del header[name]
    for name in ("RescaleSlope", "RescaleIntercept", "VOILUTFunction", "WindowCenter", "WindowWidth"):
        if name in header and header[name].value in (None, ""):
            del header[name]
    had_window = "WindowWidth" in header or "WindowCenter" in header
    if had_window and usable_window(header) is None:
        header.pop("WindowWidth", None)
        header.pop("WindowCenter", None)
        return True
    return False


def contrast_of(header: Any) -> Contrast:
    """By what grey values are shown, once :func:`drop_unusable` was called."""
    if header.get("PhotometricInterpretation") not in GREY:
        return ""
    if "VOILUTSequence" in header:
        return "VOI LUT"
    return "window" if "WindowWidth" in header else "bits stored"


def _has_entries(sequence: Any) -> bool:
    return bool(sequence) and bool(sequence[0].get("LUTData")) and len(sequence[0].get("LUTDescriptor") or ()) == 3


def usable_window(header: Any) -> int | None:
    """The first of its windows that PS3.3, C.11.2 allows, if any: of width 1 or more, or of a function above 0."""
    smallest = SMALLEST_WIDTH.get(str(header.get("VOILUTFunction", "LINEAR")).upper(), math.inf)
    windows = zip(_floats(header.get("WindowCenter")), _floats(header.get("WindowWidth")), strict=False)
    usable = [math.isfinite(centre) and smallest <= width < math.inf for centre, width in windows]
    return usable.index(True) if any(usable) else None


def _floats(value: Any) -> list[float]:
    if value in (None, ""):
        return []
    several = isinstance(value, Sequence) and not isinstance(value, str)
    return [float(one) for one in (value if several else [value])]


def _shown(stored: NDArray[Any], header: Any, *, inverted: bool) -> Pixels:
    from pydicom.pixels.processing import apply_modality_lut, apply_voi, apply_windowing

    drop_unusable(header)
    contrast = contrast_of(header)
    bits = int(header.BitsStored)
    low, high = _modality_range(header, bits)
    padding = _padding(stored, header)
    values = apply_modality_lut(stored, header)
    if contrast == "VOI LUT":
        values = apply_voi(np.rint(values).astype(np.int64), header)
        low, high = 0.0, 2.0 ** int(header.VOILUTSequence[0].LUTDescriptor[2]) - 1
    elif contrast == "window":
        # Otherwise pydicom maps the window to the range of the modality values, backwards where the slope is negative.
        for name in ("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept"):
            header.pop(name, None)
        header.PixelRepresentation = 0
        values = apply_windowing(values, header, index=usable_window(header) or 0)
        low, high = 0.0, 2.0**bits - 1
    share = np.clip((values.astype(np.float64) - low) / (high - low), 0, 1)
    if inverted:
        share = 1 - share
    share[padding] = 0
    return np.rint(share * 65535).astype(np.uint16) if bits > 8 else np.rint(share * 255).astype(np.uint8)


def _modality_range(header: Any, bits: int) -> tuple[float, float]:
    """The values that the modality LUT or rescale can give, by the bits stored."""
    if header.get("ModalityLUTSequence"):
        return 0.0, 2.0 ** int(header.ModalityLUTSequence[0].LUTDescriptor[2]) - 1
    low, high = (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if header.PixelRepresentation else (0.0, 2.0**bits - 1)
    if header.get("RescaleSlope") is not None and header.get("RescaleIntercept") is not None:
        slope, intercept = float(header.RescaleSlope), float(header.RescaleIntercept)
        if slope == 0:
            raise ValueError("the rescale slope is 0")
        low, high = sorted((low * slope + intercept, high * slope + intercept))
    return low, high


def _padding(stored: NDArray[Any], header: Any) -> NDArray[np.bool_]:
    value = header.get("PixelPaddingValue")
    if value is None:
        return np.zeros(stored.shape, bool)
    limit = header.get("PixelPaddingRangeLimit", value)
    return (stored >= min(value, limit)) & (stored <= max(value, limit))


def _palette_bits(header: Any) -> int:
    return int(header.RedPaletteColorLookupTableDescriptor[2])


def _stretch(colours: NDArray[Any], bits: int) -> Pixels:
    """Unsigned values of ``bits`` bits to the full range of uint8 or uint16."""
    if bits == 8 and colours.dtype == np.uint8:
        return colours
    share = np.clip(colours[..., :3] / (2**bits - 1), 0, 1)
    return np.rint(share * 65535).astype(np.uint16) if bits > 8 else np.rint(share * 255).astype(np.uint8)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
