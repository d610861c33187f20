"""The operator against a real API server: how long from an applied resource to Ready, one and fifty at once.

Where no control plane can be had (see tests/operator/binaries.py) there is no figure.
"""

import time
from pathlib import Path

from bench.report import OperatorReport
from bench.sizes import Sizes
from smsbridge.store import embedded
from smsbridge.store.connection import Store, StoreSettings
from tests.flow.harness import until
from tests.operator import apiserver, binaries, lab
from tests.wire.provisioning_lab import DOMAIN

_WAIT_SECONDS = 300.0
_LOOK_SECONDS = 0.1


async def measure(directory: Path, sizes: Sizes) -> OperatorReport:
    try:
        found = binaries.directory()
    except binaries.UnavailableError as reason:
        return OperatorReport(why_not=str(reason))
    for name in ("store", "kubernetes"):
        (directory / name).mkdir(parents=True)
    with apiserver.running(found, directory / "kubernetes") as server:
        async with embedded.running(
            directory / "store", settings=embedded.EmbeddedSettings(maxmemory_mb=512)
        ) as valkey:
            settings = StoreSettings.model_validate({"url": valkey.url, "password": valkey.password})
            store = Store.connect(settings)
            async with lab.running(server, store, directory) as stand:
                made = await _measure(stand, sizes)
            await store.close()
    return made


async def _measure(stand: lab.Lab, sizes: Sizes) -> OperatorReport:
    assert stand.portal is not None
    operator = stand.operator()
    await operator.start()
    await stand.portal.install()
    idle_mib = operator.memory_mib()
    alone = []
    for number in range(sizes.resources_alone):
        alone.append(await _ready(stand, [f"alone-{number}"]))
    before = await stand.portal.requests()
    together = await _ready(stand, [f"many-{number:02}" for number in range(sizes.resources_together)])
    traffic = await stand.portal.control.traffic(DOMAIN)
    return OperatorReport(
        ready_seconds=sorted(alone)[len(alone) // 2],
        ready_slowest_seconds=max(alone),
        together=sizes.resources_together,
        together_seconds=together,
        portal_requests=traffic.requests - before,
        portal_503=traffic.status_503,
        balance_requests=await stand.portal.balance_requests(),
        memory_idle_mib=round(idle_mib, 1),
        memory_mib=round(operator.memory_mib(), 1),
    )


async def _ready(stand: lab.Lab, names: list[str]) -> float:
    """Seconds from the first `kubectl apply` until all of them are."""
    started = time.monotonic()
    for name in names:
        stand.apply(name)

    async def there() -> bool:
        return all(stand.condition(name, "Ready").get("status") == "True" for name in names)

    await until(there, seconds=_WAIT_SECONDS, what=stand.what, pause=_LOOK_SECONDS)
    return round(time.monotonic() - started, 2)
