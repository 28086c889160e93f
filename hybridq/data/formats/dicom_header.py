"""What a data set needs to know of a DICOM file before its pixels are read, without whose image it is.

Identities are hashed as they are read: the values themselves are never kept, printed or written. A hash of a short
patient number can be found by trying all numbers, so hashes are pseudonyms, not anonymity.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hybridq.data.formats.dicom import (
    PHOTOMETRIC,
    Contrast,
    contrast_of,
    drop_unusable,
    looks_like_dicom,
    read_header,
    silent_pydicom,
    use_functional_groups,
)
from hybridq.data.pixels import DICOM_ENDINGS
from hybridq.errors import UserError

PURPOSE_PATIENT: Final = b"hybridq patient"
PURPOSE_IMAGE: Final = b"hybridq image"
"""Personalisation of BLAKE2b: the same text has other hashes as a patient and as an image."""
TAGS: Final = [
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "PatientID", "PatientName"),
    *("Modality", "ImageType", "Rows", "Columns", "NumberOfFrames", "BitsStored", "PhotometricInterpretation"),
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
]
PIXELS: Final = (0x7FE00008, 0x7FE00009, 0x7FE00010)
"""Tags of floating-point, double and integer pixels; nothing from the first of them on is read."""
DIRECTORY: Final = "DICOMDIR"
PICTURES: Final = ("Image Storage", "Enhanced US Volume Storage")
"""What the name of a standard SOP class holds whose objects are pictures; segmentations, doses, plans, maps, reports,
presentations and curves are not, though some have pixels."""
LOCALIZERS: Final = {"LOCALIZER", "SCOUT"}


@dataclass(frozen=True)
class DicomFacts:
    """One DICOM object."""

    image: str
    """Hash of its SOPInstanceUID, or of the file where it has none."""
    patient: str
    """Hash of its PatientID, "" where it has none."""
    study: str
    """Hash of its StudyInstanceUID, "" where it has none."""
    series: str
    """The same of its SeriesInstanceUID."""
    words: frozenset[str]
    """Hashes of the PatientID and of the parts of the PatientName, to recognise them in the name of a folder."""
    modality: str
    frames: int
    width: int
    height: int
    no_picture: str
    """Kind of the object, such as ``RT Dose``, where it is no picture of a patient; else ""."""
    localizer: bool
    derived: bool
    """Computed from other images, as its ImageType says."""
    contrast: Contrast
    unusable_window: bool
    """Whether it has a window that cannot be applied, and none that can."""
    problem: str
    """Why its pixels cannot be decoded, as far as its header says; else ""."""


def read_facts(path: Path) -> DicomFacts:
    """The facts of a file; raises :class:`UserError` with a reason that names nothing of the file's content."""
    from pydicom.errors import InvalidDicomError

    pixels = False

    def at_pixels(tag: int, *_: object) -> bool:
        nonlocal pixels
        pixels = tag in PIXELS
        return pixels

    try:
        with silent_pydicom():
            header = read_header(path, TAGS, at_pixels)
            if "SOPClassUID" not in header:  # as where the file ends before its pixels
                raise UserError("has a damaged DICOM header")
            return _facts(path, header, pixels)
    except InvalidDicomError:
        raise UserError("is not a DICOM file") from None
    except OSError as error:
        raise UserError((error.strerror or "cannot be read").lower()) from None
    except UserError:
        raise
    except Exception:  # a damaged header fails in many ways, and its values are not to be quoted
        raise UserError("has a damaged DICOM header") from None


def anonymous_name(path: Path) -> str | None:
    """A DICOM object by hash and size, by which its owner can find it; None where the file is no such object."""
    try:
        return f"DICOM image {read_facts(path).image} of {path.stat().st_size} bytes"
    except (UserError, OSError, ValueError):
        return None


def hashed(text: bytes, purpose: bytes) -> str:
    """16 hexadecimal digits: BLAKE2b of 8 bytes, personalised by the purpose."""
    return hashlib.blake2b(text, digest_size=8, person=purpose).hexdigest()


def words_of(text: str) -> frozenset[str]:
    """Hashes of the words of a text, so that two texts can be compared without keeping either."""
    found = {word for word in re.split(r"[\W_]+", text.casefold()) if len(word) > 1}
    return frozenset(hashed(word.encode(), PURPOSE_PATIENT) for word in found)


def dicom_files(folder: Path) -> list[Path]:
    """The DICOM files in a folder and its subfolders in order of name; links to folders are not followed."""
    return sorted(path for path in _walk(folder) if _looks_like_dicom(path))


def listed_files(root: Path) -> list[Path]:
    """The images that the DICOMDIR of ``root`` lists. Raises :class:`UserError` where one is missing or outside."""
    from pydicom import dcmread

    directory = root / DIRECTORY
    try:
        with silent_pydicom():
            records = dcmread(directory).DirectoryRecordSequence
            names = [record.ReferencedFileID for record in records if record.DirectoryRecordType == "IMAGE"]
    except Exception:  # as above
        raise UserError(f"{directory}: is not a readable DICOMDIR") from None
    files = [root.joinpath(*([name] if isinstance(name, str) else name)) for name in names]
    outside = sum(not path.resolve().is_relative_to(root) for path in files)
    missing = sum(not path.is_file() for path in files)
    if outside or missing:
        raise UserError(
            f"{directory}: of {len(files)} images listed, {missing} do not exist and {outside} lie outside; where it "
            "is out of date, rename or remove it, and the files are taken as they lie in the folder"
        )
    return files


def _facts(path: Path, header: Any, pixels: bool) -> DicomFacts:
    uid = _raw(header, "SOPInstanceUID")
    patient = _raw(header, "PatientID")
    names = b" ".join((patient, _raw(header, "PatientName"))).decode("utf-8", "replace")
    modality = _raw(header, "Modality").decode("ascii", "replace")
    study, series = _raw(header, "StudyInstanceUID"), _raw(header, "SeriesInstanceUID")
    described = set(_raw(header, "ImageType").decode("ascii", "replace").replace(" ", "").upper().split("\\"))
    no_picture = _no_picture(header, pixels)
    use_functional_groups(header, 0)
    unusable_window = drop_unusable(header)
    return DicomFacts(
        image=hashed(uid, PURPOSE_IMAGE) if uid else hashed(path.read_bytes(), PURPOSE_IMAGE),
        patient=hashed(patient, PURPOSE_PATIENT) if patient else "",
        study=hashed(study, PURPOSE_PATIENT) if study else "",
        series=hashed(series, PURPOSE_PATIENT) if series else "",
        words=words_of(names),
        modality=modality if re.fullmatch(r"[A-Z0-9_]{2,16}", modality) else "",
        frames=int(header.get("NumberOfFrames") or 1),
        width=int(header.get("Columns") or 0),
        height=int(header.get("Rows") or 0),
        no_picture=no_picture,
        localizer=bool(LOCALIZERS & described),
        derived="DERIVED" in described,
        contrast=contrast_of(header),
        unusable_window=unusable_window,
        problem="" if no_picture else _problem(header, pixels),
    )


def _no_picture(header: Any, pixels: bool) -> str:
    from pydicom.uid import UID

    sop = UID(_raw(header, "SOPClassUID").decode("ascii", "replace"))
    name = sop.name
    # Of an image that is cut off, or is damaged, the class may be all that is left.
    if any(kind in name for kind in PICTURES):
        return ""
    if name != sop:
        return name.removesuffix(" Storage")
    return "" if pixels or "Rows" in header else "private object without an image"


def _problem(header: Any, pixels: bool) -> str:
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import JPEGExtended12Bit

    if not pixels or not header.get("Columns") or not header.get("Rows"):
        return "is of an image and holds no pixels"
    syntax = header.file_meta.TransferSyntaxUID
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        decoder = None
    if decoder is None or not decoder.is_available:
        return f"is compressed as {syntax.name}, which nothing installed decodes"
    bits = int(header.get("BitsStored") or 0)
    # Of the decoders that pydicom knows, these two decode 8 bits alone.
    if syntax == JPEGExtended12Bit and bits > 8 and not set(decoder.available_plugins) - {"gdcm", "pillow"}:
        return (
            f"is compressed as JPEG Extended of {bits} bits, which nothing installed decodes; pylibjpeg-libjpeg does, "
            "or convert it, as with dcmdjpeg"
        )
    if str(header.get("PhotometricInterpretation", "")) not in PHOTOMETRIC:
        return f"has a photometric interpretation that is not read; allowed: {', '.join(PHOTOMETRIC)}"
    if contrast_of(header) and header.get("RescaleSlope") is not None and float(header.RescaleSlope) == 0:
        return "has the rescale slope 0"
    frames = int(header.get("NumberOfFrames") or 1)
    return f"claims {frames} frames" if frames < 1 else ""


def _raw(header: Any, name: str) -> bytes:
    """The bytes of a value as they stand in the file: nothing is converted, so nothing is complained about."""
    if name not in header:
        return b""
    value = header.get_item(name).value or b""
    text: bytes = value if isinstance(value, bytes) else str(value).encode()
    return text.strip(b" \0")


def _walk(folder: Path) -> Iterator[Path]:
    for around, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(around, name) for name in names if not name.startswith(".") and name != DIRECTORY)


def _looks_like_dicom(path: Path) -> bool:
    if path.suffix.lower() in DICOM_ENDINGS:
        return True
    try:
        with path.open("rb") as opened:
            return looks_like_dicom(opened.read(132))
    except OSError:
        return False
