"""What a real Prometheus is asked: every panel of the dashboards, every rule, every variable."""

import re

from tests.flow import harness
from tests.observability import panels, prometheus
from tests.observability.prometheus import Prometheus

# Series that a provider may add, and that there may be without one. Fifty providers stay within 20,000.
SERIES_OF_A_PROVIDER, SERIES_BESIDE = 350, 1000

# Panels without an answer while all is well: what they show is a fault, or has not happened in this traffic.
# A question that is not here must be answered, and one that is here must exist.
EMPTY_WHILE_WELL = frozenset(
    {
        "batches / How they were settled / {{how}}",  # no batch was uncertain
        "bitrix24 / Answers that are not 200 / {{door}} {{status}}",
        "bitrix24 / What holds writing back / {{namespace}}/{{provider}} {{limit}}",  # a quick portal
        "delivery / Closed, unknown and pretended / {{namespace}}/{{provider}} closed",
        "delivery / Closed, unknown and pretended / {{namespace}}/{{provider}} test mode",
        "delivery / Closed, unknown and pretended / {{profile}} unknown code",
        "delivery / Questions to status.php / {{result}}",  # every receipt came
        "delivery / Steps of cascades / {{namespace}}/{{provider}} SMSC's",  # profile guide's own cascade
        "numbers / Left out, or sent unchecked / unchecked: {{why}}",  # every look-up came in time
        "operator / Leads / leads",  # `run all` needs no lease
        "operator / Started again / {{child}}",
        "operator / Steps of loops that failed / {{loop}}",
        "overview / Pauses / {{namespace}}/{{provider}} {{reason}}",
    }
)
# The same where nobody looks before sending, and there is no lead, no workflow and no verification.
EMPTY_WITHOUT_THE_CRM = EMPTY_WHILE_WELL | {
    "bitrix24 / Answers to workflow steps / {{result}}",
    "numbers / Left out, or sent unchecked / left out: {{reason}}",
    "numbers / Saved by look-ups, 24 h / {{namespace}}/{{provider}}",
    "numbers / Errands at the door / {{kind}} {{result}}",
    "numbers / Errands that wait / {{namespace}}/{{provider}} {{kind}}",
    "numbers / How errands end / {{kind}} {{end}}",
    "numbers / Oldest errand / {{namespace}}/{{provider}} {{kind}}",
    "numbers / Questions for operator and region / {{result}}",
    "numbers / Running / {{namespace}}/{{provider}}",
    "numbers / Contacts, leads and companies done / {{result}}",
    "numbers / Distinct numbers done / {{outcome}}",
    "numbers / Spent by verifications, 24 h / {{namespace}}/{{provider}}",
}
# The same of metrics that rules name.
METRICS_ABSENT_WHILE_WELL = {"smsbridge_operator_leading"}


async def every_question_is_answered(
    server: Prometheus, *providers: str, empty: frozenset[str] = EMPTY_WHILE_WELL
) -> None:
    """Of every panel and every rule: what has no answer is known to have none. `providers`: two or more that
    are chosen alone and together.
    """
    questions = panels.questions()
    gaps: set[str] = set()

    async def answered() -> bool:
        """A rate needs two scrapes, a receipt its time."""
        gaps.clear()
        gaps.update(await _unanswered(server, questions, providers) - empty)
        return not gaps

    await harness.until(answered, seconds=45, what=lambda: f"no answer: {sorted(gaps)}", pause=1.0)
    assert empty - {question.name for question in questions} == set()
    missing = set()
    for rule in prometheus.rules():
        await server.query(rule["expr"])
        for metric in set(re.findall(r"\bsmsbridge_\w+", rule["expr"])):
            if not await server.query(metric):
                missing.add(metric)
        if "record" in rule and not await server.query(rule["record"]):
            missing.add(rule["record"])
    assert missing - METRICS_ABSENT_WHILE_WELL == set()


async def _unanswered(
    server: Prometheus, questions: list[panels.Question], providers: tuple[str, ...]
) -> set[str]:
    """Those that Prometheus has no answer to; AssertionError for one that it refuses."""
    found = set()
    for question in questions:
        if not await server.query(panels.filled(question.expr)):
            found.add(question.name)
        # One provider chosen, by its name.
        await server.query(panels.filled(question.expr, namespace="crm", provider=providers[0]))
        # Several of them, as Grafana writes it: what all of them answer, they do.
        several = panels.filled(question.expr, namespace="crm", provider=panels.several(*providers))
        if not await server.query(several):
            found.add(question.name)
    return found


async def every_choice_is_offered(server: Prometheus, *providers: str) -> None:
    """The values of the dashboards' variables, as Grafana asks for them."""
    offered = {"namespace": {"crm"}, "provider": set(providers)}
    for choice in panels.choices():
        for namespace in (".*", "crm", panels.several("crm", "another")):
            match = panels.filled(choice.match, namespace=namespace)
            assert await server.label_values(choice.label, match) == offered[choice.name], choice
