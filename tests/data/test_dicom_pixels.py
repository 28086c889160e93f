from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_files import lut, write_dicom
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import (
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from hybridq.data.decoding import Unreadable, decode_file
from hybridq.data.formats.dicom import decode_dicom
from hybridq.errors import UserError

RNG = np.random.default_rng(0)
EIGHT = RNG.integers(0, 256, (40, 36)).astype(np.uint8)
TWELVE = RNG.integers(0, 4096, (40, 36)).astype(np.uint16)
SIGNED = RNG.integers(-1024, 2048, (40, 36)).astype(np.int16)
COLOUR = RNG.integers(0, 256, (40, 36, 3)).astype(np.uint8)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "image.dcm"


def test_eight_bits_stay_as_they_are(file: Path) -> None:
    write_dicom(file, EIGHT)
    assert decode_dicom(file).dtype == np.uint8
    assert (decode_dicom(file) == EIGHT).all()


def test_more_than_eight_bits_become_sixteen_by_the_bits_stored(file: Path) -> None:
    write_dicom(file, TWELVE, BitsStored=12, HighBit=11)
    assert decode_dicom(file).dtype == np.uint16
    assert (decode_dicom(file) == np.rint(TWELVE / 4095 * 65535)).all()


def test_signed_values_start_at_their_smallest(file: Path) -> None:
    write_dicom(file, SIGNED)
    assert (decode_dicom(file) == SIGNED.astype(int) + 32768).all()


def test_colour_stays_colour(file: Path) -> None:
    write_dicom(file, COLOUR)
    assert (decode_dicom(file) == COLOUR).all()


def test_monochrome1_is_inverted(file: Path) -> None:
    write_dicom(file, EIGHT, PhotometricInterpretation="MONOCHROME1")
    assert (decode_dicom(file) == 255 - EIGHT).all()


def hounsfield(values: np.ndarray, centre: float, width: float) -> np.ndarray:
    """The window of PS3.3, C.11.2.1.2.1, as a share of the output range, value by value."""
    shares = []
    for value in values.ravel().astype(float):
        if value <= centre - 0.5 - (width - 1) / 2:
            shares.append(0.0)
        elif value > centre - 0.5 + (width - 1) / 2:
            shares.append(1.0)
        else:
            shares.append((value - (centre - 0.5)) / (width - 1) + 0.5)
    return np.array(shares).reshape(values.shape)


@pytest.mark.parametrize("slope", [1.0, 0.5, -1.0])
def test_a_window_works_on_rescaled_values(file: Path, slope: float) -> None:
    write_dicom(
        file,
        TWELVE,
        BitsStored=12,
        HighBit=11,
        RescaleSlope=slope,
        RescaleIntercept=-1024,
        WindowCenter=40,
        WindowWidth=400,
    )
    expected = hounsfield(TWELVE * slope - 1024, 40, 400) * 65535
    assert np.abs(decode_dicom(file) - expected).max() <= 0.5 + 1e-6


def test_the_first_of_several_windows_is_used(file: Path) -> None:
    write_dicom(file, EIGHT, WindowCenter=[100, 200], WindowWidth=[50, 10])
    assert np.abs(decode_dicom(file) - hounsfield(EIGHT, 100, 50) * 255).max() <= 0.5 + 1e-6


def test_rescaling_alone_changes_nothing_but_a_negative_slope_inverts(file: Path) -> None:
    write_dicom(file, EIGHT, RescaleSlope=2, RescaleIntercept=-100)
    assert (decode_dicom(file) == EIGHT).all()
    write_dicom(file, EIGHT, RescaleSlope=-2, RescaleIntercept=7)
    assert (decode_dicom(file) == 255 - EIGHT).all()


@pytest.mark.parametrize(
    "window",
    [
        {"WindowCenter": 5, "WindowWidth": 0},
        {"WindowCenter": 5, "WindowWidth": 0.5},
        {"WindowCenter": 5, "WindowWidth": -10},
        {"WindowCenter": None, "WindowWidth": 300},
        {"WindowCenter": 5, "WindowWidth": None},
        {"WindowCenter": 5, "WindowWidth": 0, "VOILUTFunction": "SIGMOID"},
        {"WindowCenter": 5, "WindowWidth": 300, "VOILUTFunction": "SQUARE"},
    ],
)
def test_a_window_that_cannot_be_applied_counts_as_absent(file: Path, window: dict[str, object]) -> None:
    write_dicom(file, TWELVE, BitsStored=12, HighBit=11)
    data = dcmread(file)
    for name, value in window.items():
        setattr(data, name, value)
    data.save_as(file)
    assert (decode_dicom(file) == np.rint(TWELVE / 4095 * 65535)).all()


def test_a_width_below_one_is_applied_where_the_function_allows_it(file: Path) -> None:
    slope = {"RescaleSlope": "0.0001", "RescaleIntercept": 0}
    window = {"WindowCenter": 0.2, "WindowWidth": 0.4, "VOILUTFunction": "LINEAR_EXACT"}
    write_dicom(file, TWELVE, BitsStored=12, HighBit=11, **slope, **window)
    np.testing.assert_allclose(decode_dicom(file) / 65535, np.clip(TWELVE * 0.0001 / 0.4, 0, 1), atol=2e-5)


def test_the_first_usable_of_several_windows_is_used(file: Path) -> None:
    write_dicom(file, EIGHT, WindowCenter=[5, 128], WindowWidth=[0, 256])
    assert (decode_dicom(file) == EIGHT).all()


def test_luts_without_entries_count_as_absent(file: Path) -> None:
    for name in ("VOILUTSequence", "ModalityLUTSequence"):
        for sequence in ([], [Dataset()], [lut(0, np.zeros(0), 8)]):
            write_dicom(file, EIGHT, **{name: sequence})
            assert (decode_dicom(file) == EIGHT).all()


@pytest.mark.parametrize("pixels", [EIGHT, TWELVE, COLOUR])
def test_a_deflated_file_is_decoded(file: Path, pixels: np.ndarray) -> None:
    data = write_dicom(file, pixels)
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    data.save_as(file, enforce_file_format=True)
    assert (decode_dicom(file) == pixels).all()


@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian, RLELossless])
@pytest.mark.parametrize("ending", [".dcm", ""])
def test_a_file_without_preamble_is_decoded(file: Path, syntax: str | None, ending: str) -> None:
    data = write_dicom(file, TWELVE, **({"syntax": syntax} if syntax == RLELossless else {}))
    if syntax == ImplicitVRLittleEndian:
        data.file_meta.TransferSyntaxUID = syntax
        data.save_as(file, implicit_vr=True, enforce_file_format=True)
    whole = file.read_bytes()
    # What has no syntax to be read by is cut off with the preamble; what is compressed keeps it.
    start = 132 if syntax == RLELossless else whole.index(b"\x08\x00\x16\x00")
    bare = file.with_name(f"bare{ending}")
    bare.write_bytes(whole[start:])
    decoded = decode_file(str(bare))
    assert not isinstance(decoded, Unreadable)
    assert (decoded == TWELVE).all()


def test_a_voi_lut_goes_before_a_window(file: Path) -> None:
    curve = np.linspace(0, 1023, 256).round() ** 2 / 1023
    write_dicom(file, EIGHT, VOILUTSequence=[lut(0, curve.round(), 10)], WindowCenter=10, WindowWidth=10)
    assert (decode_dicom(file) == np.rint(curve.round()[EIGHT] / 1023 * 255)).all()


def test_a_modality_lut_replaces_rescaling(file: Path) -> None:
    curve = np.arange(256)[::-1]
    write_dicom(file, EIGHT, ModalityLUTSequence=[lut(0, curve, 8)])
    assert (decode_dicom(file) == 255 - EIGHT).all()


def test_padding_is_black_whatever_its_value(file: Path) -> None:
    padded = EIGHT.copy()
    padded[:5] = 255
    write_dicom(file, padded, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=255)
    assert (decode_dicom(file)[:5] == 0).all()
    assert (decode_dicom(file)[5:] == np.where(EIGHT[5:] == 255, 0, 255 - EIGHT[5:])).all()


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
@pytest.mark.parametrize("pixels", [EIGHT, TWELVE, COLOUR], ids=["8 bits", "16 bits", "colour"])
def test_lossless_compression_changes_nothing(file: Path, syntax: str, pixels: np.ndarray) -> None:
    write_dicom(file, pixels)
    plain = decode_dicom(file)
    write_dicom(file, pixels, syntax=syntax)
    assert (decode_dicom(file) == plain).all()


def test_jpeg_is_decoded(file: Path, tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(32), np.arange(32)).astype(np.uint8) * 4
    Image.fromarray(smooth).save(tmp_path / "image.jpg", quality=95)
    data = write_dicom(file, smooth)
    data.PixelData = encapsulate([(tmp_path / "image.jpg").read_bytes()])
    data["PixelData"].is_undefined_length = True
    data.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    data.save_as(file)
    assert np.abs(decode_dicom(file).astype(int) - smooth).max() <= 4


def test_lossless_jpeg_is_decoded(file: Path, tmp_path: Path) -> None:
    import gdcm

    write_dicom(tmp_path / "plain.dcm", TWELVE, BitsStored=12, HighBit=11)
    reader = gdcm.ImageReader()
    reader.SetFileName(str(tmp_path / "plain.dcm"))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(file))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    from pydicom import dcmread

    assert dcmread(file).file_meta.TransferSyntaxUID == JPEGLosslessSV1
    assert (decode_dicom(file) == decode_dicom(tmp_path / "plain.dcm")).all()


def test_frames_of_a_multi_frame_file(file: Path) -> None:
    frames = RNG.integers(0, 256, (3, 8, 9)).astype(np.uint8)
    for syntax in (None, RLELossless):
        write_dicom(file, frames, frames=3, **({} if syntax is None else {"syntax": syntax}))
        for number in range(3):
            assert (decode_dicom(file, number) == frames[number]).all()
    with pytest.raises(UserError, match="has no frame 3; it holds 3"):
        decode_dicom(file, 3)


def test_enhanced_objects_have_a_window_and_a_scale_for_each_frame(file: Path) -> None:
    frames = np.stack([EIGHT, EIGHT])
    groups = []
    for centre in (50, 200):
        window, scale, group = Dataset(), Dataset(), Dataset()
        window.WindowCenter, window.WindowWidth = centre, 100
        scale.RescaleSlope, scale.RescaleIntercept, scale.RescaleType = 2, 0, "US"
        group.FrameVOILUTSequence, group.PixelValueTransformationSequence = [window], [scale]
        groups.append(group)
    write_dicom(file, frames, frames=2, PerFrameFunctionalGroupsSequence=groups)
    for number, centre in enumerate((50, 200)):
        expected = hounsfield(EIGHT * 2.0, centre, 100) * 255
        assert np.abs(decode_dicom(file, number) - expected).max() <= 0.5 + 1e-6


def test_a_palette_becomes_colour(file: Path) -> None:
    ramp = np.arange(256)
    tables = {"Red": ramp, "Green": ramp[::-1], "Blue": ramp * 0 + 7}
    elements: dict[str, object] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour, table in tables.items():
        elements[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        elements[f"{colour}PaletteColorLookupTableData"] = (table * 257).astype("<u2").tobytes()
    write_dicom(file, EIGHT, **elements)
    shown = decode_dicom(file)
    assert shown.shape == (40, 36, 3)
    assert (shown[..., 0] == EIGHT.astype(int) * 257).all()
    assert (shown[..., 1] == (255 - EIGHT.astype(int)) * 257).all()


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ({"PixelData": None}, "cannot be decoded"),
        ({"Rows": None}, "holds no image"),
        ({"Rows": 65535, "Columns": 65535}, "claims 65,535 × 65,535 pixels"),
        ({"Rows": 80}, "cannot be decoded"),
        ({"PhotometricInterpretation": "HSV"}, "photometric interpretation 'HSV'; allowed: MONOCHROME1"),
        ({"RescaleSlope": 0, "RescaleIntercept": 0}, "the rescale slope is 0"),
    ],
)
def test_what_is_no_image_is_refused_in_one_sentence(file: Path, elements: dict[str, object], message: str) -> None:
    write_dicom(file, EIGHT, **elements)
    with pytest.raises(UserError, match=message) as caught:
        decode_dicom(file)
    assert "\n" not in str(caught.value)


def test_damaged_files_are_refused(file: Path) -> None:
    write_dicom(file, EIGHT, syntax=RLELossless)
    whole = file.read_bytes()
    for length in (0, 1, 131, 132, 200, 400, len(whole) - 200):
        file.write_bytes(whole[:length])
        with pytest.raises(UserError):
            decode_dicom(file)
    file.write_text("not DICOM at all " * 30)
    with pytest.raises(UserError, match="is not a DICOM file"):
        decode_dicom(file)
    with pytest.raises(UserError, match="no such file"):
        decode_dicom(file.with_name("nowhere.dcm"))


def test_video_is_refused_by_name(file: Path) -> None:
    data = write_dicom(file, EIGHT)
    data.PixelData = encapsulate([b"\0" * 100])
    data["PixelData"].is_undefined_length = True
    data.file_meta.TransferSyntaxUID = MPEG2MPML
    data.save_as(file)
    with pytest.raises(UserError, match="cannot be decoded"):
        decode_dicom(file)
