"""Images as arrays, and the files they are in."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8 | np.uint16]
"""Images at their own size are (H, W) grey or (H, W, 3) colour."""
File = tuple[str, int | None]
"""A path and the frame in it; None where the file is expected to hold one image."""
Levels = tuple[float, float]
"""A lower and an upper level of intensity."""

DICOM_ENDINGS: Final = (".dcm", ".dicom")
MOST_PIXELS: Final = 2**26
"""Of one image: more is refused before it is decoded, since a file of some bytes can ask for all memory."""
