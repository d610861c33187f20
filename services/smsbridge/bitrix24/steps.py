"""Our two steps of a workflow, "Send through SMSC" and "Check number (HLR)": codes, settings, answers.

The provisioner registers what stands here, the gateway reads its runs, the roles answer them. How steps are
registered and answered is `bizproc`'s knowledge.
"""

from collections.abc import Sequence
from enum import StrEnum

from smsbridge.bitrix24.bizproc import Property, PropertyType, StepKind, StepSpec
from smsbridge.core.message import Route


class Step(StrEnum):
    """The last part of a robot's code."""

    SEND = "send"
    HLR = "hlr"


class Setting(StrEnum):
    """What a workflow's author enters, `properties[...]` of a run."""

    PHONE = "phone"
    TEXT = "text"
    CHANNEL = "channel"
    WAIT_SECONDS = "wait_seconds"
    AWAIT_FINAL = "await_final"


class Returned(StrEnum):
    """What a workflow can branch on. The portal drops a name that is not registered."""

    STATUS = "status"
    CHANNEL = "channel"
    PRICE = "price"
    MESSAGE_ID = "message_id"
    REACHABILITY = "reachability"
    OPERATOR = "operator"
    REGION = "region"
    CHECKED_AT = "checked_at"
    REASON = "reason"


AS_CONFIGURED = "configured"  # of CHANNEL: as the provider's routing says
_SUFFIXES = {StepKind.ROBOT: "", StepKind.ACTIVITY: ".step"}
# Robots do not exist on contacts and companies, and a code is taken once in an application (facts 6.1).
_ACTIVITY_DOCUMENTS = (("crm", "CCrmDocumentContact"), ("crm", "CCrmDocumentCompany"))

_PHONE = Property({"ru": "Телефон", "en": "Phone"}, required=True)
_NAMES = {
    Step.SEND: {"ru": "Отправить через SMSC", "en": "Send through SMSC"},
    Step.HLR: {"ru": "Проверить номер (HLR)", "en": "Check number (HLR)"},
}
_DESCRIPTIONS = {
    Step.SEND: {
        "ru": "SMS или Viber через SMSC.ru; может дождаться итогового статуса",
        "en": "SMS or Viber through SMSC.ru; may wait for the final status",
    },
    Step.HLR: {
        "ru": "Доступность, оператор и регион номера; запрос платный",
        "en": "Reachability, operator and region of a number; a look-up costs money",
    },
}
_SETTINGS = {
    Step.SEND: {
        Setting.PHONE: _PHONE,
        Setting.TEXT: Property({"ru": "Текст", "en": "Text"}, PropertyType.TEXT, required=True),
        Setting.CHANNEL: Property(
            {"ru": "Канал", "en": "Channel"},
            PropertyType.SELECT,
            default=AS_CONFIGURED,
            options={
                AS_CONFIGURED: "Как настроено / As configured",
                Route.SMS.value: "SMS",
                Route.VIBER.value: "Viber",
                Route.CASCADE.value: "Viber, затем SMS / Viber, then SMS",
            },
        ),
        Setting.WAIT_SECONDS: Property(
            {"ru": "Ждать Viber, секунд", "en": "Wait for Viber, seconds"}, PropertyType.INTEGER
        ),
        Setting.AWAIT_FINAL: Property(
            {"ru": "Ждать итогового статуса", "en": "Wait for the final status"},
            PropertyType.BOOL,
            default="N",
        ),
    },
    Step.HLR: {Setting.PHONE: _PHONE},
}
_RETURNS = {
    Step.SEND: {
        Returned.STATUS: Property({"ru": "Статус", "en": "Status"}),
        Returned.CHANNEL: Property({"ru": "Канал", "en": "Channel"}),
        Returned.PRICE: Property({"ru": "Цена, руб.", "en": "Price, roubles"}, PropertyType.DOUBLE),
        Returned.MESSAGE_ID: Property({"ru": "Номер сообщения", "en": "Message id"}),
        Returned.REASON: Property({"ru": "Причина", "en": "Reason"}),
    },
    Step.HLR: {
        Returned.REACHABILITY: Property({"ru": "Доступность", "en": "Reachability"}),
        Returned.OPERATOR: Property({"ru": "Оператор", "en": "Operator"}),
        Returned.REGION: Property({"ru": "Регион", "en": "Region"}),
        Returned.CHECKED_AT: Property({"ru": "Проверен", "en": "Checked at"}, PropertyType.DATETIME),
        Returned.REASON: Property({"ru": "Причина", "en": "Reason"}),
    },
}


def code_of(provider_code: str, step: Step, kind: StepKind) -> str:
    return f"{provider_code}.{step}{_SUFFIXES[kind]}"


def codes(provider_code: str) -> Sequence[tuple[StepKind, str]]:
    """Of `all_specs`."""
    return [(kind, code_of(provider_code, step, kind)) for kind in StepKind for step in Step]


def step_of(provider_code: str, code: str) -> Step | None:
    """Which step a run's code means; None for a code that is none of this provider's."""
    known = {code_of(provider_code, step, kind).lower(): step for step in Step for kind in StepKind}
    return known.get(code.lower())


def spec(provider_code: str, step: Step, kind: StepKind, *, handler: str) -> StepSpec:
    """As it is registered. The workflow always waits: we answer at once where it need not."""
    return StepSpec(
        code=code_of(provider_code, step, kind),
        handler=handler,
        name=_NAMES[step],
        description=_DESCRIPTIONS[step],
        waits=True,
        properties={str(name): item for name, item in _SETTINGS[step].items()},
        returns={str(name): item for name, item in _RETURNS[step].items()},
        only_for=_ACTIVITY_DOCUMENTS if kind is StepKind.ACTIVITY else (),
    )


def all_specs(provider_code: str, *, handlers: str) -> Sequence[tuple[StepKind, StepSpec]]:
    """Four: each step as a robot and as an activity. A run is posted to `handlers`, the code behind it."""
    return [
        (kind, spec(provider_code, step, kind, handler=f"{handlers}/{code_of(provider_code, step, kind)}"))
        for kind in StepKind
        for step in Step
    ]
