"""A client of the sandbox's control API, for the demo and for tests that drive a sandbox in another process.

    async with SandboxClient("http://127.0.0.1:8090/sandbox") as sandbox:
        await sandbox.install("example.bitrix24.ru", url=install_url)
        order = BroadcastOrder(range=PhoneRange(count=10_000))
        state = await sandbox.broadcast("example.bitrix24.ru", order)
        ledger = await sandbox.ledger("guide")

A refusal is raised as `core.errors.InputError` with the server's sentence, a silent server as `ServiceAway`.
"""

from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
from pydantic import TypeAdapter

from smsbridge.core import errors
from smsbridge.sandbox import orders, reports
from smsbridge.sandbox.expected import portal_status as expected_portal_status
from smsbridge.sandbox.faults import Fault
from smsbridge.sandbox.settings import AccountSettings, ApplicationSettings, Model, PortalSettings

__all__ = ["SandboxClient", "expected_portal_status"]

R = TypeVar("R")
_TIMEOUT_SECONDS = 60.0


class SandboxClient:
    def __init__(self, control_url: str) -> None:
        self._url = control_url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def overview(self) -> reports.Overview:
        return await self._get("", reports.Overview)

    async def advance(self, seconds: float) -> None:
        """Moves the sandbox's clock forward."""
        await self._call("POST", "/clock", {"seconds": seconds})

    # SMSC

    async def create_account(self, settings: AccountSettings) -> None:
        await self._call("POST", "/smsc", settings.model_dump(mode="json"))

    async def change_account(self, login: str, **changes: Any) -> None:
        """Only what is named; nested settings as dictionaries: `timing={"delivery_seconds": 0}`."""
        await self._call("PATCH", f"/smsc/{login}", changes)

    async def ledger(self, login: str) -> reports.Ledger:
        return await self._get(f"/smsc/{login}/ledger", reports.Ledger)

    async def sends(self, login: str, *, offset: int = 0, limit: int = 1000) -> list[reports.Sent]:
        return await self._get(f"/smsc/{login}/sends?offset={offset}&limit={limit}", list[reports.Sent])

    async def messages(self, login: str, *, phone: str = "") -> list[reports.MessageReport]:
        path = f"/smsc/{login}/messages?phone={phone.lstrip('+')}"
        return await self._get(path, list[reports.MessageReport])

    async def smsc_fault(self, login: str, fault: Fault) -> None:
        await self._call("POST", f"/smsc/{login}/faults", fault.model_dump(mode="json"))

    async def clear_smsc_faults(self, login: str) -> None:
        await self._call("DELETE", f"/smsc/{login}/faults")

    async def unblock(self) -> None:
        """Lets blocked addresses in again."""
        await self._call("POST", "/smsc-unblock")

    async def callback(self, login: str, fields: dict[str, str]) -> None:
        """Any call to the account's status handler."""
        await self._call("POST", f"/smsc/{login}/callbacks", {"fields": fields})

    # Portals

    async def create_portal(self, settings: PortalSettings) -> reports.PortalReport:
        return await self._post("/portals", settings, reports.PortalReport)

    async def change_portal(self, domain: str, **changes: Any) -> None:
        await self._call("PATCH", f"/portals/{domain}", changes)

    async def add_application(self, domain: str, settings: ApplicationSettings) -> None:
        await self._call("POST", f"/portals/{domain}/applications", settings.model_dump(mode="json"))

    async def install(
        self,
        domain: str,
        *,
        url: str = "",
        client_id: str = "",
        user_id: int = 1,
        new_application_token: bool = False,
    ) -> reports.EventReport:
        order = orders.InstallOrder(
            url=url, client_id=client_id, user_id=user_id, new_application_token=new_application_token
        )
        return await self._post(f"/portals/{domain}/install", order, reports.EventReport)

    async def open_frame(self, domain: str, order: orders.InstallOrder) -> reports.EventReport:
        return await self._post(f"/portals/{domain}/open", order, reports.EventReport)

    async def update(self, domain: str, order: orders.InstallOrder) -> reports.EventReport:
        return await self._post(f"/portals/{domain}/update", order, reports.EventReport)

    async def uninstall(self, domain: str, order: orders.UninstallOrder) -> reports.EventReport:
        return await self._post(f"/portals/{domain}/uninstall", order, reports.EventReport)

    async def event(self, domain: str, order: orders.EventOrder) -> reports.EventReport:
        return await self._post(f"/portals/{domain}/event", order, reports.EventReport)

    async def send(self, domain: str, order: orders.SendOrder) -> reports.EventReport:
        return await self._post(f"/portals/{domain}/send", order, reports.EventReport)

    async def broadcast(self, domain: str, order: orders.BroadcastOrder) -> reports.BroadcastReport:
        return await self._post(f"/portals/{domain}/broadcast", order, reports.BroadcastReport)

    async def broadcast_progress(self, broadcast_id: str) -> reports.BroadcastReport:
        return await self._get(f"/broadcasts/{broadcast_id}", reports.BroadcastReport)

    async def rows(
        self, domain: str, *, status: str = "", message_id: str = "", offset: int = 0, limit: int = 10_000
    ) -> list[reports.RowReport]:
        query = f"status={status}&message_id={message_id}&offset={offset}&limit={limit}"
        return await self._get(f"/portals/{domain}/rows?{query}", list[reports.RowReport])

    async def summary(self, domain: str) -> reports.RowSummary:
        return await self._get(f"/portals/{domain}/summary", reports.RowSummary)

    async def handovers(self, domain: str) -> reports.HandoverReport:
        return await self._get(f"/portals/{domain}/handovers", reports.HandoverReport)

    async def traffic(self, domain: str) -> reports.Traffic:
        return await self._get(f"/portals/{domain}/traffic", reports.Traffic)

    async def senders(self, domain: str) -> dict[str, list[dict[str, Any]]]:
        """What is registered, by application."""
        return await self._get(f"/portals/{domain}/senders", dict[str, list[dict[str, Any]]])

    # The CRM: `kind` is lead, contact or company

    async def create_entities(self, domain: str, kind: str, order: orders.EntitiesOrder) -> list[int]:
        report = await self._post(f"/portals/{domain}/crm/{kind}", order, reports.EntitiesReport)
        return report.ids

    async def entities(
        self, domain: str, kind: str, *, offset: int = 0, limit: int = 10_000
    ) -> list[reports.EntityReport]:
        path = f"/portals/{domain}/crm/{kind}?offset={offset}&limit={limit}"
        return await self._get(path, list[reports.EntityReport])

    async def change_entity(
        self, domain: str, kind: str, entity_id: int, order: orders.EntityOrder
    ) -> reports.EntityReport:
        """By hand."""
        return await self._post(f"/portals/{domain}/crm/{kind}/{entity_id}", order, reports.EntityReport)

    async def delete_entity(self, domain: str, kind: str, entity_id: int) -> None:
        await self._call("DELETE", f"/portals/{domain}/crm/{kind}/{entity_id}")

    async def crm_events(self, domain: str) -> dict[str, dict[str, int]]:
        """Posts that are over, by event and HTTP status; 0 where nobody answered."""
        return await self._get(f"/portals/{domain}/crm-events", dict[str, dict[str, int]])

    async def activities(self, domain: str) -> dict[str, list[dict[str, Any]]]:
        """Robots and activities, by application."""
        return await self._get(f"/portals/{domain}/activities", dict[str, list[dict[str, Any]]])

    async def run(self, domain: str, order: orders.RunOrder) -> reports.StepReport:
        """Runs a robot or an activity; its answer, where it waits for one, is among the `steps` later."""
        return await self._post(f"/portals/{domain}/run", order, reports.StepReport)

    async def steps(self, domain: str, *, offset: int = 0, limit: int = 10_000) -> list[reports.StepReport]:
        path = f"/portals/{domain}/steps?offset={offset}&limit={limit}"
        return await self._get(path, list[reports.StepReport])

    async def rename(self, domain: str, new_domain: str) -> None:
        await self._call("POST", f"/portals/{domain}/rename", {"domain": new_domain})

    async def expire_tokens(self, domain: str) -> None:
        await self._call("POST", f"/portals/{domain}/expire-tokens")

    async def drop_rows(self, domain: str, *message_ids: str) -> None:
        """Without ids all of them."""
        await self._call("POST", f"/portals/{domain}/drop-rows", {"message_ids": list(message_ids)})

    async def delete_portal(self, domain: str) -> None:
        await self._call("POST", f"/portals/{domain}/delete")

    async def portal_fault(self, domain: str, fault: Fault) -> None:
        await self._call("POST", f"/portals/{domain}/faults", fault.model_dump(mode="json"))

    async def clear_portal_faults(self, domain: str) -> None:
        await self._call("DELETE", f"/portals/{domain}/faults")

    async def oauth_fault(self, fault: Fault) -> None:
        await self._call("POST", "/oauth/faults", fault.model_dump(mode="json"))

    async def clear_oauth_faults(self) -> None:
        await self._call("DELETE", "/oauth/faults")

    async def oauth_results(self) -> dict[str, int]:
        """Token calls by result: `ok` or the error."""
        answer = await self._get("/oauth", dict[str, dict[str, int]])
        return answer["token"]

    async def _get(self, path: str, shape: type[R]) -> R:
        return TypeAdapter(shape).validate_python(await self._call("GET", path))

    async def _post(self, path: str, order: Model, shape: type[R]) -> R:
        return TypeAdapter(shape).validate_python(
            await self._call("POST", path, order.model_dump(mode="json"))
        )

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
            self._session = aiohttp.ClientSession(timeout=timeout)
        try:
            async with self._session.request(method, self._url + path, json=body) as response:
                if response.status not in {200, 400}:
                    raise errors.ServiceAway(f"the sandbox answered {response.status} to {method} {path}")
                answer = await response.json()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise errors.ServiceAway(f"the sandbox did not answer {method} {path}") from error
        if response.status == 400:
            raise errors.InputError(str(answer["error"]))
        return answer
