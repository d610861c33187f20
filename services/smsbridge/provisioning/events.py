"""The events of a provider that the portal should tell us of, and what is to be changed for that.

Bitrix24 drops all bindings with every update of the application, and binds nothing by itself. Other
providers of the application have bindings of their own, told apart by the key in the address.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from smsbridge.bitrix24 import app, batch
from smsbridge.bitrix24.app import Binding
from smsbridge.bitrix24.inbound import AppEventKind, CrmEventKind
from smsbridge.core.provider import Provider
from smsbridge.provisioning import spec, urls
from smsbridge.store.keyring import Keyring


@dataclass(frozen=True, slots=True)
class Changes:
    missing: Sequence[Binding] = ()
    surplus: Sequence[Binding] = ()

    @property
    def commands(self) -> list[batch.Command]:
        """Binds first, so that no event is lost between an old address and the new one."""
        return [
            *(app.bind_command(item) for item in self.missing),
            *(app.unbind_command(item) for item in self.surplus),
        ]


def wanted(
    provider: Provider, crm: spec.CrmSection, addresses: urls.Urls, *, sees_crm: bool
) -> list[Binding]:
    """`sees_crm`: whether the application has the scope; without it the CRM's events are not to be had.

    Nothing tells us whether the portal's leads are off, where a contact takes a lead's place: both are bound.
    """
    names: list[CrmEventKind] = []
    if sees_crm and crm.enrich_leads is not spec.EnrichLeads.NEVER:
        names += [CrmEventKind.LEAD_ADDED, CrmEventKind.CONTACT_ADDED]
    if sees_crm and provider.routing.learn_preferred_channel:
        names.append(CrmEventKind.CONTACT_CHANGED)
    return [
        Binding(AppEventKind.UNINSTALL.value, addresses.install),
        *(Binding(name.value, addresses.events) for name in names),
    ]


def changes(
    provider: Provider, should: Sequence[Binding], bound: Sequence[Binding], *, keyring: Keyring
) -> Changes:
    """Surplus are also those of an earlier publicUrl or key: they would be posted twice, or to nobody."""
    return Changes(
        missing=[item for item in should if item not in bound],
        surplus=[
            item
            for item in dict.fromkeys(bound)
            if item not in should and urls.is_own(item.handler, provider, keyring)
        ],
    )


def removal(addresses: urls.Urls) -> list[batch.Command]:
    """For all that may be bound; an event that is not is no error."""
    own = [Binding(AppEventKind.UNINSTALL.value, addresses.install)]
    own += [Binding(name.value, addresses.events) for name in CrmEventKind]
    return [app.unbind_command(item) for item in own]
