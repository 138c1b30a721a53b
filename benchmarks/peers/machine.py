"""What a result must say about the machine that it was measured on."""

import importlib.metadata
import os
import platform
from datetime import UTC, datetime
from pathlib import Path


def cores():
    """Cores that this process may use, where the system tells."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def memory_bytes(name="VmHWM"):
    """Peak (VmHWM), present (VmRSS), RssAnon or RssFile of this process.

    Zero where the system is not Linux.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    lines = status.read_text().splitlines()
    found = next(x for x in lines if x.startswith(f"{name}:"))
    return int(found.split()[1]) * 1024


def machine(packages):
    """Processor, cores, system, versions of `packages`, date and load."""
    model = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [x.split(":")[1].strip() for x in lines if "model name" in x]
        model = names[0] if names else model
    return {
        "processor": model,
        "cores": cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {n: importlib.metadata.version(n) for n in packages},
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "load_before": round(os.getloadavg()[0], 2),
    }
