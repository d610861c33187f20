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
        elif sample.name == "smsbridge_portal_calls_total" and sample.labels["result"] != "ok":
            _add(errors, f"requests to the portal: {sample.labels['result']}", sample.value)
    return Figures(batches, numbers, binding, {name: count for name, count in errors.items() if count})


def _samples(text: str) -> Iterable[Sample]:
    for family in text_string_to_metric_families(text):
        yield from family.samples


def _add(found: dict[str, float], name: str, value: float) -> None:
    found[name] = found.get(name, 0.0) + value
