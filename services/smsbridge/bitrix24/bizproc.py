"""Our robots and workflow activities in a portal, and the answers to their steps.

A code is taken once in an application, by a robot or by an activity. Bitrix24 drops all of them on every
update of the application, and its `add` is no upsert.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from smsbridge.bitrix24 import answers, batch, errors, forms
from smsbridge.bitrix24.messageservice import Caption
from smsbridge.core import errors as core_errors

ANSWER_METHOD = "bizproc.event.send"
_NOT_FOUND = "error_activity_not_found"
MAX_CODE = 128
_CODE = re.compile(rf"[A-Za-z0-9.\-_]{{1,{MAX_CODE}}}\Z")
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")


class StepKind(StrEnum):
    """Robots run on leads, deals and smart processes, activities also on contacts and companies."""

    ROBOT = "robot"
    ACTIVITY = "activity"


class PropertyType(StrEnum):
    STRING = "string"
    TEXT = "text"
    SELECT = "select"
    INTEGER = "int"
    DOUBLE = "double"
    BOOL = "bool"
    DATETIME = "datetime"


@dataclass(frozen=True, slots=True)
class Property:
    """`options` of a select: value and what is shown."""

    name: Caption
    type: PropertyType = PropertyType.STRING
    required: bool = False
    default: str = ""
    options: Mapping[str, str] = field(default_factory=dict)

    def params(self) -> dict[str, forms.Param]:
        given: dict[str, forms.Param] = {
            "Name": _caption(self.name),
            "Type": self.type.value,
            "Required": "Y" if self.required else "N",
            "Multiple": "N",
        }
        if self.default:
            given["Default"] = self.default
        if self.options:
            given["Options"] = dict(self.options)
        return given


@dataclass(frozen=True, slots=True)
class StepSpec:
    """`user_id`: whose token comes with a run, 0 for nobody's. `waits`: the workflow stops until we answer.
    `document_type`: module, class and type whose fields the settings may use. `only_for`: documents on which
    it is offered, as pairs of module and class; empty for all.
    """

    code: str
    handler: str
    name: Caption
    waits: bool
    description: Caption = ""
    user_id: int = 0
    properties: Mapping[str, Property] = field(default_factory=dict)
    returns: Mapping[str, Property] = field(default_factory=dict)
    document_type: tuple[str, ...] = ()
    only_for: Sequence[tuple[str, str]] = ()


def list_command(kind: StepKind) -> batch.Command:
    return batch.Command(f"bizproc.{kind}.list")


def read_codes(listed: object) -> tuple[str, ...]:
    """The result of `list_command`: codes of this application."""
    return tuple(answers.text_of(code) for code in answers.as_list(listed))


def add_command(kind: StepKind, step: StepSpec) -> batch.Command:
    """Raises InputError for what the portal would refuse."""
    return batch.Command(f"bizproc.{kind}.add", {"CODE": step.code, **_params(step)})


def update_command(kind: StepKind, step: StepSpec) -> batch.Command:
    """As `add_command`. Unlike a sender's, its settings stand in a map of their own."""
    return batch.Command(f"bizproc.{kind}.update", {"CODE": step.code, "FIELDS": _params(step)})


def delete_command(kind: StepKind, code: str) -> batch.Command:
    return batch.Command(f"bizproc.{kind}.delete", {"CODE": code})


def is_missing(error: core_errors.SmsbridgeError | None) -> bool:
    """Whether an update or a removal failed because the portal has no such step."""
    return isinstance(error, errors.PortalRefused) and error.rest_code.lower() == _NOT_FOUND


def answer_command(event_token: str, values: Mapping[str, str], *, log: str = "") -> batch.Command:
    """Ends the wait of a step. Names that are not registered as returned are dropped there without a word,
    and so is an answer to a step that does not wait any more.
    """
    return batch.Command(
        ANSWER_METHOD, {"EVENT_TOKEN": event_token, "RETURN_VALUES": values, "LOG_MESSAGE": log}
    )


def log_command(event_token: str, text: str) -> batch.Command:
    """A line in the workflow's log; the step goes on waiting."""
    return batch.Command("bizproc.activity.log", {"EVENT_TOKEN": event_token, "LOG_MESSAGE": text})


def is_over(error: core_errors.SmsbridgeError | None) -> bool:
    """Whether an answer came too late: the step has ended, and nobody will read another one either."""
    if not isinstance(error, errors.AccessDenied) or isinstance(error, errors.InsufficientScope):
        return False
    return error.rest_code.lower() == "access_denied"


def _params(step: StepSpec) -> dict[str, forms.Param]:
    if _CODE.match(step.code) is None:
        raise core_errors.InputError("use 1 to 128 of A-Z a-z 0-9 . - _", field="code")
    for key in (*step.properties, *step.returns):
        if _KEY.match(key) is None:
            raise core_errors.InputError(
                "use a letter, then letters, digits and _", field=f"properties.{key}"
            )
    params: dict[str, forms.Param] = {
        "HANDLER": step.handler,
        "NAME": _caption(step.name),
        "AUTH_USER_ID": step.user_id,
        "USE_SUBSCRIPTION": "Y" if step.waits else "N",  # unset, every workflow's author would choose
        "PROPERTIES": {key: item.params() for key, item in step.properties.items()},
        "RETURN_PROPERTIES": {key: item.params() for key, item in step.returns.items()},
    }
    if step.description:
        params["DESCRIPTION"] = _caption(step.description)
    if step.document_type:
        params["DOCUMENT_TYPE"] = list(step.document_type)
    if step.only_for:
        params["FILTER"] = {"INCLUDE": [list(pair) for pair in step.only_for]}
    return params


def _caption(caption: Caption) -> forms.Param:
    texts = [caption] if isinstance(caption, str) else list(caption.values())
    if not texts or not all(texts):
        raise core_errors.InputError("must not be empty", field="name")
    return caption if isinstance(caption, str) else {key.lower(): text for key, text in caption.items()}
