from __future__ import annotations

import logging
import os
import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dicom_files import NAME, NUMBER, SECRETS, write_dicom
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.fileset import FileSet
from pydicom.uid import (
    MPEG2MPML,
    BasicTextSRStorage,
    ComprehensiveSRStorage,
    EncapsulatedPDFStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    JPEGExtended12Bit,
    KeyObjectSelectionDocumentStorage,
    MRSpectroscopyStorage,
    OphthalmicThicknessMapStorage,
    ParametricMapStorage,
    RLELossless,
    RTDoseStorage,
    RTImageStorage,
    RTPlanStorage,
    RTStructureSetStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
    TwelveLeadECGWaveformStorage,
    generate_uid,
)
from tiny import quietly

from hybridq.config import Data, parse_experiment
from hybridq.data.images.images import map_images
from hybridq.data.manifest import Manifest
from hybridq.data.sources import load_manifest
from hybridq.errors import UnusableFilesError, UserError

DATA = Data(source="dicom")
RNG = np.random.default_rng(0)


def load(root: Path, options: str = "") -> Manifest:
    return load_manifest(f"dicom:path={root}{options}", DATA, seed=0)


def picture(shape: tuple[int, ...] = (20, 20)) -> np.ndarray:
    return RNG.integers(0, 256, shape).astype(np.uint8)


def fill(root: Path, *, patients: int = 8, classes: tuple[str, ...] = ("ill", "well")) -> None:
    """Two images of every class of every patient, in folders of class, patient and study."""
    for patient in range(patients):
        for kind in classes:
            for number in range(2):
                folder = root / kind / f"Zimmermann_{patient}" / "19510413"
                write_dicom(folder / f"{number}.dcm", picture(), patient=f"{NUMBER}-{patient}", name=f"{NAME}{patient}")


def secrets_in(text: str) -> list[str]:
    """Secrets in a text, apart from its hashes, whose digits may be any."""
    said = re.sub(r"\b[0-9a-f]{16,64}\b", "", text.lower())
    return [secret for secret in SECRETS if secret in said]


def test_class_folders_are_labels_and_patients_are_groups(tmp_path: Path) -> None:
    fill(tmp_path)
    manifest = load(tmp_path)
    assert manifest.classes == ("well", "ill")
    assert manifest.groups == "patient"
    assert manifest.table["group"].nunique() == 8
    assert (manifest.table.groupby("group")["split"].nunique() == 1).all()
    assert set(manifest.table["modality"]) == {"XA"}
    assert set(manifest.table["width"]) == {20}
    assert manifest.counts().to_numpy().sum() == 32


def test_ids_and_groups_are_hashes_that_stay_the_same(tmp_path: Path) -> None:
    fill(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "elsewhere")
    manifest, moved = load(tmp_path / "one"), load(tmp_path / "elsewhere")
    assert manifest.table["id"].str.fullmatch("[0-9a-f]{16}").all()
    assert manifest.table["group"].str.fullmatch("[0-9a-f]{16}").all()
    assert moved.table["id"].tolist() == manifest.table["id"].tolist()
    assert moved.table["group"].tolist() == manifest.table["group"].tolist()


def test_files_are_found_by_their_content_where_the_name_says_nothing(tmp_path: Path) -> None:
    fill(tmp_path)
    for path in tmp_path.rglob("*.dcm"):
        path.rename(path.with_suffix(""))
    (tmp_path / "ill" / "notes.txt").write_text("not an image")
    assert len(load(tmp_path).table) == 32


def test_frames_are_images_of_one_group(tmp_path: Path) -> None:
    for number in range(12):
        kind = ("ill", "well")[number % 2]
        patient = "" if number < 2 else f"P{number}"
        pixels = picture((3, 20, 20))
        write_dicom(tmp_path / kind / f"{number}.dcm", pixels, frames=3, patient=patient, syntax=RLELossless)
    manifest = load(tmp_path)
    assert len(manifest.table) == 36
    assert manifest.table["frame"].tolist() == [0, 1, 2] * 12
    assert manifest.table["id"].is_unique
    assert (manifest.table.groupby("path")["group"].nunique() == 1).all()
    assert (manifest.table["group"] != "").all()
    assert any(note.startswith("2 of 12 files name no patient") for note in manifest.notes)


def test_a_table_of_labels_and_splits(tmp_path: Path) -> None:
    rows = []
    for number in range(12):
        write_dicom(tmp_path / "scans" / f"{number}.dcm", picture(), patient=f"P{number}")
        rows.append(
            {"path": f"{number}.dcm", "label": "ab"[number % 2], "split": ("train", "val", "test")[number // 4]}
        )
    labels = tmp_path / "labels.csv"
    pd.DataFrame(rows[:11]).to_csv(labels, index=False)
    manifest = load(tmp_path / "scans", f",labels={labels}")
    assert manifest.counts().to_dict("index") == {
        "train": {"a": 2, "b": 2},
        "validation": {"a": 2, "b": 2},
        "test": {"a": 2, "b": 1},
    }
    assert "1 DICOM files that labels.csv does not list are left out." in manifest.notes


def test_a_patient_in_two_splits_is_refused_by_hash(tmp_path: Path) -> None:
    for split in ("train", "validation", "test"):
        for kind in ("ill", "well"):
            for number in range(2):
                write_dicom(tmp_path / split / kind / f"{number}.dcm", picture(), patient=f"{NUMBER}-{split}-{number}")
    assert len(load(tmp_path).table) == 12
    write_dicom(tmp_path / "train" / "ill" / "9.dcm", picture(), patient=f"{NUMBER}-test-0")
    with pytest.raises(UserError, match=r"1 patient with images in more than one split \([0-9a-f]{16}\)") as caught:
        load(tmp_path)
    assert not secrets_in(str(caught.value).replace(str(tmp_path), ""))


def test_a_dicomdir_says_which_files_there_are(tmp_path: Path) -> None:
    media = FileSet()
    for number in range(6):
        media.add(write_dicom(tmp_path / "in" / f"{number}.dcm", picture(), patient=f"P{number}"))
    media.write(tmp_path / "disc")
    manifest = load(tmp_path / "disc")
    assert not manifest.labelled
    assert len(manifest.table) == 6
    write_dicom(tmp_path / "disc" / "unlisted.dcm", picture())
    assert len(load(tmp_path / "disc").table) == 6
    next(path for path in (tmp_path / "disc").rglob("*") if path.is_file() and path.name.startswith("IM")).unlink()
    with pytest.raises(UserError, match=r"of 6 images listed, 1 do not exist and 0 lie outside; .*rename or remove"):
        load(tmp_path / "disc")


def test_objects_without_images_are_left_out_with_a_note(tmp_path: Path) -> None:
    fill(tmp_path)
    write_dicom(tmp_path / "ill" / "report.dcm", None, SOPClassUID=BasicTextSRStorage)
    manifest = load(tmp_path)
    assert len(manifest.table) == 32
    assert "1 DICOM object is left out as no picture of a patient (Basic Text SR 1)." in manifest.notes


PIXELS_OF_OTHER_KINDS = (
    SegmentationStorage,
    RTDoseStorage,
    ParametricMapStorage,
    OphthalmicThicknessMapStorage,
    MRSpectroscopyStorage,
)
NO_PIXELS = (
    RTStructureSetStorage,
    RTPlanStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    ComprehensiveSRStorage,
    TwelveLeadECGWaveformStorage,
    EncapsulatedPDFStorage,
    KeyObjectSelectionDocumentStorage,
)


def test_objects_that_are_no_pictures_are_left_out_by_their_class_and_counted_by_kind(tmp_path: Path) -> None:
    fill(tmp_path)
    for number, kind in enumerate(PIXELS_OF_OTHER_KINDS):
        write_dicom(tmp_path / "ill" / f"pixels{number}.dcm", picture(), SOPClassUID=kind)
    for number, kind in enumerate(NO_PIXELS):
        write_dicom(tmp_path / "well" / f"none{number}.dcm", None, SOPClassUID=kind)
    manifest = load(tmp_path)
    assert len(manifest.table) == 32
    (note,) = [note for note in manifest.notes if "left out" in note]
    assert note.startswith("12 DICOM objects are left out as no picture of a patient (")
    for kind in (*PIXELS_OF_OTHER_KINDS, *NO_PIXELS):
        assert f"{kind.name.removesuffix(' Storage')} 1" in note
    source = f"dicom:path={tmp_path}"
    found = load_manifest(source, Data(source=source), 0, classes=manifest.classes, again=True)
    assert len(found.table) == 32 + len(PIXELS_OF_OTHER_KINDS)  # a run that was trained on them finds them


@pytest.mark.parametrize("kind", [SecondaryCaptureImageStorage, RTImageStorage, "1.2.3.4.5"])
def test_secondary_captures_and_private_objects_with_pixels_are_images(tmp_path: Path, kind: str) -> None:
    fill(tmp_path)
    write_dicom(tmp_path / "ill" / "capture.dcm", picture(), SOPClassUID=kind)
    assert len(load(tmp_path).table) == 33


def test_localizers_derived_images_and_windows_that_cannot_be_applied_are_said_by_class(tmp_path: Path) -> None:
    fill(tmp_path)
    ill = sorted((tmp_path / "ill").rglob("*.dcm"))
    for path, elements in zip(
        ill,
        [{"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}] * 4 + [{"ImageType": ["DERIVED", "SECONDARY"]}] * 8,
        strict=False,
    ):
        data = dcmread(path)
        data.ImageType = elements["ImageType"]
        data.WindowCenter, data.WindowWidth = 5, 0
        data.save_as(path)
    notes = load(tmp_path).notes
    assert "4 of 32 files are localizers (ImageType): 25% of ill, 0% of well." in notes
    assert "8 of 32 files are derived from other images (ImageType): 50% of ill, 0% of well." in notes
    (window,) = [note for note in notes if "cannot be applied" in note]
    assert window.startswith("12 of 32 files are given a window that cannot be applied")
    assert window.endswith(": 75% of ill, 0% of well.")


def test_files_with_and_without_a_window_are_a_note_by_class(tmp_path: Path) -> None:
    fill(tmp_path)
    for path in (tmp_path / "ill").rglob("*.dcm"):
        data = dcmread(path)
        data.WindowCenter, data.WindowWidth = 100, 200
        data.save_as(path)
    (note,) = [note for note in load(tmp_path).notes if "Grey values" in note]
    assert note == (
        "Grey values are shown in different ways, 16 by window, 16 by bits stored: without window or LUT 0% of ill, "
        "100% of well."
    )


def anonymous(root: Path, *, studies: int = 6) -> None:
    """Four images of each study, all of one PatientID, in folders of class and study."""
    for study in range(studies):
        uid, series = generate_uid(), [generate_uid(), generate_uid()]
        for number in range(4):
            kind = ("ill", "well")[study % 2]
            elements = {"StudyInstanceUID": uid, "SeriesInstanceUID": series[number % 2]}
            write_dicom(root / kind / f"s{study}" / f"{number}.dcm", picture(), patient="ANONYMOUS", **elements)


def test_one_patient_id_for_all_is_called_that_with_the_ways_on(tmp_path: Path) -> None:
    anonymous(tmp_path)
    with pytest.raises(UserError, match="all 24 files have the same PatientID, as after de-identification") as caught:
        load(tmp_path)
    ways = r"group=study \(6 groups\), group=series \(12 groups\), group=folder \(6 groups\)"
    assert re.search(ways, str(caught.value))
    assert "ANONYMOUS" not in str(caught.value)


def test_one_patient_id_in_all_splits_of_a_release_is_a_note_to_its_audit(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        anonymous(tmp_path / split, studies=2)
    with pytest.raises(UserError, match="all 24 files have the same PatientID"):
        load(tmp_path)
    released = load_manifest(f"dicom:path={tmp_path}", DATA, seed=0, as_released=True)
    assert "All 24 files have the same PatientID, as after de-identification." in released.notes


@pytest.mark.parametrize(("by", "groups"), [("study", 6), ("series", 12), ("folder", 6)])
def test_images_are_kept_together_by_study_series_or_folder(tmp_path: Path, by: str, groups: int) -> None:
    anonymous(tmp_path)
    manifest = load(tmp_path, f",group={by}")
    assert manifest.groups == by
    assert manifest.table["group"].nunique() == groups
    assert (manifest.table.groupby("group")["split"].nunique() == 1).all()
    assert manifest.table["group"].str.fullmatch("[0-9a-f]{16}").all()
    assert (
        f"The images are kept together by {by}: that the splits keep patients apart cannot be shown." in manifest.notes
    )


def test_an_unlabelled_set_of_one_patient_is_no_mistake(tmp_path: Path) -> None:
    for number in range(4):
        write_dicom(tmp_path / f"{number}.dcm", picture(), patient="ANONYMOUS")
    assert len(load(tmp_path).table) == 4


def test_what_cannot_be_decoded_is_found_before_training(tmp_path: Path) -> None:
    fill(tmp_path)
    jpeg = write_dicom(tmp_path / "ill" / "jpeg.dcm", picture().astype(np.uint16), BitsStored=12, HighBit=11)
    jpeg.PixelData = encapsulate([bytes(100)])
    jpeg["PixelData"].is_undefined_length = True
    jpeg.file_meta.TransferSyntaxUID = JPEGExtended12Bit
    jpeg.save_as(tmp_path / "ill" / "jpeg.dcm")
    write_dicom(tmp_path / "ill" / "slope.dcm", picture(), RescaleSlope=0, RescaleIntercept=0)
    write_dicom(tmp_path / "well" / "hsv.dcm", picture(), PhotometricInterpretation="HSV")
    with pytest.raises(UnusableFilesError) as caught:
        load(tmp_path)
    for message in (
        "3 of 35 files cannot be used",
        "is compressed as JPEG Extended of 12 bits, which nothing installed decodes",
        "has the rescale slope 0",
        "has a photometric interpretation that is not read",
    ):
        assert message in str(caught.value)
    assert [path.name for path in caught.value.paths] == ["jpeg.dcm", "slope.dcm", "hsv.dcm"]


def test_files_without_preamble_are_read_like_others(tmp_path: Path) -> None:
    fill(tmp_path)
    for number, path in enumerate(sorted(tmp_path.rglob("*.dcm"))):
        content = path.read_bytes()
        path.write_bytes(content[content.index(b"\x08\x00\x16\x00") :])
        if number % 2:
            path.rename(path.with_suffix(""))
    assert len(load(tmp_path).table) == 32


@pytest.mark.parametrize(
    "content",
    [
        b"\x08\x00" + bytes(200),
        b"\x08\x00\x96\x01\x12\x00" * 40,
        b"\x02\x00\x00\x00\x10\x00\x00\x00" + bytes(range(200)),
    ],
)
def test_other_binary_files_are_not_taken_for_files_without_preamble(tmp_path: Path, content: bytes) -> None:
    fill(tmp_path)
    (tmp_path / "ill" / "weights.bin").write_bytes(content)
    assert len(load(tmp_path).table) == 32


def test_copies_of_a_file_are_counted_and_keep_their_own_id(tmp_path: Path) -> None:
    fill(tmp_path)
    original = sorted(tmp_path.rglob("*.dcm"))[0]
    shutil.copy(original, original.with_name("zz.dcm"))
    manifest = load(tmp_path)
    assert manifest.table["id"].str.endswith("-2").sum() == 1
    assert "1 files have the SOPInstanceUID of another file." in manifest.notes


def test_folders_that_are_patients_are_not_taken_for_classes(tmp_path: Path) -> None:
    for number in range(6):
        folder = tmp_path / f"{NAME}{number}".replace("^", "_")
        write_dicom(folder / "a.dcm", picture(), patient=f"{NUMBER}-{number}", name=f"{NAME}{number}")
        write_dicom(folder / "b.dcm", picture(), patient=f"{NUMBER}-{number}", name=f"{NAME}{number}")
    with pytest.raises(UserError, match="its folders are patients, not classes") as caught:
        load(tmp_path)
    assert not secrets_in(str(caught.value).replace(str(tmp_path), ""))


def test_classes_of_one_patient_id_each_are_grouped_by_study_if_asked_for(tmp_path: Path) -> None:
    for number in range(12):
        kind = ("ill", "well")[number % 2]
        write_dicom(tmp_path / kind / f"{number}.dcm", picture(), patient=f"ANON-{number % 2}")
    with pytest.raises(UserError, match="its folders are patients, not classes"):
        load(tmp_path)
    assert load(tmp_path, ",group=study").table["group"].nunique() == 12


def test_all_bad_files_are_named_by_their_place_and_not_by_their_name(tmp_path: Path) -> None:
    fill(tmp_path)
    folder = tmp_path / "ill" / "Zimmermann_0"
    (folder / "a.dcm").write_text("text")
    (folder / "b.dcm").write_bytes(b"")
    write_dicom(folder / "c.dcm", picture(), PixelData=None)
    video = write_dicom(folder / "d.dcm", picture())
    video.PixelData = encapsulate([bytes(100)])
    video["PixelData"].is_undefined_length = True
    video.file_meta.TransferSyntaxUID = MPEG2MPML
    video.save_as(folder / "d.dcm")
    write_dicom(folder / "e.dcm", picture())
    (folder / "e.dcm").write_bytes((folder / "e.dcm").read_bytes()[:500])
    with pytest.raises(UserError) as caught:
        load(tmp_path)
    message = str(caught.value).replace(str(tmp_path), "")
    assert "5 of 37 files cannot be used" in message
    assert re.search(r"file 3 \(4 bytes\) is not a DICOM file; file 4 \(0 bytes\) is not a DICOM file; file 5", message)
    assert message.count("is of an image and holds no pixels") == 2
    assert "is compressed as MPEG2" in message
    assert not secrets_in(message)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("path,label\n9.dcm,a\n", "row 1 names no DICOM file in"),
        ("path,label\n0.dcm,a\n0.dcm,b\n", "row 2 names no DICOM file in .*, or one that is named before"),
        ("path,label\n0.dcm,\n", r"1 of 1 images has no label \(row 1: empty\)"),
        ("path,label,split\n0.dcm,a,later\n", "row 1 has the split later; allowed: train"),
        ("path\n0.dcm\n", "has no column label; a table of DICOM labels has the columns path, label"),
        ("path,label\n../0.dcm,a\n", "row 1 names no DICOM file in"),
    ],
)
def test_a_wrong_table_of_labels_is_one_sentence(tmp_path: Path, labels: str, message: str) -> None:
    write_dicom(tmp_path / "scans" / "0.dcm", picture())
    (tmp_path / "labels.csv").write_text(labels)
    with pytest.raises(UserError, match=message):
        load(tmp_path / "scans", f",labels={tmp_path / 'labels.csv'}")


def test_an_empty_folder_and_a_missing_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no DICOM files"):
        load(tmp_path)
    with pytest.raises(UserError, match="is no folder; it holds DICOM files"):
        load(tmp_path / "nowhere")


def test_loops_of_links_end(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "ill" / "loop").symlink_to(tmp_path)
    assert len(load(tmp_path).table) == 32


def test_pixels_that_cannot_be_decoded_are_named_by_hash_and_size(tmp_path: Path) -> None:
    fill(tmp_path)
    path = sorted(tmp_path.rglob("*.dcm"))[0]
    write_dicom(path, picture(), patient=f"{NUMBER}-0", syntax=RLELossless)
    path.write_bytes(path.read_bytes()[:-60])
    manifest = load(tmp_path)
    with pytest.raises(UserError) as caught:
        list(map_images(manifest, np.shape))
    identity = manifest.table.loc[manifest.table["path"] == str(path), "id"].iloc[0]
    assert str(caught.value).startswith(f"DICOM image {identity} of {path.stat().st_size} bytes: cannot be decoded")
    assert not secrets_in(str(caught.value))


@pytest.mark.filterwarnings("ignore:.*value.*for VR")
def test_training_on_dicom_tells_nobody_who_the_patients_are(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in the run folder, not on the terminal, not in logs or warnings; broken values are there to provoke them."""
    from hybridq.training.train import train

    caplog.set_level(logging.DEBUG, logger="pydicom")
    monkeypatch.setenv("HYBRIDQ_CACHE_DIR", str(tmp_path / "cache"))
    for number in range(24):
        write_dicom(
            tmp_path / "images" / ("ill", "well")[number % 2] / f"{NAME}-{number}" / f"{NUMBER}-{number}.dcm",
            picture(),
            patient=f"{NUMBER}-{number // 2}",
            name=f"{NAME}{number // 2}",
            StudyDate="2019-02-27 Zimmermann",
            PatientBirthDate="1951-04-13",
            SOPInstanceUID=f"{generate_uid()}.19510413" if number == 0 else generate_uid(),
        )
    caplog.clear()
    config = f"""
name: dicom
data: {{source: "dicom:path={tmp_path}/images", size: 16}}
pretrain: {{epochs: 0}}
train: {{epochs: 1, batch_size: 4, threads: 1}}
"""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        run = train(parse_experiment(config), tmp_path / "runs", announce=print, progress=quietly)
    written = [path for folder in (run.folder, tmp_path / "cache") for path in folder.rglob("*") if path.is_file()]
    assert any(path.name == "splits.csv" for path in written)
    for path in written:
        assert not secrets_in(path.read_bytes().decode("latin-1")), path
        assert not secrets_in(os.fspath(path.relative_to(tmp_path))), path
    said = "".join(capfd.readouterr()) + caplog.text + "".join(str(warning.message) for warning in warned)
    assert not secrets_in(said)
