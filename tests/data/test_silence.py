"""What decoders in C say of a damaged file does not appear between the lines of a command."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hybridq.data.decoding import Unreadable, decode_file
from hybridq.data.formats.silence import silent_decoders


def damaged(compression: str) -> bytes:
    """A TIFF file whose compressed pixels are damaged."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8))
    buffer = io.BytesIO()
    (image.convert("1") if compression == "group4" else image).save(buffer, "TIFF", compression=compression)
    content = bytearray(buffer.getvalue())
    content[200:400] = bytes(byte ^ 0xFF for byte in content[200:400])
    return bytes(content)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "group4"])
def test_nothing_is_written_to_the_terminal_while_a_damaged_file_is_decoded(
    compression: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "damaged.tif"
    path.write_bytes(damaged(compression))
    with Image.open(path) as image:
        try:
            image.load()
        except OSError:
            heard = capfd.readouterr().err
        else:
            heard = capfd.readouterr().err
    assert heard, "libtiff does not complain of this file"
    found = decode_file(str(path))
    assert isinstance(found, (Unreadable, np.ndarray))
    assert capfd.readouterr() == ("", "")


def test_standard_error_is_as_it_was_afterwards(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError), silent_decoders():
        os.write(2, b"unheard")
        raise RuntimeError
    os.write(2, b"heard")
    assert capfd.readouterr().err == "heard"
