"""What the control API tells: the far end's truth, for tests and demos. Server and client share these."""

from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Report(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Duplicate(Report):
    """One (phone, text) that was accepted more than once."""

    phone: str
    text_digest: str
    client_ids: list[str]
    channels: list[str]


class CallbackReport(Report):
    waiting: int = 0
    lost: int = 0
    repeated: int = 0
    by_result: dict[str, int] = Field(default_factory=dict)  # "200", "timeout", "refused": how many


class Ledger(Report):
    """What an account saw. `sent_twice`: (phone, text, channel) accepted again; a cascade run by the client
    has the same (phone, text) once by each channel and is no repeat.
    """

    login: str
    requests: dict[str, dict[str, int]]  # endpoint: {"ok" | "error_N" | the fault's name: how many}
    get_requests: int
    secrets_in_url: int
    max_simultaneous: int
    accepted_requests: int
    messages: int
    refused_numbers: int
    distinct_phone_text: int
    sent_twice: int
    duplicates: list[Duplicate]
    by_channel: dict[str, int]  # as asked for
    delivered_by: dict[str, int]
    by_status: dict[str, int]
    look_ups: int
    looked_up_again: int  # look-ups of numbers that had been looked up before
    charged: Decimal
    balance: Decimal
    by_numbers_per_request: dict[int, int]
    callbacks: CallbackReport


class Sent(Report):
    """One accepted request."""

    client_id: str
    channel: str
    phones: list[str]
    text_digests: list[str]
    at: float
    sender: str


class MessageReport(Report):
    smsc_id: str
    phone: str
    text_digest: str
    kind: str
    status: int
    err: int
    accepted_at: float
    changed_at: float


class RowReport(Report):
    message_id: str
    phone: str
    origin: str
    status: str
    inserted: bool
    history: list[tuple[float, str, str]]  # when, status, by whom ("portal" or "app")
    writes: int


class RowSummary(Report):
    total: int
    by_status: dict[str, int]
    by_ending: dict[str, dict[str, int]]  # last two digits: status: how many
    written: int  # rows that the application has written at least once
    writes: int
    regressions: int  # rows that went from delivered to something else by the application's own write


class Traffic(Report):
    requests: int
    by_method: dict[str, int]  # commands of a batch are counted one by one
    by_error: dict[str, int]
    batches: int
    largest_batch: int
    status_503: int
    status_429: int
    get_requests: int
    auth_in_url: int
    operating_seconds: dict[str, float]


class HandoverReport(Report):
    posts: int
    by_status: dict[str, int]  # "200", "timeout", "refused": how many
    failures: int  # everything that is not 2xx
    failed_message_ids: list[str]  # the first thousand
    max_ms: float
    p50_ms: float
    p99_ms: float


class BroadcastReport(Report):
    broadcast_id: str
    total: int
    posted: int
    done: bool
    seconds: float
    posts_per_second: float


class PostReport(Report):
    """One post of the portal to the application; `status` 0 means that nobody answered."""

    url: str
    status: int
    body: str = ""


class EventReport(Report):
    posts: list[PostReport]
    application_token: str = ""
    access_token: str = ""
    refresh_token: str = ""
    message_ids: list[str] = Field(default_factory=list)


class EntityReport(Report):
    """`user_fields` for reading: of a list its XML_ID, or its text where it has none."""

    entity_id: int
    phones: list[str]
    fields: dict[str, Any]
    user_fields: dict[str, Any]


class EntitiesReport(Report):
    ids: list[int]


class StepReport(Report):
    """`values` are what the workflow may branch on; `answers`: how often the application has answered."""

    token: str
    code: str
    workflow_id: str
    waits: bool
    values: dict[str, Any]
    log: list[str]
    timed_out: bool
    answers: int
    posts: list[PostReport] = Field(default_factory=list)


class PortalReport(Report):
    domain: str
    member_id: str
    endpoint: str
    client_endpoint: str
    applications: list[dict[str, Any]]


class Overview(Report):
    smsc_url: str
    oauth_url: str
    control_url: str
    accounts: list[dict[str, str]]
    portals: list[PortalReport]
