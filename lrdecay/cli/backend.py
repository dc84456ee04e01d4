"""What the command line tells JAX before it starts."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _runs(raw: Mapping[str, Any]) -> int:
    """Runs of a study by its configuration, which may be wrong: this comes before its checks."""
    arms, seeds = raw.get("arms"), raw.get("seeds", 10)
    count = len(seeds) if isinstance(seeds, list) else seeds
    return len(arms) * count if isinstance(arms, dict) and isinstance(count, int) else 1


def use_every_core(raw: Mapping[str, Any]) -> None:
    """Makes every core a device of its own, as a CPU computes small models fastest one run a core.

    Nothing is changed where there is one run or one core, or where the environment already says how
    many devices a CPU is, or in a process that has already begun to compute. Accelerators are left
    as they are.

    Args:
      raw: the configuration of a study.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    chosen = "xla_force_host_platform_device_count" in flags or "JAX_NUM_CPU_DEVICES" in os.environ
    devices = min(_cores(), _runs(raw))
    if devices < 2 or chosen:
        return

    import jax

    try:
        jax.config.update("jax_num_cpu_devices", devices)
    except RuntimeError:  # JAX has started
        return
    # A device's operations must not spread over the cores of the others.
    os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false".strip()


def keep_compiled_programs() -> None:
    """Has JAX keep on disk what it compiles, unless it has been told where."""
    import jax

    if getattr(jax.config, "jax_compilation_cache_dir", None) is not None:
        return
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    jax.config.update("jax_compilation_cache_dir", str(cache / "lrdecay"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
