"""What is wrong with a spec that no field alone can tell: limits that depend on others, and what excludes
what.

Every sentence says what to write instead.
"""

from collections.abc import Iterator
from datetime import timedelta

from smsbridge.core import cascade, errors
from smsbridge.core.message import Channel
from smsbridge.core.provider import Profile
from smsbridge.provisioning import spec as specs
from smsbridge.provisioning import values

_MINUTE = timedelta(minutes=1)
_SECOND = timedelta(seconds=1)


def check(spec: specs.SmscProviderSpec) -> list[errors.InputError]:
    """Fields are dotted from `spec` on."""
    parts = (_captions, _addresses, _routing, _rules, _times, _hlr, _fields)
    found = [mistake for part in parts for mistake in part(spec)]
    return [errors.InputError(sentence, field=f"spec.{name}") for name, sentence in found]


Found = Iterator[tuple[str, str]]


def _captions(spec: specs.SmscProviderSpec) -> Found:
    if values.caption_length(spec.name) > 500:
        yield "name", "is over 500 characters, Bitrix24's limit; make it shorter"
    if spec.description is None:
        return
    if values.caption_length(spec.description) > 1000:
        yield "description", "is over 1000 characters, Bitrix24's limit; make it shorter"
    if isinstance(spec.name, str) is not isinstance(spec.description, str):
        yield "description", "must be a text where name is a text, and a map by language where name is one"


def _addresses(spec: specs.SmscProviderSpec) -> Found:
    if sentence := values.check_url(spec.public_url, sandbox=spec.sandbox):
        yield "publicUrl", sentence
    if not spec.sandbox and not values.is_public_host(spec.portal.domain):
        yield "portal.domain", "is no public host name (local ones are for spec.sandbox: true)"
    overrides = {
        "smsc.baseUrl": spec.smsc.base_url,
        "portal.endpoint": spec.portal.endpoint,
        "portal.oauthEndpoint": spec.portal.oauth_endpoint,
    }
    for name, url in overrides.items():
        if url and not spec.sandbox:
            yield name, "is only for trying things out; take it away, or set spec.sandbox: true"
        elif url and (sentence := values.check_url(url, sandbox=True)):
            yield name, sentence


def _routing(spec: specs.SmscProviderSpec) -> Found:
    order = spec.routing.order
    if sorted(order) != sorted(Channel):
        yield "routing.order", "must name sms and viber once each: [viber, sms] or [sms, viber]"
    elif order[0] is Channel.SMS and spec.smsc.api is not Profile.HTTP:
        yield "routing.order", "[sms, viber] needs smsc.api: http; with the guide's API write [viber, sms]"
    least = timedelta(seconds=cascade.least_wait_seconds(sandbox=spec.sandbox))
    timeout = spec.routing.viber_timeout
    if sentence := _outside(timeout, least, timedelta(seconds=cascade.MOST_WAIT_SECONDS)):
        yield "routing.viberTimeout", sentence
    elif timeout % _SECOND:
        yield "routing.viberTimeout", "must be whole seconds"


def _rules(spec: specs.SmscProviderSpec) -> Found:
    names: set[str] = set()
    for number, rule in enumerate(spec.routing.rules):
        where = f"routing.rules.{number}"
        when = rule.when
        if not (when.origin or when.document_type or when.text_matches or when.phone_prefix):
            known = "origin, documentType, textMatches, phonePrefix"
            yield f"{where}.when", f"holds no condition; give one of {known}"
        if rule.name in names:
            yield f"{where}.name", "is the name of a rule before it; give each its own"
        names.add(rule.name)


def _times(spec: specs.SmscProviderSpec) -> Found:
    batching, validity = spec.batching, spec.validity
    limits = (
        ("batching.linger", batching.linger, timedelta(0), timedelta(seconds=60)),
        ("batching.interactiveLinger", batching.interactive_linger, timedelta(0), timedelta(seconds=5)),
        ("validity.interactive", validity.interactive, _MINUTE, timedelta(hours=72)),
        ("validity.bulk", validity.bulk, _MINUTE, timedelta(hours=72)),
    )
    for name, value, least, most in limits:
        if sentence := _outside(value, least, most):
            yield name, sentence


def _hlr(spec: specs.SmscProviderSpec) -> Found:
    ttl = spec.hlr.cache_ttl
    for name, value in (("active", ttl.active), ("unavailable", ttl.unavailable), ("absent", ttl.absent)):
        if sentence := _outside(value, _MINUTE, timedelta(hours=8760)):
            yield f"hlr.cacheTtl.{name}", sentence
    if spec.hlr.skip_unavailable and spec.hlr.before_send is specs.BeforeSend.NEVER:
        yield "hlr.skipUnavailable", "needs hlr.beforeSend: cached or always"


def _fields(spec: specs.SmscProviderSpec) -> Found:
    taken: dict[str, str] = {}
    for name, field in specs.Fields.model_fields.items():
        value = getattr(spec.crm.fields, name)
        if value in taken:
            yield f"crm.fields.{field.alias}", f"is the same field as crm.fields.{taken[value]}; name another"
        taken[value] = field.alias or name


def _outside(value: timedelta, least: timedelta, most: timedelta) -> str:
    if least <= value <= most:
        return ""
    given, low, high = (values.format_duration(item) for item in (value, least, most))
    return f"is {given}; write {low} to {high}"
