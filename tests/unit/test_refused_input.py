"""What a model refuses may be a phone, a text or a secret: no error of pydantic's quotes it."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType

import pydantic
import pytest

import smsbridge
import smsbridge_operator


def modules() -> Iterator[ModuleType]:
    for package in (smsbridge, smsbridge_operator):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith("__main__") and ".api." not in found.name:
                yield importlib.import_module(found.name)


def models() -> Iterator[type[pydantic.BaseModel]]:
    for module in modules():
        for kind in vars(module).values():
            own = inspect.isclass(kind) and kind.__module__ == module.__name__
            if own and issubclass(kind, pydantic.BaseModel):
                yield kind


def adapters() -> dict[str, pydantic.TypeAdapter[object]]:
    """What is made by a function without arguments and so kept, by its place."""
    return {
        f"{module.__name__}.{name}": value()
        for module in modules()
        for name, value in vars(module).items()
        if hasattr(value, "cache_info")
        and getattr(value, "__module__", "") == module.__name__
        and not inspect.signature(value).parameters
        and "TypeAdapter" in str(inspect.signature(value).return_annotation)
    }


def test_every_model_hides_it() -> None:
    found = list(models())
    assert len(found) > 50
    assert [kind.__qualname__ for kind in found if not kind.model_config.get("hide_input_in_errors")] == []


def test_every_adapter_hides_it() -> None:
    found = adapters()
    assert len(found) == 4
    for name, adapter in found.items():
        for wrong in (
            b'"hunter2"',
            b'{"uid": "hunter2", "version": "hunter2"}',
            b'[[{"uid": "hunter2"}], "hunter2"]',
        ):
            with pytest.raises(pydantic.ValidationError) as caught:
                adapter.validate_json(wrong)
            assert "hunter2" not in str(caught.value), name
