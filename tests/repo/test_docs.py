"""The documents say what the code says: words, metrics, commands, settings, and where links lead."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from smsbridge import cli
from smsbridge.core.message import REASON_SENTENCES
from smsbridge.core.provider import AccountSettings, PortalSettings, Provider
from smsbridge.gateway import metrics as gateway_metrics
from smsbridge.gateway.metrics import GatewayMetrics
from smsbridge.hlr import metrics as hlr_metrics
from smsbridge.hlr.metrics import HlrMetrics
from smsbridge.provisioning import metrics as provisioner_metrics
from smsbridge.provisioning import tokens
from smsbridge.provisioning.conditions import Reason
from smsbridge.provisioning.metrics import ProvisionerMetrics
from smsbridge.runtime import rpc, rpc_calls, supervisor
from smsbridge.runtime.binding import Binding
from smsbridge.sender import metrics as sender_metrics
from smsbridge.sender.metrics import SenderMetrics
from smsbridge.sender.queue_figures import QueueFigures
from smsbridge.status import metrics as status_metrics
from smsbridge.status.ages import Ages
from smsbridge.status.metrics import Ledgers, StatusMetrics, WaitingRoom
from smsbridge.status.portal_figures import PortalFigures
from smsbridge.store.account import Pause
from smsbridge.store.delivery import LedgerView
from smsbridge.store.egress import Stop
from smsbridge.targets import reference
from smsbridge_operator import main as operator_main
from smsbridge_operator import metrics as operator_metrics
from smsbridge_operator import reference as operator_reference
from smsbridge_operator.metrics import OperatorMetrics

ROOT = Path(__file__).parents[2]
CODE = ROOT / "services" / "smsbridge"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
EVENT = re.compile(r"(?<!function )\b(?:event|tell)\([\w.]+, ([^,\n]+?)[,)]|\bwhat = ('\w+')")
QUOTED = re.compile(r"'([a-z_]+)'")


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next one of its level or above."""
    level, _, _ = heading.partition(" ")
    start = text.index(f"\n{heading}\n") + len(heading) + 2
    end = re.search(rf"^#{{1,{len(level)}}} ", text[start:], flags=re.MULTILINE)
    return text[start : start + end.start()] if end else text[start:]


def rows(text: str) -> list[list[str]]:
    """Cells of all tables, without their heads."""
    lines = [line.strip("| ") for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.split(" | ")] for line in lines]


def words(cell: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", cell))


def scripts_of_messages() -> Iterator[tuple[str, str]]:
    """Scripts of the provider's tag and what they share: only these write stories."""
    for path in sorted((CODE / "store").glob("*.lua")):
        text = path.read_text(encoding="utf-8")
        if "-- provider tag" in text or path.stem.startswith("prelude"):
            yield path.name, text


def test_the_pages_of_settings_are_fresh() -> None:
    assert page("configuration.md") == reference.render()
    assert page("kubernetes-operator.md") == operator_reference.render()


def test_every_event_of_a_story_is_explained() -> None:
    found = set()
    for name, text in scripts_of_messages():
        for argument in ("".join(hit) for hit in EVENT.findall(text)):
            if name == "cancel.lua" and argument == "st":
                found |= {"cancelled", "failed"}  # the states that it is called with
            elif argument != "what":  # what `tell` hands on
                assert QUOTED.search(argument), f"{name}: cannot read the event in {argument!r}"
                found |= set(QUOTED.findall(argument))

    explained = [row[0].strip("`") for row in rows(section(page("flows.md"), "### Events"))]

    assert sorted(explained) == sorted(found)


def test_every_why_of_a_story_is_explained() -> None:
    lua = r"why = '(\w+)'|(?:plan_next|back|drop)\([\w., ]+, '(\w+)'|unread and '(\w+)' or '(\w+)'"
    python = r'"why": "(\w+)"|_back\("(\w+)"|_again\([^)]*?"(\w+)"\)'
    transport = r'(?:NotSent|Broken|failure)\("(\w+)"|\(aiohttp\.\w+, "(\w+)"\)|return "(\w+)"$'
    texts = [(lua, text) for _, text in scripts_of_messages()]
    texts += [(python, path.read_text(encoding="utf-8")) for path in (CODE / "sender").glob("*.py")]
    texts += [(transport, (CODE / "smsc" / name).read_text()) for name in ("transport.py", "reading.py")]
    found = {
        word for rule, text in texts for hit in re.findall(rule, text, re.MULTILINE) for word in hit if word
    }

    explained = {
        word for row in rows(section(page("flows.md"), "### The words of `why`")) for word in words(row[0])
    }

    assert {"no_outcome", "status_unproved", "timeout", "sender_gone", "not_found"} <= found
    assert found - explained == set()


def test_every_reason_of_a_message_is_explained() -> None:
    explained = {row[0].strip("`"): row[1] for row in rows(section(page("flows.md"), "### Reasons"))}

    assert explained == {reason.value: sentence for reason, sentence in REASON_SENTENCES.items()}


class Books:
    """The metrics of one process, as they are registered; what each looks like once it has a sample."""

    def __init__(self, metrics: Any) -> None:
        self.wrapped = [item for item in vars(metrics).values() if isinstance(item, MetricWrapperBase)]
        own = Ledgers | Ages | Binding | WaitingRoom
        self.collectors = [item for item in vars(metrics).values() if isinstance(item, own)]


def all_books() -> list[Books]:
    registries = [CollectorRegistry() for _ in range(11)]
    keeper = supervisor.Supervisor(
        [], settings=supervisor.SupervisorSettings(), lock=0, registry=registries[6]
    )
    asyncio.run(_ended(keeper))
    return [
        Books(GatewayMetrics(registries[0])),
        Books(SenderMetrics(registries[1])),
        Books(QueueFigures(registries[10])),
        Books(StatusMetrics(registries[2])),
        Books(HlrMetrics(registries[3])),
        Books(ProvisionerMetrics(registries[4])),
        Books(rpc.CallMetrics(registries[5])),
        Books(rpc_calls.ClientCalls(registries[8])),
        Books(portal_figures(registries[9])),
        Books(tokens.TokenMetrics(registries[10])),
        Books(OperatorMetrics(registries[7])),
        Books(keeper),
    ]


def portal_figures(registry: CollectorRegistry) -> PortalFigures:
    nobody: Any = None  # nothing is asked for
    return PortalFigures(providers=nobody, installations=nobody, limits=nobody, registry=registry)


async def _ended(keeper: supervisor.Supervisor) -> None:
    """It has no children; this closes its pipe."""
    stop = asyncio.Event()
    stop.set()
    await keeper.run(stop)


def registered(books: list[Books]) -> dict[str, str]:
    """Type by name, as Prometheus shows them."""
    collectors: list[Any] = [item for book in books for item in (*book.wrapped, *book.collectors)]
    families = [family for collector in collectors for family in collector.describe()]
    return {f"{f.name}_total" if f.type == "counter" else f.name: f.type for f in families}


def test_every_metric_is_listed_with_its_type_and_labels() -> None:
    books = all_books()
    listed = {row[0].strip("`"): row for row in rows(page("metrics.md")) if "smsbridge_" in row[0]}

    assert {name: row[1] for name, row in listed.items()} == registered(books)
    for metric in (item for book in books for item in book.wrapped):
        (family,) = metric.describe()
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = words(listed[name][2])
        if labels:
            metric.labels(**dict.fromkeys(labels, "x"))  # ValueError for other labels than it has
        (shown,) = metric.collect()
        own = {label for sample in shown.samples for label in sample.labels} - {"le"}
        assert own == labels, name


LISTS = {
    "## Gateway": gateway_metrics,
    "## Sender": sender_metrics,
    "## Status": status_metrics,
    "## hlr": hlr_metrics,
    "## Provisioner": provisioner_metrics,
    "## Operator": operator_metrics,
    "## Every role with a gRPC server": rpc,
    "## Every role that calls others": rpc_calls,
    "## Every role that calls portals": tokens,
    "## Supervisor of `run all`": supervisor,
}


def test_every_section_of_metrics_has_its_module() -> None:
    text = page("metrics.md")
    heads = re.findall(r"^## .+$", text, flags=re.MULTILINE)

    assert [head for head in heads if "\n| `smsbridge_" in section(text, head)] == list(LISTS)


@pytest.mark.parametrize("head", LISTS)
def test_a_module_of_metrics_lists_them_as_the_page_does(head: str) -> None:
    text = LISTS[head].__doc__ or ""
    told = re.findall(r"^ *(smsbridge_\w+)(?:\{([\w,]+)\})?", text, flags=re.MULTILINE)
    listed = [(row[0].strip("`"), words(row[2])) for row in rows(section(page("metrics.md"), head))]
    if head == "## Status":  # of two roles, so that the page explains it once
        listed.append(("smsbridge_binding_limit", {"namespace", "provider", "limit"}))

    assert sorted((name, sorted(labels.split(",")) if labels else []) for name, labels in told) == sorted(
        (name, sorted(labels)) for name, labels in listed
    )


def test_what_binds_is_listed_with_its_labels() -> None:
    listed = {row[0].strip("`"): words(row[2]) for row in rows(page("metrics.md"))}
    binding = Binding(("pause",), registry=CollectorRegistry())
    binding.met("crm", "smsc", "pause")
    (family,) = binding.collect()
    limits = {row[0].strip("`") for row in rows(section(page("metrics.md"), "## What binds"))} - {"limit"}

    assert listed[family.name] == set(family.samples[0].labels)
    assert limits == {
        sender_metrics.PAUSE,
        sender_metrics.STORE_MEMORY,
        sender_metrics.PERMITS,
        sender_metrics.LINGER,
        status_metrics.PORTAL_OPERATING,
        status_metrics.PORTAL_REQUESTS,
    }


def test_the_ledger_metrics_are_listed_with_their_labels() -> None:
    provider = Provider("u", "crm", "smsc", "smsc", "", PortalSettings("", "", ""), AccountSettings())
    view = LedgerView(
        accepted=1, held=0, queued=0, sending=0, sent=0, final={"delivered": 1}, done={"sms|delivered": 1},
        portal_outbox=0, portal_lag_ms=0, polls=0, plans=0,
        ends={"failed|BadNumber": 1},
        ages={"smsc|bulk|500": 1, "delivered|sms|more": 1, "portal|bulk|500": 1, "portal_delay||500": 1},
    )  # fmt: skip
    metrics = StatusMetrics(CollectorRegistry())
    metrics.show({"u": (provider, view)})
    listed = {row[0].strip("`"): words(row[2]) for row in rows(page("metrics.md"))}

    shown = {
        sample.name.removesuffix("_bucket"): set(sample.labels) - {"le"}
        for family in (*metrics.ledgers.collect(), *metrics.ages.collect())
        for sample in family.samples
        if not sample.name.endswith(("_count", "_sum"))
    }

    assert len(shown) == 12
    assert {name: listed[name] for name in shown} == shown


def headings(text: str, level: str) -> set[str]:
    return {match.strip("`") for match in re.findall(rf"^{level} (\S+)$", text, flags=re.MULTILINE)}


def test_the_runbook_knows_every_reason_of_a_condition() -> None:
    conditions = section(page("runbook.md"), "## Conditions")
    harmless = {row[0].strip("`") for row in rows(conditions)}
    others = headings(conditions, "###")

    assert harmless & others == set()
    assert harmless | others == {reason.value for reason in Reason}


def test_the_runbook_knows_every_pause() -> None:
    """An account and the egress take no other words than these."""
    known = {"paused", *Pause, *Stop}

    assert headings(section(page("runbook.md"), "## Pauses"), "###") == known
    (row,) = [row for row in rows(page("metrics.md")) if row[0] == "`smsbridge_account_paused`"]
    assert words(row[4]) == known


def test_the_runbook_knows_why_a_batch_stays_uncertain() -> None:
    held = {
        row[0].strip("`")
        for row in rows(section(page("flows.md"), "### The words of `why`"))
        if "`held_uncertain`" in row[1]
    }

    assert headings(section(page("runbook.md"), "## Uncertain batches"), "###") == held


def commands(command: Any, path: tuple[str, ...] = ("smsbridge",)) -> Iterator[tuple[tuple[str, ...], Any]]:
    inner = getattr(command, "commands", None)
    if inner is None or command.invoke_without_command:
        yield path, command
    for name, one in (inner or {}).items():
        yield from commands(one, (*path, name))


def test_every_command_and_option_is_explained() -> None:
    text = page("cli.md")
    heads = dict(re.findall(r"^(## `(smsbridge[^`]*)`)$", text, flags=re.MULTILINE))
    explained = {}
    for head, line in heads.items():
        path = tuple(word for word in line.split() if word.islower())
        explained[path] = {
            row[0].strip("`").split()[0] for row in rows(section(text, head)) if "--" in row[0]
        }

    there = {
        path: {option for param in command.params for option in param.opts if option.startswith("--")}
        for path, command in (
            *commands(typer.main.get_command(cli.app)),
            *commands(typer.main.get_command(operator_main.app), ("smsbridge-operator",)),
        )
    }

    assert explained == there


def slugs(text: str) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    found = re.findall(r"^#+ (.+)$", prose(text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in found}


def prose(text: str) -> str:
    """Without blocks of code."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def test_links_lead_somewhere() -> None:
    broken = []
    for here in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", prose(here.read_text(encoding="utf-8"))):
            if target.startswith(("https://", "http://")):
                continue
            path, _, anchor = target.partition("#")
            there = (here.parent / path).resolve() if path else here
            if not there.exists() or (anchor and anchor not in slugs(there.read_text(encoding="utf-8"))):
                broken.append(f"{here.relative_to(ROOT)}: {target}")
    assert broken == []


def test_the_list_of_decisions_is_whole() -> None:
    folder = ROOT / "docs" / "adr"
    listed = re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", (folder / "README.md").read_text(encoding="utf-8"))

    assert listed == sorted(path.name for path in folder.glob("[0-9]*.md"))


@pytest.mark.parametrize("here", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_line_holds_one_sentence(here: Path) -> None:
    lines = prose(here.read_text(encoding="utf-8")).splitlines()
    told = [re.sub(r"^\s*(\d+\.|-) ", "", line) for line in lines if not line.startswith("|")]

    assert [line for line in told if re.search(r"[a-z`)][.!?] [A-Z`]", line)] == []
