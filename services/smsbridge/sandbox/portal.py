"""One Bitrix24 portal in memory: people, applications, registered senders, message rows, what was asked.

State only. Methods are in `portal_methods`, HTTP in `portal_app`, what the portal posts in `portal_posts`.
"""

import hashlib
import itertools
import secrets
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from smsbridge.sandbox import faults, reports
from smsbridge.sandbox.crm import Crm
from smsbridge.sandbox.portal_limits import OperatingTime, RequestBucket
from smsbridge.sandbox.settings import ApplicationSettings, PortalSettings

_KEPT_FAILURES = 1000


@dataclass(slots=True)
class Sender:
    code: str
    handler: str
    name: Any  # a string or a map by language
    description: Any


@dataclass(slots=True)
class Activity:
    """A robot, or an activity of the designer. Without `use_subscription` a workflow's author chooses."""

    code: str
    robot: bool
    handler: str = ""
    name: Any = ""
    description: Any = ""
    auth_user_id: int = 0
    use_subscription: str = ""
    properties: dict[str, dict[str, Any]] = field(default_factory=dict)
    return_properties: dict[str, dict[str, Any]] = field(default_factory=dict)
    document_type: list[str] = field(default_factory=list)
    rules: dict[str, Any] = field(default_factory=dict)  # FILTER


@dataclass(slots=True)
class Step:
    """A robot or activity under way. `answers`: how often the application has answered, in vain too."""

    token: str
    code: str
    workflow_id: str
    waits: bool
    returns: tuple[str, ...] = ()
    values: dict[str, Any] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    timed_out: bool = False
    answers: int = 0


@dataclass(slots=True)
class Application:
    settings: ApplicationSettings
    application_token: str = field(default_factory=lambda: secrets.token_hex(16))
    present: bool = False  # added to the portal; its tokens are good
    installed: bool = False  # its installation is finished
    version: int = 1
    install_url: str = ""
    senders: dict[str, Sender] = field(default_factory=dict)
    bindings: list[dict[str, str]] = field(default_factory=list)  # event, handler, auth_type
    activities: dict[str, Activity] = field(default_factory=dict)

    @property
    def client_id(self) -> str:
        return self.settings.client_id

    def forget_registrations(self) -> None:
        """An update of the version or an uninstall drops senders, event handlers, robots and activities."""
        self.senders.clear()
        self.activities.clear()
        self.bindings.clear()


@dataclass(slots=True, eq=False)
class Row:
    """One message in the portal's own table."""

    row_id: int
    message_id: str
    phone: str
    origin: str
    author_id: int
    status: str
    executed_at: float
    text: str = ""  # as it was ordered
    inserted: bool = False
    history: list[tuple[float, str, str]] = field(default_factory=list)
    writes: int = 0

    def set(self, status: str, *, by: str, now: float) -> None:
        """No ordering rule: a late `sent` replaces `delivered`. The same status again changes nothing."""
        if self.status != status:
            self.status = status
            self.history.append((now, status, by))


@dataclass(slots=True)
class Seen:
    """What the portal was asked, by method and by error."""

    methods: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    batches: int = 0
    largest_batch: int = 0
    status_503: int = 0
    status_429: int = 0
    get_requests: int = 0
    auth_in_url: int = 0


@dataclass(slots=True)
class Handovers:
    """The portal's posts to HANDLER: their outcome and how long each took."""

    results: Counter[str] = field(default_factory=Counter)
    elapsed_ms: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def note(self, message_id: str, *, status: str, elapsed_ms: float) -> None:
        self.results[status] += 1
        self.elapsed_ms.append(elapsed_ms)
        if not status.startswith("2") and len(self.failed) < _KEPT_FAILURES:
            self.failed.append(message_id)

    def report(self) -> reports.HandoverReport:
        times = sorted(self.elapsed_ms)
        return reports.HandoverReport(
            posts=len(times),
            by_status=dict(self.results),
            failures=sum(count for status, count in self.results.items() if not status.startswith("2")),
            failed_message_ids=list(self.failed),
            max_ms=round(times[-1], 2) if times else 0.0,
            p50_ms=_quantile(times, 0.5),
            p99_ms=_quantile(times, 0.99),
        )


def _quantile(times: list[float], part: float) -> float:
    return round(times[min(len(times) - 1, int(len(times) * part))], 2) if times else 0.0


class Portal:
    def __init__(self, settings: PortalSettings) -> None:
        self.settings = settings.model_copy(deep=True)
        self.domain = settings.domain
        digest = hashlib.md5(settings.domain.encode(), usedforsecurity=False).hexdigest()
        self.member_id = settings.member_id or digest
        self.users = {user.user_id: user.admin for user in settings.users}
        self.applications = {item.client_id: Application(item) for item in settings.applications}
        self.faults = faults.FaultBook()
        self.requests = RequestBucket(self.settings.requests)
        self.operating = OperatingTime(self.settings.operating)
        self.crm = Crm()
        self.steps: dict[str, Step] = {}
        self.rows: dict[str, Row] = {}
        self.rows_by_number: dict[int, Row] = {}
        self.seen = Seen()
        self.handovers = Handovers()
        self.deleted = False
        self._row_numbers = itertools.count(1)

    def reconfigure(self, settings: PortalSettings) -> None:
        """New limits and times for what has been counted so far; people and applications are only added."""
        self.settings = settings
        self.users.update({user.user_id: user.admin for user in settings.users})
        for item in settings.applications:
            self.applications.setdefault(item.client_id, Application(item))
        self.requests.limit = settings.requests
        self.operating.limit = settings.operating

    def new_row(
        self, *, message_id: str, phone: str, origin: str, author_id: int, now: float, text: str = ""
    ) -> Row:
        """A row that is not in the table yet: `insert` puts it there."""
        return Row(next(self._row_numbers), message_id, phone, origin, author_id, "", now, text)

    def insert(self, row: Row, *, status: str, now: float) -> None:
        row.inserted = True
        self.rows[row.message_id] = row
        self.rows_by_number[row.row_id] = row
        row.set(status, by="portal", now=now)

    def find_row(self, message_id: str, now: float) -> Row | None:
        """Rows older than their life time are cleaned away."""
        row = self.rows.get(message_id)
        if row is None or not row.inserted or now - row.executed_at > self.settings.row_lifetime_seconds:
            return None
        return row

    def traffic(self, now: float) -> reports.Traffic:
        seen = self.seen
        return reports.Traffic(
            requests=seen.requests,
            by_method=dict(seen.methods),
            by_error=dict(seen.errors),
            batches=seen.batches,
            largest_batch=seen.largest_batch,
            status_503=seen.status_503,
            status_429=seen.status_429,
            get_requests=seen.get_requests,
            auth_in_url=seen.auth_in_url,
            operating_seconds=self.operating.report(now),
        )
