"""One frame of a DICOM file as the image that a viewer shows.

The grey scale pipeline is that of DICOM PS3.4, N.2: modality LUT or rescale slope and intercept, VOI LUT or window, and
inversion where the smallest value is white. No identity is read here, and no error quotes a patient's data.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hybridq.data.decoding import MOST_PIXELS, Pixels
from hybridq.errors import UserError

GREY: Final = ("MONOCHROME1", "MONOCHROME2")
PALETTE: Final = "PALETTE COLOR"
COLOUR: Final = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
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


def decode_dicom(path: Path, frame: int | None = None) -> Pixels:
    """One frame (H, W) or (H, W, 3), uint8, or uint16 where more than 8 bits are stored.

    Grey values go through modality LUT (or rescale) and VOI LUT (or the first window), and MONOCHROME1 is inverted, so
    that black is always 0; the output range of that pipeline is stretched to all of 0–255 or 0–65535. Without VOI LUT
    or window, that range is the one of the bits stored: no contrast depends on the image itself. Padding is black.

    ``frame`` None is the only one. Raises :class:`UserError` for files that are no DICOM images, or hold several frames
    where one is expected, or are damaged or compressed as nothing here decodes.
    """
    from pydicom.pixels.processing import apply_color_lut
    from pydicom.pixels.utils import pixel_array

    header = _header(path)
    try:
        with silent_pydicom():  # pydicom converts a value when it is asked for: damage shows here
            photometric = str(header.get("PhotometricInterpretation", ""))
            frame = _check_frame(path, header, frame)
            allowed = (*GREY, PALETTE, *COLOUR)
            if photometric not in allowed:
                raise UserError(
                    f"{path}: has the photometric interpretation {photometric!r}; allowed: {', '.join(allowed)}"
                )
            stored = pixel_array(path, index=frame)
            _use_functional_groups(header, frame)
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


def _header(path: Path) -> Any:
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    try:
        with silent_pydicom():
            return dcmread(path, stop_before_pixels=True, specific_tags=TAGS)
    except InvalidDicomError:
        raise UserError(f"{path}: is not a DICOM file") from None
    except OSError as error:
        raise UserError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from None
    except Exception:  # a damaged header fails in many ways, and its values are not to be quoted
        raise UserError(f"{path}: its DICOM header is damaged") from None


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


def _use_functional_groups(header: Any, frame: int) -> None:
    """Enhanced multi-frame objects keep rescale and window by frame: put those of this frame where others have them."""
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or []
    groups = [*(header.get("SharedFunctionalGroupsSequence") or [])[:1], *per_frame[frame : frame + 1]]
    for group in groups:
        for macro in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
            for element in (group.get(macro) or [[]])[0]:
                header[element.tag] = element


def _shown(stored: NDArray[Any], header: Any, *, inverted: bool) -> Pixels:
    from pydicom.pixels.processing import apply_modality_lut, apply_voi, apply_windowing

    bits = int(header.BitsStored)
    low, high = _modality_range(header, bits)
    padding = _padding(stored, header)
    values = apply_modality_lut(stored, header)
    if header.get("VOILUTSequence"):
        values = apply_voi(np.rint(values).astype(np.int64), header)
        low, high = 0.0, 2.0 ** int(header.VOILUTSequence[0].LUTDescriptor[2]) - 1
    elif header.get("WindowWidth") is not None and header.get("WindowCenter") is not None:
        # Otherwise pydicom maps the window to the range of the modality values, backwards where the slope is negative.
        for name in ("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept"):
            header.pop(name, None)
        header.PixelRepresentation = 0
        values = apply_windowing(values, header)
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
