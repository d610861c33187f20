"""What the gateway says it did with posts, from its metrics."""

from collections import Counter

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

_NAME = "smsbridge_gateway_accepts_total"


async def accepts(internal: str) -> Counter[str]:
    """Messages since its start, by result: accepted, held, journalled and so on."""
    async with aiohttp.ClientSession() as session, session.get(f"http://{internal}/metrics") as page:
        text = await page.text()
    found: Counter[str] = Counter()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == _NAME:
                found[sample.labels["result"]] += round(sample.value)
    return found
