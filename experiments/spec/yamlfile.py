"""Reading a YAML file into a pydantic model, so that every mistake is one line: file, line, key, and the way out."""

from __future__ import annotations

from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from sharpose.runtime.errors import InputError, nearest
from sharpose.runtime.fields import reason
from sharpose.runtime.plain_yaml import PlainLoader

Model = TypeVar("Model", bound=BaseModel)
Location = tuple[str | int, ...]

MAX_BYTES = 256 * 1024


class SpecError(InputError):
    """A spec, or what it names, does not work; the message is `file:line: key: what to do`."""


class YamlFile:
    """A parsed file: `content`, and `error(location, message)` for complaints about a place in it.

    Raises SpecError where the file cannot be read, is too large or deep, or is no YAML.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: dict[Location, int] = {}
        try:
            if path.exists() and not path.is_file() and not path.is_dir():
                raise SpecError(f"{path}: a pipe or a device, not a file; store the spec in a file first")
            with path.open("rb") as file:
                text = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise SpecError(f"{path}: cannot be read ({error.strerror}); check the path") from None
        if len(text) > MAX_BYTES:
            raise SpecError(f"{path}: larger than {MAX_BYTES // 1024} KiB; this is no spec")
        try:
            loader = PlainLoader(text.decode())
            node = loader.get_single_node()
            self.note_lines(node, ())
            self.content = None if node is None else loader.construct_document(node)
        except SpecError:
            raise
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise SpecError(f"{path}:{line}: not valid YAML: {error.problem}") from None
        except RecursionError:
            raise SpecError(f"{path}: nested too deeply") from None
        except (yaml.YAMLError, ValueError, TypeError, OverflowError) as error:
            raise SpecError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None

    def note_lines(self, node: yaml.Node | None, location: Location) -> None:
        """Remember where every value stands; refuse keys that are repeated or no text.

        Raises SpecError at such a key.
        """
        if node is None:
            return
        self.lines.setdefault(location, node.start_mark.line + 1)
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self.note_lines(item, (*location, index))
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                here = (*location, str(key.value))
                line = key.start_mark.line + 1
                if key.tag != "tag:yaml.org,2002:str":
                    raise SpecError(f"{self.path}:{line}: a key{inside(location)} must be text; put it in quotes")
                if here in self.lines:
                    first = self.lines[here]
                    raise SpecError(
                        f"{self.path}:{line}: key {key.value!r}{inside(location)} repeats line {first}; keep one"
                    )
                self.lines[here] = line
                self.note_lines(value, here)

    def error(self, location: Location, message: str) -> SpecError:
        """Return the exception that points at `location`, or at the nearest thing around it."""
        around = location
        while around and around not in self.lines:
            around = around[:-1]
        return SpecError(f"{self.path}:{self.lines.get(around, 1)}: {message}")

    def validate(self, model: type[Model]) -> Model:
        """Return the content as `model`. Raises SpecError for the first thing that does not fit."""
        try:
            return model.model_validate(self.content)
        except ValidationError as error:
            # a misspelt key also leaves its right spelling missing: name the cause, not the consequence
            first = min(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
            raise self.error(first["loc"], explain(first, model)) from None


def explain(error: Any, model: type[BaseModel]) -> str:
    """Explain a pydantic error in words."""
    location: Location = error["loc"]
    if not location:
        return "this must be a mapping of keys to values"
    key = location[-1]
    if error["type"] == "extra_forbidden":
        known = list(model_at(model, location[:-1]).model_fields)
        return f"unknown key {key!r}{inside(location[:-1])}{nearest(str(key), known)}"
    if error["type"] == "missing":
        return f"key {key!r}{inside(location[:-1])} is missing"
    return f"{dotted(location)} = {shorten(error['input'])} does not work: {reason(error)}"


def model_at(annotation: Any, location: Location) -> type[BaseModel]:
    """Return the model that validates the mapping at `location`."""
    for part in location:
        annotation = bare(annotation)
        annotation = annotation.model_fields[part].annotation if isinstance(part, str) else get_args(annotation)[0]
    return bare(annotation)


def bare(annotation: Any) -> Any:
    """Return `X` of `X | None`."""
    if get_origin(annotation) in (Union, UnionType):
        return next(choice for choice in get_args(annotation) if choice is not type(None))
    return annotation


def inside(location: Location) -> str:
    """Return ` in PLACE` for a message; empty at the top of the file."""
    return f" in {dotted(location)}" if location else ""


def dotted(location: Location) -> str:
    """Return `rows[1].paper.ap` for ("rows", 1, "paper", "ap")."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.removeprefix(".")


def shorten(value: object, length: int = 60) -> str:
    """Return a value in one line of at most `length` characters, the last an ellipsis where it was cut."""
    text = " ".join(repr(value).split())
    return text if len(text) <= length else text[: length - 1] + "…"
