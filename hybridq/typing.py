"""Types that are the same everywhere."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

Progress = Callable[[str, int, int], None]
"""Told what is done, how many parts of it are done, and of how many."""
Count = Callable[[int, int], None]
"""Told how many parts are done, and of how many."""
Announce = Callable[[str], None]
"""Told one line for the user."""
