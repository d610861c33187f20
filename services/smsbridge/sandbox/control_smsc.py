"""Control of the SMSC accounts.

POST   /smsc                     AccountSettings           another account
PATCH  /smsc/{login}             part of AccountSettings   changed settings; `balance` sets the money
GET    /smsc/{login}/ledger                                what the account saw: reports.Ledger
GET    /smsc/{login}/sends       ?offset=&limit=           accepted requests: reports.Sent
GET    /smsc/{login}/messages    ?phone=&offset=&limit=    reports.MessageReport
POST   /smsc/{login}/faults      faults.Fault              orders a fault; GET lists, DELETE clears
POST   /smsc/{login}/callbacks   orders.CallbackOrder      any call to the status handler
POST   /smsc-unblock                                       lets blocked addresses in again
"""

from decimal import Decimal

from aiohttp import web

from smsbridge.core import errors
from smsbridge.sandbox import control_web, faults, reports
from smsbridge.sandbox.orders import CallbackOrder
from smsbridge.sandbox.settings import AccountSettings
from smsbridge.sandbox.smsc_account import Account, Message, corrected
from smsbridge.sandbox.smsc_app import Smsc

_KINDS = faults.TRANSPORT | {
    faults.FaultKind.NO_MONEY,
    faults.FaultKind.BLOCK_IP,
    faults.FaultKind.MEMBER_MISSING,
    faults.FaultKind.STATUS_DOWN,
    faults.FaultKind.LOSE_CALLBACKS,
    faults.FaultKind.DELAY_CALLBACKS,
    faults.FaultKind.DUPLICATE_CALLBACKS,
    faults.FaultKind.REORDER_CALLBACKS,
}


class SmscControl:
    def __init__(self, smsc: Smsc) -> None:
        self._smsc = smsc

    def routes(self, prefix: str) -> list[web.AbstractRouteDef]:
        account = prefix + "/smsc/{login}"
        return [
            control_web.route("POST", prefix + "/smsc", self._create),
            control_web.route("POST", prefix + "/smsc-unblock", self._unblock),
            control_web.route("PATCH", account, self._change),
            control_web.route("GET", account + "/ledger", self._ledger),
            control_web.route("GET", account + "/sends", self._sends),
            control_web.route("GET", account + "/messages", self._messages),
            control_web.route("POST", account + "/faults", self._add_fault),
            control_web.route("GET", account + "/faults", self._list_faults),
            control_web.route("DELETE", account + "/faults", self._clear_faults),
            control_web.route("POST", account + "/callbacks", self._callback),
        ]

    def _account(self, request: web.Request) -> Account:
        account = self._smsc.accounts.get(request.match_info["login"])
        if account is None:
            raise errors.InputError("there is no account with this login", field="login")
        return account

    async def _create(self, request: web.Request) -> control_web.Result:
        settings = await control_web.read_as(request, AccountSettings)
        if settings.login in self._smsc.accounts:
            raise errors.InputError("an account with this login exists", field="login")
        self._smsc.add(settings)
        return {"login": settings.login}

    async def _change(self, request: web.Request) -> control_web.Result:
        account = self._account(request)
        changes = await control_web.read(request)
        if changes.get("login", account.settings.login) != account.settings.login:
            raise errors.InputError("a login cannot be changed: create another account", field="login")
        account.settings = control_web.merged(account.settings, changes)
        if "balance" in changes:
            account.balance = Decimal(account.settings.balance)
        return {"login": account.settings.login}

    async def _unblock(self, _: web.Request) -> control_web.Result:
        self._smsc.guard.release()
        return None

    async def _ledger(self, request: web.Request) -> control_web.Result:
        account = self._account(request)
        return account.ledger(self._smsc.callbacks.report(account))

    async def _sends(self, request: web.Request) -> control_web.Result:
        return self._account(request).sends[control_web.page(request)]

    async def _messages(self, request: web.Request) -> control_web.Result:
        messages = self._account(request).messages
        phone = request.query.get("phone", "")
        if phone:
            messages = [message for message in messages if message.phone == corrected(phone)]
        return [_message(message) for message in messages[control_web.page(request)]]

    async def _add_fault(self, request: web.Request) -> control_web.Result:
        fault = await control_web.read_as(request, faults.Fault)
        if fault.kind not in _KINDS:
            raise errors.InputError("this fault is not one of SMSC's", field="kind")
        self._account(request).faults.add(fault)
        return None

    async def _list_faults(self, request: web.Request) -> control_web.Result:
        return {"faults": self._account(request).faults.report()}

    async def _clear_faults(self, request: web.Request) -> control_web.Result:
        self._account(request).faults.clear()
        return None

    async def _callback(self, request: web.Request) -> control_web.Result:
        account = self._account(request)
        order = await control_web.read_as(request, CallbackOrder)
        if not account.settings.callback.url:
            raise errors.InputError("the account has no callback URL", field="callback.url")
        self._smsc.callbacks.send(account, order.fields)
        return None


def _message(message: Message) -> reports.MessageReport:
    return reports.MessageReport(
        smsc_id=str(message.public_id),
        phone=message.phone,
        text_digest=message.digest,
        kind=message.kind.value,
        status=message.status,
        err=message.err,
        accepted_at=message.accepted_at,
        changed_at=message.changed_at,
    )
