"""Fixed arrays of a compiled circuit, handed out in the precision and on the device of the values at hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Constants:
    """Arrays by name; complex ones become complex64 for float32 and complex128 for float64, integers stay int64."""

    def __init__(self, **arrays: NDArray[np.float64] | NDArray[np.complex128] | NDArray[np.int64]) -> None:
        self._arrays = arrays
        self._tensors: dict[tuple[torch.device, torch.dtype], dict[str, Tensor]] = {}

    def __getstate__(self) -> dict[str, Any]:
        # tensors are made again: a copy may be opened where there is no such device
        return {**self.__dict__, "_tensors": {}}

    def like(self, values: Tensor) -> dict[str, Tensor]:
        """The tensors that go with real values of this dtype and device."""
        key = (values.device, values.dtype)
        if key not in self._tensors:
            # a first call in inference mode, or under torch.func, would otherwise leave tensors that are refused later
            with torch.inference_mode(False), torch._C._DisableFuncTorch():
                self._tensors[key] = {
                    name: torch.as_tensor(array, device=values.device).to(_tensor_dtype(array.dtype, values.dtype))
                    for name, array in self._arrays.items()
                }
        return self._tensors[key]


def _tensor_dtype(array: np.dtype[np.generic], real: torch.dtype) -> torch.dtype:
    if array.kind == "i":
        return torch.int64
    return real.to_complex() if array.kind == "c" else real
