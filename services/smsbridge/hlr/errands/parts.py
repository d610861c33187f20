"""Ties together what takes errands and what does them."""

from dataclasses import dataclass

from smsbridge.hlr.carriers import CarrierQuestions
from smsbridge.hlr.entities import Crms, PortalApis
from smsbridge.hlr.entities import Installations as View
from smsbridge.hlr.errands.answering import Answering
from smsbridge.hlr.errands.channels import Channels
from smsbridge.hlr.errands.desk import ErrandDesk, Woken
from smsbridge.hlr.errands.enriching import Enriching
from smsbridge.hlr.errands.knowing import Knowing
from smsbridge.hlr.errands.work import ErrandWork
from smsbridge.hlr.metrics import HlrMetrics
from smsbridge.hlr.parts import LookupParts
from smsbridge.hlr.settings import HlrSettings
from smsbridge.hlr.updates import Updates
from smsbridge.provisioning import sections
from smsbridge.smsc.client import SmscClient
from smsbridge.store.carriers import Carriers
from smsbridge.store.channels import ChannelMarks
from smsbridge.store.connection import Store
from smsbridge.store.errands import Errands
from smsbridge.store.installations import Installations
from smsbridge.store.keyring import Keyring
from smsbridge.store.preferences import Preferences


@dataclass(frozen=True, slots=True)
class ErrandParts:
    """`channels` and `updates` are for everybody who reads or writes entities of a CRM."""

    desk: ErrandDesk
    work: ErrandWork
    channels: Channels
    updates: Updates


def make(
    settings: HlrSettings,
    *,
    store: Store,
    keyring: Keyring,
    registry: sections.Entries,
    installations: Installations,
    view: View,
    apis: PortalApis,
    crms: Crms,
    looking: LookupParts,
    preferences: Preferences,
    client: SmscClient,
    metrics: HlrMetrics,
    woken: Woken,
) -> ErrandParts:
    errands = Errands(store, keyring)
    marks = ChannelMarks(
        store, rest_seconds=settings.hand_rest_seconds, own_update_seconds=settings.own_update_seconds
    )
    questions = CarrierQuestions(
        settings,
        carriers=Carriers(store, keyring, per_minute=settings.carrier_requests_per_minute),
        accounts=looking.accounts,
        care=looking.care,
        client=client,
        metrics=metrics,
    )
    knowing = Knowing(settings, entries=registry, lookups=looking.service, carriers=questions)
    updates = Updates(marks)
    channels = Channels(settings, marks=marks, preferences=preferences, updates=updates)
    desk = ErrandDesk(
        settings, entries=registry, crms=crms, errands=errands, marks=marks, metrics=metrics, woken=woken
    )
    work = ErrandWork(
        settings,
        entries=registry,
        errands=errands,
        crms=crms,
        apis=apis,
        installations=view,
        tokens=installations,
        enriching=Enriching(settings, entries=registry, knowing_=knowing, updates=updates),
        answering=Answering(settings, knowing_=knowing),
        channels=channels,
        metrics=metrics,
        token_hold_seconds=store.settings.times.token_hold_ms / 1000,
    )
    return ErrandParts(desk, work, channels, updates)
