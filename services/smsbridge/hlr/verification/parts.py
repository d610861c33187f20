"""Ties together what is asked of verifications and what works at them."""

from collections.abc import Callable
from dataclasses import dataclass

from smsbridge.hlr.entities import Crms
from smsbridge.hlr.errands.channels import Channels
from smsbridge.hlr.metrics import HlrMetrics
from smsbridge.hlr.parts import LookupParts
from smsbridge.hlr.settings import HlrSettings
from smsbridge.hlr.updates import Updates
from smsbridge.hlr.verification.patience import Patience
from smsbridge.hlr.verification.quote import Quoting
from smsbridge.hlr.verification.run import Tools
from smsbridge.hlr.verification.service import VerificationService
from smsbridge.hlr.verification.work import VerificationWork
from smsbridge.provisioning import sections
from smsbridge.store.connection import Store
from smsbridge.store.keyring import Keyring
from smsbridge.store.verifications import Verifications


@dataclass(frozen=True, slots=True)
class VerificationParts:
    service: VerificationService
    work: VerificationWork


def make(
    settings: HlrSettings,
    *,
    store: Store,
    keyring: Keyring,
    registry: sections.Entries,
    crms: Crms,
    channels: Channels,
    updates: Updates,
    looking: LookupParts,
    metrics: HlrMetrics,
    wake: Callable[[], None],
) -> VerificationParts:
    own = settings.verification
    verifications = Verifications(
        store, keyring, kept_days=own.kept_days, unconfirmed_days=own.unconfirmed_days
    )
    patience = Patience(own.retry_seconds, own.retry_most_seconds)
    tools = Tools(
        own,
        verifications=verifications,
        lookups=looking.service,
        care=looking.care,
        metrics=metrics,
        patience=patience,
        channels=channels,
        updates=updates,
    )
    work = VerificationWork(
        tools,
        entries=registry,
        crms=crms,
        quoting=Quoting(
            verifications, looking.service, looking.prices, looking.accounts, looking.care, patience
        ),
        spending=looking.kept,
        default_region=settings.default_region,
        unknown_kept_seconds=settings.unknown_kept_seconds,
    )
    work.on_free = wake
    service = VerificationService(
        own, verifications=verifications, spending=looking.kept, entries=registry, wake=wake
    )
    return VerificationParts(service, work)
