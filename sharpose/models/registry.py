"""The systems, once, and everything that is asked about them by name, configuration or record.

No torch, so that listing is instant. `register` and `load_plugins` add systems from elsewhere.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from sharpose.models.layers.cost import Cost
from sharpose.models.system import System, load
from sharpose.runtime.errors import InputError, first_line, nearest

FOLDERS = (
    *("sharpose", "vitpose", "keypoint_vit", "regression_vit", "dynamicvit", "evit", "tome", "simple_baseline"),
    *("hrnet", "hrformer", "tokenpose", "okdhp", "transpose", "stacked_hourglass", "prtr", "tfpose", "quadtree", "dvt"),
)
"""Beside this file; the `config.py` of each declares a `SYSTEM`."""
SYSTEMS: dict[str, System] = {
    system.name: system for system in (import_module(f"sharpose.models.{folder}.config").SYSTEM for folder in FOLDERS)
}
BUILT_IN = frozenset(SYSTEMS)
GROUP = "sharpose.systems"
"""The entry points of installed packages whose systems are there without being asked for."""


def register(system: System) -> System:
    """Add a system, so that its models are created, listed, counted, trained and evaluated like all others.

    Returns it. Raises InputError for a name or configuration class that another system has.
    """
    known = SYSTEMS.get(system.name)
    if known is not None and origin(known) != origin(system):
        raise InputError(f"{system.name}: there is a system of that name already; choose another")
    for other in (other for other in SYSTEMS.values() if other is not known):
        if system.config is other.config:
            raise InputError(f"{system.name}: its configuration class is that of {other.name}; derive one of its own")
        if taken := sorted(set(system.sizes) & set(other.sizes)):
            raise InputError(f"{system.name}: {taken[0]} is a model of {other.name}; choose another name")
    SYSTEMS[system.name] = system
    return system


def origin(system: System) -> tuple[str, str]:
    """Return where a system's configuration is defined: a module that is imported again may register it again."""
    return system.config.__module__, system.config.__qualname__


def load_plugins(names: Iterable[str], folder: Path | None = None) -> None:
    """Import modules that register systems: `package.module`, or a file's path (relative to `folder`).

    Raises InputError for one that cannot be imported.
    """
    for name in names:
        with explained(f"plug-in {name}: cannot be imported"):
            if name.endswith(".py"):
                import_file((folder or Path()) / name)
            else:
                # a script of an environment does not look for modules where it is called
                if (here := str((folder or Path()).resolve())) not in sys.path:
                    sys.path.append(here)
                import_module(name)


@contextmanager
def explained(failure: str) -> Iterator[None]:
    """Raise InputError for whatever a foreign module does while it is imported."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{failure} ({first_line(error)})") from error


def import_file(path: Path) -> None:
    """Import a module from its file, once. Raises InputError where it is missing, or another module has its name."""
    if not path.is_file():
        raise InputError(f"plug-in {path}: no such file")
    if path.stem in sys.modules:
        known = getattr(sys.modules[path.stem], "__file__", None)
        if known is None or Path(known).resolve() != path.resolve():
            raise InputError(f"plug-in {path}: a module {path.stem} is there already ({known}); rename the file")
        return
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # worker processes and dataclasses look for it here
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise


@cache
def load_installed() -> None:
    """Register the systems of installed packages, which name a module or a `System` under `sharpose.systems`.

    Raises InputError where one cannot be loaded.
    """
    for point in entry_points(group=GROUP):
        with explained(f"entry point {point.value} of {GROUP}: cannot be loaded"):
            found = point.load()
        if isinstance(found, System):
            register(found)


def systems() -> Mapping[str, System]:
    """Return every system by name, those of installed packages and plug-ins included."""
    load_installed()
    return SYSTEMS


def is_built_in(name: str) -> bool:
    """Return whether a model is of this library, and of no plug-in. Raises InputError for an unknown name."""
    return find(name).name in BUILT_IN


def list_models() -> list[str]:
    """Return every name that `create_model` and `resolve_config` accept."""
    return [name for system in systems().values() for name in system.sizes]


def find(name: str) -> System:
    """Return the system of a named model. Raises InputError for an unknown name, with the nearest one or all."""
    for system in systems().values():
        if name in system.sizes:
            return system
    raise InputError(f"no model is called {name!r}{nearest(name, list_models())}")


def system_of(config: Any) -> System:
    """Return the system of a configuration. Raises InputError where none is registered for its class."""
    for system in systems().values():
        if type(config) is system.config:
            return system
    raise InputError(f"{type(config).__name__}: no system with this configuration is registered")


def resolve_config(name: str, *, semantics: str | None = None, **options: Any) -> Any:
    """Return `name`'s full configuration: `options` on top of a preset (SHaRPose: `release`, the default, or `paper`).

    Raises InputError for an unknown name, preset or option, or a value out of range, listing what is valid.
    """
    system = find(name)
    presets = list(system.presets)
    if semantics is not None and semantics not in presets:
        valid = f"one of {', '.join(presets)}" if presets else "left out: this system has no presets"
        raise InputError(f"semantics = {semantics!r} does not work: it must be {valid}")
    preset = system.presets[semantics or presets[0]] if presets else {}
    check_option_names(name, options)
    return build(system, {**system.sizes[name], **preset, **options})


def build(system: System, values: Mapping[str, Any]) -> Any:
    """Return a configuration from plain values; sizes arrive as lists from YAML and JSON."""
    return system.config(**{key: tuple(v) if isinstance(v, list) else v for key, v in values.items()})


def check_option_names(name: str, options: Iterable[str], others: Iterable[str] = ()) -> None:
    """Raise InputError for what is no option of the model `name`, with its options and `others`, or the nearest."""
    system = find(name)
    known = [*(["semantics"] if system.presets else []), *(field.name for field in fields(system.config))]
    for option in options:
        if option not in known:
            raise InputError(f"{name} has no option {option!r}{nearest(option, [*known, *others])}")


def describe(config: Any) -> dict[str, Any]:
    """Return a configuration as plain data: its `system` and every field, except extensions that are off.

    So what was measured before an extension was there keeps its identity.
    """
    off = [
        one.name for one in fields(config) if "extension" in one.metadata and getattr(config, one.name) == one.default
    ]
    known = {name: value for name, value in asdict(config).items() if name not in off}
    return {"system": system_of(config).name, **known}


def restore(described: Mapping[str, Any]) -> Any | None:
    """Return the configuration that `describe` described; None for a system that is not registered here."""
    system = systems().get(described["system"])
    return None if system is None else build(system, {k: v for k, v in described.items() if k != "system"})


def closed_form(config: Any, **choices: Any) -> Cost | None:
    """Return parameters and multiply-adds of one image by a configuration alone; None where a system has no formula."""
    formula = system_of(config).cost
    return None if formula is None else load(formula)(config, **choices)


def recorded_cost(described: Mapping[str, Any]) -> Cost | None:
    """Return the same for what a record describes; None also for a system that is not registered here."""
    config = restore(described)
    return None if config is None else closed_form(config)


def tokens_per_block(config: Any) -> list[int] | None:
    """Return tokens that enter each block, in order; None for systems whose blocks do not work on tokens."""
    plan = system_of(config).tokens_per_block
    return None if plan is None else plan(config)
