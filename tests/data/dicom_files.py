"""Real DICOM files for tests, written with pydicom; the patient's data in them must never come out again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, FileDataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

NAME, NUMBER, BIRTH, STUDY_DATE = "Zimmermann^Kunigunde", "MRN-7734215", "19510413", "20190227"
SECRETS = ("zimmermann", "kunigunde", "7734215", "19510413", "1951", "20190227")


def write_dicom(
    path: Path,
    pixels: np.ndarray | None,
    *,
    patient: str = NUMBER,
    name: str = NAME,
    syntax: str = ExplicitVRLittleEndian,
    frames: int | None = None,
    **elements: Any,
) -> FileDataset:
    """One file; ``pixels`` is ([F,] H, W[, 3]), compressed by ``syntax``; ``elements`` replace or (None) remove."""
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = elements.pop("SOPClassUID", CTImageStorage)
    meta.MediaStorageSOPInstanceUID = elements.pop("SOPInstanceUID", generate_uid())
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.StudyInstanceUID, data.SeriesInstanceUID = generate_uid(), generate_uid()
    data.PatientName, data.PatientID = name, patient
    data.PatientBirthDate, data.StudyDate, data.StudyTime = BIRTH, STUDY_DATE, "101112"
    data.StudyID, data.SeriesNumber, data.InstanceNumber, data.Modality = "1", 1, 1, "XA"
    if pixels is not None:
        _describe(data, pixels, frames)
    for key, value in elements.items():
        if value is None:
            delattr(data, key)
        else:
            setattr(data, key, value)
    if pixels is not None and syntax != ExplicitVRLittleEndian:
        data.compress(syntax)
    data.save_as(path, enforce_file_format=True)
    return data


def _describe(data: FileDataset, pixels: np.ndarray, frames: int | None) -> None:
    colour = pixels.shape[-1] == 3
    data.Rows, data.Columns = pixels.shape[-3:-1] if colour else pixels.shape[-2:]
    data.SamplesPerPixel = 3 if colour else 1
    data.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        data.PlanarConfiguration = 0
    if frames is not None:
        data.NumberOfFrames = frames
    data.BitsAllocated = data.BitsStored = 8 * pixels.itemsize
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(np.issubdtype(pixels.dtype, np.signedinteger))
    data.PixelData = pixels.tobytes()


def lut(first: int, entries: np.ndarray, bits: int) -> Dataset:
    """One item of a VOI or modality LUT sequence."""
    item = Dataset()
    item.LUTDescriptor = [len(entries), first, bits]
    item["LUTDescriptor"].VR = "US"
    item.LUTData = entries.astype("<u2").tobytes()
    item["LUTData"].VR = "OW"
    item.LUTExplanation = "a curve"
    item.ModalityLUTType = "US"
    return item
