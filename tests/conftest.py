"""Every test starts from the same seeds, on one thread, without a screen."""

import os
import random
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
for name in ("OMP", "MKL", "OPENBLAS"):
    os.environ.setdefault(f"{name}_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_CACHE_DIR", str(ROOT / ".cache" / "numba"))
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ["MPLBACKEND"] = "agg"

import numpy as np  # noqa: E402  (after the thread counts)
import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

settings.register_profile(
    "book", derandomize=True, deadline=None, database=None
)
settings.load_profile("book")


@pytest.fixture(autouse=True)
def _same_start():
    """Seed what a test may draw from; torch only where it is in use."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  (for code that still draws from it)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
        torch.manual_seed(0)
