"""Opens ONNX Runtime sessions on exactly the device that was asked for, or refuses."""

from __future__ import annotations

from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from trunkline_kit.errors import ConfigError, ModelError
from trunkline_worker.runtimes.huge_pages import on_huge_pages

if TYPE_CHECKING:
    import onnxruntime

_PACKAGES = ("onnxruntime", "onnxruntime-gpu")


class Device(StrEnum):
    CPU = "cpu"
    CUDA = "cuda"


_PROVIDERS = {Device.CPU: "CPUExecutionProvider", Device.CUDA: "CUDAExecutionProvider"}


class SessionConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a model is run."""

    device: Device = Device.CPU
    device_id: int = 0
    threads: int = 0
    """Threads of one model run; 0 means one per physical core."""
    spinning: bool = False
    """Keep those threads spinning between runs: a little faster alone, far slower when others need the cores."""


def check_installation() -> None:
    """Both ONNX Runtime packages own the same folder, so with both installed neither can be trusted.

    Raises ConfigError unless exactly one is installed.
    """
    installed = [name for name in _PACKAGES if _is_installed(name)]
    if len(installed) > 1:
        raise ConfigError("onnxruntime and onnxruntime-gpu are both installed; uninstall both, then install one")
    if not installed:
        raise ConfigError("ONNX Runtime is not installed; install the extra `cpu` or the extra `gpu`")


def open_session(graph: Path, config: SessionConfig) -> onnxruntime.InferenceSession:
    """Load a graph. Raises ModelError if it cannot be loaded, ConfigError if the device is not what was asked for."""
    return _open(str(graph), str(graph), session_options(config), config)


def open_model_session(graph: bytes, weights: Path, config: SessionConfig) -> onnxruntime.InferenceSession:
    """Load a graph that was made in memory and whose weights lie in files of the folder `weights`. Raises as above."""
    options = session_options(config)
    # The arena would keep what only loading takes.
    options.enable_cpu_mem_arena = False
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(weights))
    return _open(graph, f"a graph made of {weights}", options, config)


def _open(
    graph: str | bytes, name: str, options: onnxruntime.SessionOptions, config: SessionConfig
) -> onnxruntime.InferenceSession:
    # Imported here because it takes a quarter of a second and loads native libraries.
    import onnxruntime  # noqa: PLC0415
    from onnxruntime.capi import onnxruntime_pybind11_state as native  # noqa: PLC0415

    provider = _PROVIDERS[config.device]
    if provider not in onnxruntime.get_available_providers():
        raise ConfigError(f"this ONNX Runtime has no {provider}; install the extra `gpu` or set device: cpu")
    try:
        with on_huge_pages():
            session = onnxruntime.InferenceSession(graph, options, providers=_providers(config))
    except (
        native.Fail,
        native.InvalidArgument,
        native.RuntimeException,
        native.InvalidGraph,
        native.InvalidProtobuf,
        native.NotImplemented,
        native.NoSuchFile,
    ) as error:
        raise ModelError(f"{name} cannot be loaded: {first_line(error)}") from error
    if session.get_providers()[0] != provider:
        # ONNX Runtime only logs a line when a GPU cannot be used and goes on, many times slower, on the CPU.
        raise ConfigError(f"{provider} was asked for but could not be started; check the driver, CUDA and cuDNN")
    return session


def session_options(config: SessionConfig) -> onnxruntime.SessionOptions:
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = config.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if not config.spinning:
        # Threads spin inside a run, where they wait microseconds for each other, and sleep between runs.
        options.add_session_config_entry("session.force_spinning_stop", "1")
    return options


def first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _providers(config: SessionConfig) -> list[str | tuple[str, dict[str, str]]]:
    if config.device is Device.CUDA:
        return [(_PROVIDERS[Device.CUDA], {"device_id": str(config.device_id)}), _PROVIDERS[Device.CPU]]
    return [_PROVIDERS[Device.CPU]]


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
