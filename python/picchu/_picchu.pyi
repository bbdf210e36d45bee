"""The native half: private; the modules around it are the interface."""

from collections.abc import Callable
from os import PathLike
from typing import Any, final

import numpy as np
from numpy.typing import DTypeLike, NDArray
from PIL.Image import Image

__version__: str

type _Path = str | PathLike[str]
type _Selected = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]
