"""`smsbridge hlr`: look numbers up, by hand."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any

import typer
from rich.table import Table

from smsbridge.commands import common
from smsbridge.core import errors
from smsbridge.core.number import Facts, LookupState
from smsbridge.provisioning import values
from smsbridge.rpc import clients
from smsbridge.runtime import rpc
from smsbridge.smsc import numbers as smsc_numbers

_AT_A_TIME = 1000  # of one question to the role

Numbers = Annotated[list[str], typer.Argument(metavar="NUMBER...", help="Phones, as people write them.")]


def hlr(
    phones: Numbers,
    data: common.Data = None,
    address: common.Address = "",
    provider: common.ProviderName = "",
    max_age: Annotated[
        str,
        typer.Option(
            "--max-age", metavar="TIME", help="How old may be what is known (1h, 30m); else as configured."
        ),
    ] = "",
    wait: Annotated[
        str, typer.Option("--wait", metavar="TIME", help="How long to wait for results, up to 60s.")
    ] = "30s",
    output: common.OutputOption = common.Output.TABLE,
) -> None:
    """Whether numbers can be reached, and whose they are. Costs money. `--address` is the hlr role's."""
    hlr_address = common.address_of("hlr", data=data, address=address)
    asked = _normalised(phones)
    age_seconds = round(_duration(max_age, "--max-age").total_seconds()) if max_age else 0
    wait_seconds = _duration(wait, "--wait").total_seconds()
    found = asyncio.run(
        _look_up(asked, hlr_address, provider=provider, age_seconds=age_seconds, wait_seconds=wait_seconds)
    )
    if output is common.Output.JSON:
        common.print_json([_as_json(one) for one in found])
    else:
        common.console().print(_as_table(found))
    without = [one for one in found if one.state is not LookupState.KNOWN]
    if without:
        reasons = ", ".join(sorted({one.reason or one.state.value for one in without}))
        common.fail(f"no result for {len(without)} of {len(found)} numbers ({reasons})")


async def _look_up(
    asked: Sequence[str], address: str, *, provider: str, age_seconds: int, wait_seconds: float
) -> list[Facts]:
    found: list[Facts] = []
    async with rpc.channel(address) as channel:
        client = clients.HlrClient(channel)
        known = [common.Named(one.provider_uid, one.namespace, one.name) for one in await client.budgets()]
        uid = common.choose(known, provider).uid
        for start in range(0, len(asked), _AT_A_TIME):
            some = asked[start : start + _AT_A_TIME]
            found += await client.lookup(uid, some, max_age_seconds=age_seconds, wait_seconds=wait_seconds)
    return found


def _normalised(phones: Sequence[str]) -> list[str]:
    """Each number once, in the order given. Raises InputError, which names the place and not the number."""
    region = common.default_region()
    asked = []
    for place, phone in enumerate(phones, start=1):
        number = smsc_numbers.normalise(phone, default_region=region)
        if not number:
            raise errors.InputError(f"number {place} is no phone number", field="NUMBER")
        asked.append(number)
    return list(dict.fromkeys(asked))


def _duration(text: str, option: str) -> timedelta:
    try:
        return values.parse_duration(text)
    except ValueError as error:
        raise errors.InputError(str(error), field=option) from None


def _as_json(one: Facts) -> dict[str, Any]:
    return {
        "number": one.msisdn,
        "state": one.state.value,
        "reachability": one.reachability.value,
        "operator": one.carrier,
        "region": one.region,
        "checked_at": common.iso_time(one.checked_at_ms),
        "reason": one.reason,
        "bought": one.bought,
        "cost": None if one.cost is None else f"{one.cost:f}",
        "cost_estimated": one.cost_estimated,
    }


def _as_table(found: Sequence[Facts]) -> Table:
    table = common.table("Number", "Reachability", "Operator", "Region", "Checked (UTC)", "Paid now", "Why")
    for one in found:
        known = one.state is LookupState.KNOWN
        paid = ""
        if one.bought and one.cost is not None:
            paid = f"{one.cost:f}{' (estimated)' if one.cost_estimated else ''}"
        word = one.reachability.value if known else one.state.value
        checked_at = common.iso_time(one.checked_at_ms)
        table.add_row(one.msisdn, word, one.carrier, one.region, checked_at, paid, one.reason)
    return table
