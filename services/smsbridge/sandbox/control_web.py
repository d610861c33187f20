"""What all control routes share: JSON in, a model out, and every mistake a 400 with one clear sentence."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import pydantic
from aiohttp import web

from smsbridge.core import errors
from smsbridge.sandbox.reports import Report

Result = Report | Sequence[Report] | Mapping[str, Any] | None
Action = Callable[[web.Request], Awaitable[Result]]
M = TypeVar("M", bound=pydantic.BaseModel)
_MOST_ITEMS = 10_000


def route(method: str, path: str, action: Action) -> web.AbstractRouteDef:
    async def handle(request: web.Request) -> web.Response:
        try:
            result = await action(request)
        except errors.InputError as error:
            return web.json_response({"error": str(error)}, status=400)
        except pydantic.ValidationError as error:
            return web.json_response({"error": first_sentence(error)}, status=400)
        return web.json_response(_plain(result))

    return web.route(method, path, handle)


def first_sentence(error: pydantic.ValidationError) -> str:
    """`timing.delivery_seconds: Input should be ...`, without the value that was given."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    path = ".".join(str(part) for part in first["loc"])
    return f"{path}: {first['msg']}" if path else first["msg"]


async def read(request: web.Request) -> dict[str, Any]:
    body = await request.read()
    try:
        document = json.loads(body) if body else {}
    except ValueError:
        raise errors.InputError("the body must be JSON") from None
    if not isinstance(document, dict):
        raise errors.InputError("the body must be a JSON object")
    return document


async def read_as(request: web.Request, model: type[M]) -> M:
    return model.model_validate(await read(request))


def page(request: web.Request) -> slice:
    """`offset` and `limit` of a listing."""
    try:
        offset, limit = int(request.query.get("offset", 0)), int(request.query.get("limit", 1000))
    except ValueError:
        raise errors.InputError("offset and limit must be whole numbers") from None
    if offset < 0 or not 0 < limit <= _MOST_ITEMS:
        raise errors.InputError(f"offset must not be negative, limit between 1 and {_MOST_ITEMS}")
    return slice(offset, offset + limit)


def merged(model: M, changes: Mapping[str, Any]) -> M:
    """`model` with `changes` laid over it, nested ones too, and checked again."""
    return type(model).model_validate(_overlay(model.model_dump(), changes))


def _overlay(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for name, value in changes.items():
        old = result.get(name)
        result[name] = _overlay(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def _plain(result: Result) -> Any:
    if result is None:
        return {}
    if isinstance(result, Report):
        return result.model_dump(mode="json")
    if isinstance(result, Mapping):
        return dict(result)
    return [item.model_dump(mode="json") for item in result]
