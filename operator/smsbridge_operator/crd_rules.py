"""What the API server refuses beyond types and bounds: CEL rules, each with a sentence for people.

They say the same as `smsbridge.provisioning.spec_rules`, as far as CEL can. Rules over several fields stand
at the object that holds them all.
"""

from typing import Any

LONGEST_TEXT = 500  # characters of a text that names no other bound
MOST_ITEMS = 100  # of a list that names no other bound

# A dot, a last part that begins with a letter (so no IP address), and none of the names for local use.
_PUBLIC_HOST = "([A-Za-z0-9-]+[.])+[A-Za-z][A-Za-z0-9-]*"
_LOCAL_HOST = ".*[.](local|localhost|internal|lan|home[.]arpa|svc|test|invalid)"
_AFTER_HOST = "(:[0-9]+)?(/.*)?"


def _public(field: str, *, before: str = "", after: str = "") -> str:
    public, local = (f"'(?i)^{before}{host}{after}$'" for host in (_PUBLIC_HOST, _LOCAL_HOST))
    return f"self.sandbox || ({field}.matches({public}) && !{field}.matches({local}))"


def _override(field: str, stands_for: str) -> tuple[str, str]:
    rule = f"self.sandbox || !has(self.{field}) || self.{field} == ''"
    return rule, f"{field} stands for {stands_for} in the sandbox only; take it away, or set sandbox: true"


def _within(field: str, least: str, most: str) -> tuple[str, str]:
    at = f"duration(self.{field})"
    return f"{at} >= duration('{least}') && {at} <= duration('{most}')", f"{field} must be {least} to {most}"


_RULES: dict[str, tuple[tuple[str, str], ...]] = {
    "spec": (
        (
            "self.publicUrl.matches('^https?://[^/?#@ ]+(/[^?#@ ]*)?$')",
            "publicUrl must be https://HOST or https://HOST/PATH",
        ),
        (
            "self.sandbox || self.publicUrl.startsWith('https://')",
            "publicUrl must begin with https:// (plain http is for sandbox: true)",
        ),
        (
            _public("self.publicUrl", before="https?://", after=_AFTER_HOST),
            "publicUrl needs a host name that Bitrix24 and SMSC can reach: no localhost, no IP address, no "
            ".local (local ones are for sandbox: true)",
        ),
        (
            _public("self.portal.domain"),
            "portal.domain is no public host name (local ones are for sandbox: true)",
        ),
        _override("smsc.baseUrl", "https://smsc.ru"),
        _override("portal.endpoint", "the portal's own address"),
        _override("portal.oauthEndpoint", "the OAuth host"),
        (
            "self.routing.order[0] == 'viber' || self.smsc.api == 'http'",
            "routing.order [sms, viber] needs smsc.api: http; with the guide's API write [viber, sms]",
        ),
        (
            "self.sandbox || duration(self.routing.viberTimeout) >= duration('60s')",
            "routing.viberTimeout must be 60s to 24h (from 1s with sandbox: true)",
        ),
    ),
    "spec.code": (
        (
            "self.matches('^[A-Za-z0-9._-]{1,128}$')",
            "code may have 1 to 128 of A-Z a-z 0-9 . - _, which is what Bitrix24 takes",
        ),
        (
            "self == oldSelf",
            "code is immutable: robots and letters keep it; set it back, or make another provider",
        ),
    ),
    "spec.portal": (
        (
            "self.domain.matches('^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?([.][A-Za-z0-9]([A-Za-z0-9-]*"
            "[A-Za-z0-9])?)*$')",
            "domain is a host name alone, as in example.bitrix24.ru, without https:// and path",
        ),
    ),
    "spec.routing": (
        (
            "self.order.size() == 2 && self.order[0] != self.order[1]",
            "order must name sms and viber once each: [viber, sms] or [sms, viber]",
        ),
        (
            "duration(self.viberTimeout) >= duration('1s') && duration(self.viberTimeout) <= duration('24h')",
            "viberTimeout must be 60s to 24h (from 1s with sandbox: true)",
        ),
        (
            "!has(self.rules) || self.rules.all(one, self.rules.exists_one(other, other.name == one.name))",
            "rules must each have a name of its own",
        ),
    ),
    "spec.routing.rules[].when": (
        (
            "(has(self.origin) && self.origin.size() > 0) || "
            "(has(self.documentType) && self.documentType.size() > 0) || "
            "(has(self.phonePrefix) && self.phonePrefix.size() > 0) || "
            "(has(self.textMatches) && self.textMatches != '')",
            "a rule needs at least one condition: origin, documentType, textMatches or phonePrefix",
        ),
    ),
    "spec.batching": (_within("linger", "0s", "60s"), _within("interactiveLinger", "0s", "5s")),
    "spec.validity": (_within("interactive", "1m", "72h"), _within("bulk", "1m", "72h")),
    "spec.hlr": (
        (
            "!self.skipUnavailable || self.beforeSend != 'never'",
            "skipUnavailable needs beforeSend: cached or always",
        ),
    ),
    "spec.hlr.cacheTtl": tuple(
        _within(field, "1m", "8760h") for field in ("active", "unavailable", "absent")
    ),
}


def of(path: str) -> dict[str, Any]:
    """The rules at a place, as the schema writes them; nothing where it has none."""
    rules = [{"rule": rule, "message": sentence} for rule, sentence in _RULES.get(path, ())]
    return {"x-kubernetes-validations": rules} if rules else {}


def places() -> frozenset[str]:
    return frozenset(_RULES)
