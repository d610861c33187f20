"""SMSC.ru over HTTP: finds the account, keeps its limits, strikes it with faults, counts what was asked.

    POST|GET /sys/{send,status,balance,info,senders,hlr}.php      POST /rest/send/

HTTP status is 200 whatever the answer; what it says stands in the body.
"""

from collections.abc import Callable

from aiohttp import web

from smsbridge.sandbox import acting, faults, smsc_order, smsc_queries, smsc_send, smsc_wire
from smsbridge.sandbox.clock import Clock
from smsbridge.sandbox.faults import Fault, FaultKind, StatusDown
from smsbridge.sandbox.settings import AccountSettings, Profile, SmscSettings
from smsbridge.sandbox.smsc_account import Account
from smsbridge.sandbox.smsc_callbacks import Callbacks
from smsbridge.sandbox.smsc_life import Life
from smsbridge.sandbox.smsc_limits import IpGuard
from smsbridge.sandbox.smsc_wire import Answer, ApiError, Call

_SCRIPTS = frozenset({"send", "status", "balance", "info", "senders", "hlr"})
_BLOCKING = frozenset({FaultKind.BLOCK_IP})
_NO_MONEY = frozenset({FaultKind.NO_MONEY})
_STATUS_DOWN = frozenset({FaultKind.STATUS_DOWN})
_MISSING = frozenset({FaultKind.MEMBER_MISSING})


class Smsc:
    def __init__(self, settings: SmscSettings, accounts: list[AccountSettings], clock: Clock) -> None:
        self.clock = clock
        self.guard = IpGuard(settings.ip)
        self.callbacks = Callbacks(clock, connections=settings.callback_connections)
        self.sending = smsc_send.Sending(Life(clock, self.callbacks))
        self.accounts: dict[str, Account] = {}
        self.unknown_logins = 0
        for account in accounts:
            self.add(account)

    def add(self, settings: AccountSettings) -> Account:
        self.accounts[settings.login] = Account(settings)
        return self.accounts[settings.login]

    def routes(self, prefix: str) -> list[web.AbstractRouteDef]:
        return [
            web.route("*", prefix + "/sys/{script}.php", self._script),
            web.post(prefix + "/rest/send/", self._rest_send),
        ]

    async def _script(self, request: web.Request) -> web.Response:
        script = request.match_info["script"]
        if script not in _SCRIPTS:
            return web.Response(status=404, text="Not Found")
        call = smsc_wire.read_form(
            script=script,
            ip=request.remote or "",
            query=request.rel_url.raw_query_string,
            body=await request.read(),
            by_get=request.method == "GET",
        )
        return await self._serve(request, call)

    async def _rest_send(self, request: web.Request) -> web.Response:
        query = request.rel_url.raw_query_string
        body = await request.read()
        call = smsc_wire.read_json(script="send", ip=request.remote or "", query=query, body=body)
        return await self._serve(request, call)

    async def _serve(self, request: web.Request, call: Call) -> web.Response:
        account = self._account(call)
        if account is None:
            self.unknown_logins += 1
            return _respond(call, smsc_wire.error_answer(self._wrong_login(call)))
        if call.script == "hlr" and account.profile is Profile.HTTP:
            return web.Response(status=404, text="Not Found")  # not among the published endpoints
        _note(account, call)
        account.inflight += 1
        account.totals.max_simultaneous = max(account.totals.max_simultaneous, account.inflight)
        try:
            if account.inflight >= account.settings.max_simultaneous:
                account.totals.requests[call.script]["error_9"] += 1
                return _respond(call, smsc_wire.error_answer(ApiError(9, smsc_wire.TOO_MANY)))
            return await self._answer(request, account, call)
        finally:
            account.inflight -= 1

    async def _answer(self, request: web.Request, account: Account, call: Call) -> web.Response:
        if account.settings.latency_ms:
            await self.clock.sleep(account.settings.latency_ms / 1000)
        down = account.faults.pick(_STATUS_DOWN, call=call.script) if call.script == "status" else None
        if down is not None:
            account.totals.requests[call.script]["status_down"] += 1
            return _status_down(call, down)
        fault = account.faults.pick(faults.TRANSPORT, call=call.script)
        if fault is None:
            return self._work(account, call)
        account.totals.requests[call.script][fault.kind.value] += 1
        return await acting.act(fault, lambda: self._work(account, call), clock=self.clock, request=request)

    def _account(self, call: Call) -> Account | None:
        """By login and password, or API key; with an empty login the password is taken for the key."""
        login, password, key = call.text("login"), call.text("psw"), call.text("apikey")
        if not login:
            key = key or password
            return next((a for a in self.accounts.values() if key and a.settings.api_key == key), None)
        account = self.accounts.get(login)
        return account if account is not None and account.password_fits(password) else None

    def _wrong_login(self, call: Call) -> ApiError:
        now = self.clock.now()
        if self.guard.blocked(call.ip, now):
            return ApiError(4)
        self.guard.wrong_login(call.ip, now)
        return ApiError(2)

    def _work(self, account: Account, call: Call) -> web.Response:
        now = self.clock.now()
        fault = account.faults.pick(_BLOCKING, call=call.script)
        if fault is not None:
            self.guard.block(call.ip, until=now + fault.seconds)
        try:
            if self.guard.blocked(call.ip, now):
                raise ApiError(4)
            answer = self._dispatch(account, call, now)
        except ApiError as error:
            account.totals.requests[call.script][f"error_{error.number}"] += 1
            answer = smsc_wire.error_answer(error)
            good = False
        else:
            account.totals.requests[call.script]["ok"] += 1
            good = True
        if call.script == "send" and not self.guard.blocked(call.ip, now):
            self.guard.sent(call.ip, good=good, now=now)
        return _respond(call, answer)

    def _dispatch(self, account: Account, call: Call, now: float) -> Answer:
        queries: dict[str, Callable[[], Answer]] = {
            "send": lambda: self._send(account, call, now),
            "status": lambda: smsc_queries.status(account, call, now),
            "balance": lambda: smsc_queries.balance(account, call, now),
            "info": lambda: smsc_queries.info(account, call, now),
            "senders": lambda: smsc_queries.senders(account, call),
            "hlr": lambda: self._hlr(account, call),
        }
        return queries[call.script]()

    def _send(self, account: Account, call: Call, now: float) -> Answer:
        order = smsc_order.read_order(account, call)
        if order.cost_mode == 1:
            return self.sending.price_only(account, order, now)
        no_money = account.faults.pick(_NO_MONEY, call=call.script) is not None
        answer = self.sending.accept(account, order, now, no_money=no_money)
        listed = answer.document.get("phones")
        if listed and account.faults.pick(_MISSING, call=call.script) is not None:
            listed.pop()
        return answer

    def _hlr(self, account: Account, call: Call) -> Answer:
        no_money = account.faults.pick(_NO_MONEY, call=call.script) is not None
        return smsc_queries.hlr(account, call, no_money=no_money)


def _note(account: Account, call: Call) -> None:
    account.totals.get_requests += call.by_get
    account.totals.secrets_in_url += call.private_in_url


def _respond(call: Call, answer: Answer) -> web.Response:
    body, content_type = answer.render(call)
    return web.Response(body=body, headers={"Content-Type": f"{content_type}; charset={call.charset}"})


def _status_down(call: Call, fault: Fault) -> web.Response:
    if fault.mode is StatusDown.ERROR_9:
        return _respond(call, smsc_wire.error_answer(ApiError(9)))
    page = "<html><body><h1>Internal Server Error</h1></body></html>"
    return web.Response(
        status=500 if fault.mode is StatusDown.HTTP_500 else 200, text=page, content_type="text/html"
    )
