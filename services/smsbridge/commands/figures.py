"""What `/metrics` says that no role is asked for: rates of batches, what binds, errors since the start."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

_TIMEOUT = aiohttp.ClientTimeout(total=2)
_ACCEPTED = "accepted"


@dataclass(frozen=True, slots=True)
class Figures:
    """By NAMESPACE/NAME: counters since the start, and the limits that bind now. `errors` by what failed."""

    batches: Mapping[str, float] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)
    binding: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    errors: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Told:
    """What of a counter is an error: these words of its label, or all but these."""

    label: str
    what: str
    bad: frozenset[str] = frozenset()
    good: frozenset[str] = frozenset()

    def counts(self, word: str) -> bool:
        return word in self.bad if self.bad else word not in self.good


_ERRORS = {
    "smsbridge_gateway_accepts_total": _Told(
        "result", "messages at the door", frozenset({"lost", "set_aside"})
    ),
    "smsbridge_gateway_callbacks_total": _Told(
        "result", "calls from SMSC", frozenset({"lost", "malformed", "false_signature"})
    ),
    "smsbridge_hlr_requests_total": _Told("result", "look-ups at SMSC", good=frozenset({"answered"})),
    "smsbridge_portal_calls_total": _Told("result", "requests to the portal", good=frozenset({"ok"})),
    "smsbridge_rpc_client_calls_total": _Told("code", "calls between roles", good=frozenset({"OK"})),
}


async def fetch(internal: str) -> Figures | None:
    """`internal` is HOST:PORT; None where nobody answers."""
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            session.get(f"http://{internal}/metrics") as page,
        ):
            if page.status != 200:
                return None
            return read(await page.text())
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return None


def read(text: str) -> Figures:
    """Raises ValueError for what is no such page."""
    batches: dict[str, float] = {}
    numbers: dict[str, float] = {}
    binding: dict[str, tuple[str, ...]] = {}
    errors: dict[str, float] = {}
    for sample in _samples(text):
        label = f"{sample.labels.get('namespace', '')}/{sample.labels.get('provider', '')}"
        if sample.name == "smsbridge_batches_total":
            if sample.labels["result"] == _ACCEPTED:
                _add(batches, label, sample.value)
            else:
                _add(errors, f"requests to SMSC: {sample.labels['result']}", sample.value)
        elif sample.name == "smsbridge_batch_numbers_total" and sample.labels["result"] == _ACCEPTED:
            _add(numbers, label, sample.value)
        elif sample.name == "smsbridge_binding_limit" and sample.value:
            binding[label] = (*binding.get(label, ()), sample.labels["limit"])
        elif sample.name.endswith("loop_errors_total"):
            role = sample.labels.get("role") or sample.name.removeprefix("smsbridge_").partition("_")[0]
            _add(errors, f"{role}, loop {sample.labels['loop']}", sample.value)
        elif sample.name == "smsbridge_journal_failures_total":
            _add(errors, "writes to the journal", sample.value)
        elif (told := _ERRORS.get(sample.name)) is not None and told.counts(sample.labels[told.label]):
            _add(errors, f"{told.what}: {sample.labels[told.label]}", sample.value)
    return Figures(batches, numbers, binding, {name: count for name, count in errors.items() if count})


def together(pages: Iterable[Figures]) -> Figures:
    """Of several processes, each of which shows its own."""
    batches: dict[str, float] = {}
    numbers: dict[str, float] = {}
    binding: dict[str, tuple[str, ...]] = {}
    errors: dict[str, float] = {}
    for page in pages:
        for found, more in ((batches, page.batches), (numbers, page.numbers), (errors, page.errors)):
            for name, value in more.items():
                _add(found, name, value)
        for label, limits in page.binding.items():
            binding[label] = tuple(dict.fromkeys((*binding.get(label, ()), *limits)))
    return Figures(batches, numbers, binding, errors)


def _samples(text: str) -> Iterable[Sample]:
    for family in text_string_to_metric_families(text):
        yield from family.samples


def _add(found: dict[str, float], name: str, value: float) -> None:
    found[name] = found.get(name, 0.0) + value
