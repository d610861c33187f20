"""The providers of a stand, and their manifests as a user would write them."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import yaml

from smsbridge.sandbox import server
from smsbridge.sandbox.settings import Profile

DOMAIN = "example.bitrix24.ru"
NAMESPACE = "bench"
PASSWORD = "secret"  # of every account of the sandbox


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """One provider. Its name is its code in the portal; `login` is the sandbox account it sends by."""

    name: str
    login: str = "plain"
    paused: bool = False
    profile: Profile = Profile.GUIDE
    batching: dict[str, Any] = dataclasses.field(default_factory=dict)


def manifests(plans: Iterable[Plan], *, sandbox: server.Sandbox, public_url: str) -> str:
    plans = list(plans)
    application = sandbox.portals.by_domain[DOMAIN].settings.applications[0]
    documents = [_secret("app", clientId=application.client_id, clientSecret=application.client_secret)]
    documents += [
        _secret(f"account-{login}", login=login, password=PASSWORD)
        for login in sorted({plan.login for plan in plans})
    ]
    documents += [_provider(plan, sandbox=sandbox, public_url=public_url) for plan in plans]
    return yaml.safe_dump_all(documents, allow_unicode=True)


def _secret(name: str, **values: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": values}


def _provider(plan: Plan, *, sandbox: server.Sandbox, public_url: str) -> dict[str, Any]:
    spec = {
        "code": plan.name,
        "name": "SMSC.ru",
        "publicUrl": public_url,
        "sandbox": True,
        "paused": plan.paused,
        "portal": {
            "domain": DOMAIN,
            "appSecretRef": {"name": "app"},
            "endpoint": sandbox.portal_url(DOMAIN),
            "oauthEndpoint": sandbox.oauth_url,
        },
        "smsc": {
            "accountSecretRef": {"name": f"account-{plan.login}"},
            "api": plan.profile.value,
            "baseUrl": sandbox.smsc_url,
        },
        "batching": plan.batching,
    }
    return {
        "apiVersion": "smsbridge.dev/v1alpha1",
        "kind": "SmscProvider",
        "metadata": {"name": plan.name, "namespace": NAMESPACE},
        "spec": spec,
    }
