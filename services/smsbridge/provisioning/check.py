"""`provider check`: asks account and portal what they can do, without sending and without changing anything.

Where the facts allow no answer it says "cannot tell": a wrong certainty about the API profile would turn
failures into
deliveries, the two profiles use the same codes for different things.
"""

import functools
from dataclasses import dataclass
from enum import StrEnum

from smsbridge.bitrix24 import app, messageservice
from smsbridge.bitrix24 import client as bitrix24
from smsbridge.core import errors
from smsbridge.core.installation import Installation
from smsbridge.core.provider import Profile, Provider
from smsbridge.provisioning import conditions, portal_check, spec
from smsbridge.provisioning.portal import Portals
from smsbridge.smsc import account as accounts
from smsbridge.smsc import errors as smsc_errors
from smsbridge.smsc import transport, wire
from smsbridge.smsc.client import SmscClient

_PROBE_NUMBER = "79990000000"
_PROBE_TEXT = "smsbridge"
_LOGIN_REFUSED = 2
_PROBE_SECONDS = 10.0


class Verdict(StrEnum):
    OK = "ok"
    BAD = "bad"
    UNKNOWN = "cannot tell"


@dataclass(frozen=True, slots=True)
class Line:
    """`what` is a fixed word, `sentence` is for people."""

    what: str
    verdict: Verdict
    sentence: str


@dataclass(frozen=True, slots=True)
class Report:
    lines: tuple[Line, ...]
    profile: Profile | None = None  # which the account answers to, where that can be told

    @property
    def good(self) -> bool:
        return all(line.verdict is not Verdict.BAD for line in self.lines)


async def check(
    provider: Provider,
    installation: Installation | None,
    *,
    smsc: SmscClient,
    probe: transport.Transport,
    portals: Portals,
    crm: spec.CrmSection | None = None,
) -> Report:
    """Raises StoreAway. `probe` is an open connection pool to SMSC; it is not closed here. `crm`: what the
    spec wants there, for the scopes that it needs.
    """
    account_lines, profile = await _account(provider, smsc, probe)
    portal_lines = await _portal(provider, installation, portals, crm or spec.CrmSection())
    return Report((*account_lines, *portal_lines), profile)


async def _account(
    provider: Provider, smsc: SmscClient, probe: transport.Transport
) -> tuple[list[Line], Profile | None]:
    account = accounts.of(provider.account)
    try:
        balance = await smsc.balance(account)
    except smsc_errors.SmscRejected as error:
        reason = conditions.Reason.ACCOUNT_AWAY
        if error.error_code == _LOGIN_REFUSED:
            reason = conditions.Reason.LOGIN_REFUSED
        sentence = f"{conditions.SENTENCES[reason]} ({error.sentence})"
        return [Line("account", Verdict.BAD, sentence)], None
    except smsc_errors.SmscError as error:
        return [Line("account", Verdict.UNKNOWN, error.sentence)], None
    lines = [Line("account", Verdict.OK, f"answers; its balance is {balance.amount}")]
    profile = await _profile(account, smsc, probe)
    return [*lines, _profile_line(account.profile, profile)], profile


async def _profile(account: accounts.Account, smsc: SmscClient, probe: transport.Transport) -> Profile | None:
    """By what only one of the two has: the guide's look-up script (asked without a number, so nothing is
    looked up),
    then the price question of the published API, which is asked where no look-up script is and a send
    cannot come of it.
    """
    form = wire.with_credentials(account, wire.encode_balance())
    try:
        await probe.post(account.url("hlr"), form, timeout_seconds=_PROBE_SECONDS)
    except transport.Broken as error:
        if error.reason != "http_404":
            return None
    except transport.NotSent:
        return None
    else:
        return Profile.GUIDE
    if account.profile is not Profile.HTTP:
        return Profile.HTTP  # the guide's script is missing: this is the published API
    try:
        await smsc.cost(account, msisdn=_PROBE_NUMBER, text=_PROBE_TEXT)
    except errors.SmsbridgeError:
        return None
    return Profile.HTTP


def _profile_line(declared: Profile, found: Profile | None) -> Line:
    if found is None:
        return Line("profile", Verdict.UNKNOWN, f"cannot tell whether the account follows api {declared}")
    if found is declared:
        return Line("profile", Verdict.OK, f"the account answers to api {found}")
    return Line("profile", Verdict.BAD, f"the account answers to api {found}; set spec.smsc.api: {found}")


async def _portal(
    provider: Provider, installation: Installation | None, portals: Portals, crm: spec.CrmSection
) -> list[Line]:
    if installation is None:
        sentence = conditions.SENTENCES[conditions.Reason.NOT_INSTALLED]
        return [Line("installation", Verdict.BAD, sentence)]
    api = portals.api(provider, installation.member_id, probing=True)
    lines = [
        Line("installation", Verdict.OK, f"portal {installation.domain}, member {installation.member_id}")
    ]
    scopes = functools.partial(_scopes, crm=crm)
    for what, ask in (("application", _installed), ("administrator", _admin), ("scopes", scopes)):
        try:
            lines.append(await ask(api))
        except errors.StoreAway:
            raise
        except errors.Away as error:
            return [*lines, Line(what, Verdict.UNKNOWN, error.sentence)]
        except errors.SmsbridgeError as error:
            return [*lines, Line(what, Verdict.BAD, error.sentence)]
    try:
        codes = await messageservice.list_senders(api)
    except errors.Away as error:
        return [*lines, Line("registration", Verdict.UNKNOWN, error.sentence)]
    except errors.SmsbridgeError as error:
        return [*lines, Line("registration", Verdict.BAD, error.sentence)]
    return [*lines, _registered(provider, codes)]


async def _installed(api: bitrix24.PortalApi) -> Line:
    if await app.is_installed(api):
        return Line("application", Verdict.OK, "is installed")
    return Line("application", Verdict.BAD, "is not fully installed; open its page in the portal once")


async def _admin(api: bitrix24.PortalApi) -> Line:
    if await app.is_admin(api):
        return Line("administrator", Verdict.OK, "the token's user is an administrator")
    return Line("administrator", Verdict.BAD, conditions.SENTENCES[conditions.Reason.NOT_ADMINISTRATOR])


async def _scopes(api: bitrix24.PortalApi, *, crm: spec.CrmSection) -> Line:
    """Bad where messages, or what was asked for by name, cannot be had; fields and robots come unasked."""
    scopes = await app.scopes(api)
    if portal_check.SCOPE not in scopes:
        return Line("scopes", Verdict.BAD, conditions.SENTENCES[conditions.Reason.SCOPE_MISSING])
    enriching = crm.enrich_leads is not spec.EnrichLeads.NEVER
    lacking = []
    if "crm" not in scopes:
        needed = f"spec.crm.enrichLeads is {crm.enrich_leads}, but without crm no lead is seen, and"
        lacking.append(f"{needed if enriching else 'without crm'} there are no custom fields")
    if crm.robots and "bizproc" not in scopes:
        lacking.append("spec.crm.robots is true, but without bizproc there are no robots")
    granted = ", ".join(sorted(scopes))
    if not lacking:
        return Line("scopes", Verdict.OK, granted)
    verdict = Verdict.BAD if enriching and "crm" not in scopes else Verdict.OK
    mending = "add what you want in the application's settings, and install it again"
    return Line("scopes", verdict, f"{granted}; {'; '.join(lacking)}; {mending}")


def _registered(provider: Provider, codes: tuple[str, ...]) -> Line:
    if provider.code.lower() in {code.lower() for code in codes}:
        return Line("registration", Verdict.OK, f"the portal shows {provider.code}")
    return Line(
        "registration",
        Verdict.BAD,
        f"the portal does not show {provider.code}; it is registered within a minute",
    )
