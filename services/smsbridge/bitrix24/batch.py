"""Bitrix24's `batch`: up to 50 commands in one request, each with a result of its own.

HTTP 200 says nothing here: a command's own entry decides. No command knows of another; references between
them (`$result[...]`) are not used.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from smsbridge.bitrix24 import answers, errors, forms

METHOD = "batch"
MAX_COMMANDS = 50  # Bitrix24 refuses the 51st and later ones


@dataclass(frozen=True, slots=True)
class Command:
    method: str
    params: Mapping[str, forms.Param] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class CommandResult:
    """Either `value`, or the `error` that a call of its own would have raised."""

    value: object = None
    error: errors.PortalError | None = None

    @property
    def ok(self) -> bool:
        return self.error is None


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """`results` in the order of the commands; `operating` once per method, its highest figure."""

    results: tuple[CommandResult, ...]
    operating: tuple[answers.Operating, ...] = ()


def encode(commands: Sequence[Command]) -> dict[str, str]:
    """The value of `cmd`. Numeric keys would turn the answer's maps into lists. Raises ValueError."""
    if not 1 <= len(commands) <= MAX_COMMANDS:
        raise ValueError(f"a batch takes 1 to {MAX_COMMANDS} commands, not {len(commands)}")
    if any(command.method == METHOD for command in commands):
        raise ValueError("a batch cannot hold a batch")
    return {_key(n): _line(command) for n, command in enumerate(commands)}


def common_method(commands: Sequence[Command]) -> str:
    """The method that all commands call, else empty."""
    methods = {command.method for command in commands}
    return methods.pop() if len(methods) == 1 else ""


def read(result: object, commands: Sequence[Command]) -> BatchAnswer:
    body = answers.as_map(result)
    values = answers.as_map(body.get("result"))
    failures = answers.as_map(body.get("result_error"))
    times = answers.as_map(body.get("result_time"))
    results = []
    highest: dict[str, answers.Operating] = {}
    for n, command in enumerate(commands):
        key = _key(n)
        operating = answers.operating_of(times.get(key), method=command.method)
        known = highest.get(command.method)
        if operating and (known is None or operating.operating_seconds >= known.operating_seconds):
            highest[command.method] = operating
        results.append(_result(key, command, values=values, failures=failures, operating=operating))
    return BatchAnswer(tuple(results), tuple(highest.values()))


def _result(
    key: str,
    command: Command,
    *,
    values: Mapping[str, object],
    failures: Mapping[str, object],
    operating: answers.Operating | None,
) -> CommandResult:
    if key in failures:
        failure = answers.as_map(failures[key])
        return CommandResult(
            error=answers.error_of(
                answers.text_of(failure.get("error")),
                method=command.method,
                description=answers.text_of(failure.get("error_description")),
                reset_at=operating.reset_at if operating else None,
            )
        )
    if key in values:
        return CommandResult(value=values[key])
    return CommandResult(
        error=errors.PortalAway(
            f"the batch's answer says nothing about its command {command.method}",
            method=command.method,
            after_first_byte=True,
        )
    )


def _key(n: int) -> str:
    return f"m_{n}"


def _line(command: Command) -> str:
    query = forms.build_query(command.params)
    return f"{command.method}?{query}" if query else command.method
