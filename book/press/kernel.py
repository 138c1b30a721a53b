"""The surroundings in which every notebook runs, whoever starts it."""

import json
import os
from pathlib import Path

from book.press.paths import Layout

FIXED = {
    "SOURCE_DATE_EPOCH": "315619200",
    "PYTHONHASHSEED": "0",
    "TZ": "UTC",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "JUPYTER_PREFER_ENV_PATH": "1",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    "COLUMNS": "80",
}
DROPPED = ("MPLBACKEND", "MPLCONFIGDIR", "PYTHONSTARTUP", "PYTHONWARNINGS")
CONFIG = {
    "IPKernelApp": {"log_level": 40},  # no notes about local transport
    "HistoryManager": {"enabled": False},
}


def environment(layout: Layout) -> dict[str, str]:
    """Environment variables of a kernel; the reader's settings stay out."""
    variables = {**os.environ, **FIXED}
    for name in DROPPED:
        variables.pop(name, None)
    variables["IPYTHONDIR"] = str(ipython_folder(layout))
    variables["PYTHONPATH"] = str(layout.root)
    variables["NUMBA_CACHE_DIR"] = str(layout.cache / "numba")
    return variables


def ipython_folder(layout: Layout) -> Path:
    """An IPython profile of our own, so that no personal one is loaded."""
    folder = layout.cache / "ipython"
    config = folder / "profile_default" / "ipython_kernel_config.json"
    text = json.dumps(CONFIG)
    if not config.exists() or config.read_text("utf-8") != text:
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text(text, encoding="utf-8")
    return folder
