"""Names of back-ends and what each can do. No torch, so that checking a request is instant."""

from __future__ import annotations

from sharpose.runtime.errors import InputError

EAGER, COMPILED, PACKED = "eager", "compiled", "packed"
PRECISIONS = {
    EAGER: ("fp32", "bf16", "fp16"),
    COMPILED: ("fp32", "bf16", "fp16"),
    PACKED: ("fp32", "bf16"),
    "onnxruntime": ("fp32", "int8"),
    "openvino": ("fp32", "bf16", "int8"),
}
"""By back-end. int8, and bf16 of packed: weights and, as they come, inputs of linear layers; the rest stays in fp32."""


def split_backend(named: str, precision: str) -> tuple[str, str]:
    """Split `openvino:bf16` into back-end and precision; one without takes `precision`."""
    backend, _, own = named.partition(":")
    return backend, own or precision


def check_backend(backend: str, precision: str, device: str) -> None:
    """Raise InputError for a back-end that is not known, or cannot do this precision or device."""
    if backend not in PRECISIONS:
        raise InputError(f"backend = {backend!r} does not work: it must be one of {', '.join(PRECISIONS)}")
    if precision not in PRECISIONS[backend]:
        able = "; ".join(f"{name}: {', '.join(precisions)}" for name, precisions in PRECISIONS.items())
        raise InputError(f"precision = {precision!r} does not work with backend {backend} ({able})")
    if backend not in (EAGER, COMPILED) and device != "cpu":
        raise InputError(f"device = {device!r}: backend {backend} runs on the CPU here; use --device cpu")
