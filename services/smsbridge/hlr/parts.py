"""Ties together what looks numbers up: who buys, who answers, and who fetches results."""

from dataclasses import dataclass

from smsbridge.hlr.buying import Buying
from smsbridge.hlr.lookups import LookupService
from smsbridge.hlr.metrics import HlrMetrics
from smsbridge.hlr.prices import Prices
from smsbridge.hlr.results import Results
from smsbridge.hlr.settings import HlrSettings
from smsbridge.provisioning import sections
from smsbridge.smsc.client import SmscClient
from smsbridge.store.account import AccountLimits, Accounts
from smsbridge.store.alive import Alive
from smsbridge.store.care import Care
from smsbridge.store.connection import Store
from smsbridge.store.egress import Egress, EgressSettings
from smsbridge.store.keyring import Keyring
from smsbridge.store.lookups import Lookups


@dataclass(frozen=True, slots=True)
class LookupParts:
    """`kept`, `accounts`, `care` and `prices` are also for errands and verifications, which have numbers
    looked up, and ask SMSC themselves.
    """

    kept: Lookups
    accounts: Accounts
    care: Care
    prices: Prices
    buying: Buying
    service: LookupService
    results: Results


def make(
    settings: HlrSettings,
    *,
    store: Store,
    keyring: Keyring,
    registry: sections.Entries,
    limits: AccountLimits,
    egress: EgressSettings,
    client: SmscClient,
    metrics: HlrMetrics,
) -> LookupParts:
    kept = Lookups(store, keyring)
    accounts = Accounts(store, limits)
    care = Care(accounts, Egress(store, egress))
    prices = Prices(settings, lookups=kept, client=client)
    buying = Buying(
        settings,
        lookups=kept,
        accounts=accounts,
        care=care,
        prices=prices,
        client=client,
        metrics=metrics,
    )
    service = LookupService(
        settings,
        entries=registry,
        lookups=kept,
        alive=Alive(store),
        buying=buying,
        prices=prices,
        care=care,
        metrics=metrics,
    )
    results = Results(
        settings,
        entries=registry,
        lookups=kept,
        accounts=accounts,
        care=care,
        client=client,
        metrics=metrics,
    )
    return LookupParts(kept, accounts, care, prices, buying, service, results)
