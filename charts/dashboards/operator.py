"""The operator (or the provisioner of `run all`), the processes, and the calls between them."""

from charts.dashboards.build import (
    BYTES,
    NUMBER,
    PER_SECOND,
    REQUESTS_PER_SECOND,
    SECONDS,
    Page,
    Panel,
    Query,
    Row,
    quantile,
    rate_of_all,
    shown,
)

_PROVIDER = "{{namespace}}/{{provider}}"
_LOOPS = (
    "smsbridge_gateway_loop_errors_total",
    "smsbridge_loop_errors_total",
    "smsbridge_status_loop_errors_total",
    "smsbridge_hlr_loop_errors_total",
    "smsbridge_provisioner_loop_errors_total",
    "smsbridge_operator_loop_errors_total",
)

PAGE = Page(
    name="operator",
    title="Operator",
    description="The operator, or the provisioner of `run all`; the processes; the calls between them.",
    rows=[
        Row(
            "Providers",
            [
                Panel(
                    "Ready",
                    "1 where the condition Ready is True. `kubectl describe` or `provider show` has the "
                    "sentence why not.",
                    NUMBER,
                    [Query(shown("smsbridge_provider_ready"), _PROVIDER)],
                    kind="states",
                    steps=((None, "red"), (1, "green")),
                ),
                Panel(
                    "Drift",
                    "Since a portal was last seen to show what it should: up to 10 minutes while all is "
                    "well.",
                    SECONDS,
                    [Query(shown("smsbridge_provider_drift_seconds"), _PROVIDER)],
                ),
                Panel(
                    "Reconciliations",
                    "Providers that were looked after. `incomplete` ones have a condition that is not in "
                    "order.",
                    PER_SECOND,
                    [Query(rate_of_all("smsbridge_reconciliations_total", "result"), "{{result}}")],
                    width=8,
                ),
                Panel(
                    "How long one takes",
                    "Median and 95th percentile, waiting for the portal's limits included.",
                    SECONDS,
                    [
                        Query(quantile(0.5, "smsbridge_reconcile_duration_seconds", ""), "median"),
                        Query(quantile(0.95, "smsbridge_reconcile_duration_seconds", ""), "95 %"),
                    ],
                    width=8,
                ),
                Panel(
                    "Requests of the operator",
                    "Requests that left for portals, their OAuth hosts and SMSC, by what came back; each "
                    "interval one to the portal and one to SMSC for a provider in order.",
                    REQUESTS_PER_SECOND,
                    [
                        Query(
                            rate_of_all("smsbridge_provisioner_requests_total", "system, result"),
                            "{{system}} {{result}}",
                        )
                    ],
                    width=8,
                ),
                Panel(
                    "Leads",
                    "1 where an operator has the lease and acts. Nothing is shown with `run all`, which "
                    "needs none.",
                    NUMBER,
                    [Query("max(smsbridge_operator_leading)", "leads")],
                    kind="stat",
                    width=6,
                    height=4,
                    steps=((None, "red"), (1, "green")),
                ),
                Panel(
                    "Errors in the manifests",
                    "Errors in the manifests file as it is now; what they belong to runs on with its old "
                    "settings.",
                    NUMBER,
                    [Query("max(smsbridge_manifest_errors)", "errors")],
                    kind="stat",
                    width=6,
                    height=4,
                    steps=((None, "green"), (1, "red")),
                ),
                Panel(
                    "Steps of loops that failed",
                    "Errors of background loops within 5 minutes; each goes on by itself, and its log "
                    "says `loop_failed`.",
                    NUMBER,
                    [
                        Query(
                            " or ".join(f"sum by (loop) (increase({name}[5m])) > 0" for name in _LOOPS),
                            "{{loop}}",
                        )
                    ],
                    height=4,
                ),
            ],
        ),
        Row(
            "Calls between roles",
            [
                Panel(
                    "Answered",
                    "gRPC calls that roles answered, by method and code.",
                    REQUESTS_PER_SECOND,
                    [Query(rate_of_all("smsbridge_rpc_calls_total", "method, code"), "{{method}} {{code}}")],
                ),
                Panel(
                    "Made",
                    "gRPC calls that roles made. `UNAVAILABLE`: nobody listened; `DEADLINE_EXCEEDED`: "
                    "too slow.",
                    REQUESTS_PER_SECOND,
                    [
                        Query(
                            rate_of_all("smsbridge_rpc_client_calls_total", "method, code"),
                            "{{method}} {{code}}",
                        )
                    ],
                ),
                Panel(
                    "How long answers took",
                    "95th percentile by method, at the one that answers.",
                    SECONDS,
                    [Query(quantile(0.95, "smsbridge_rpc_duration_seconds", "method"), "{{method}}")],
                ),
                Panel(
                    "How long callers waited",
                    "95th percentile by method, at the one that asks.",
                    SECONDS,
                    [Query(quantile(0.95, "smsbridge_rpc_client_duration_seconds", "method"), "{{method}}")],
                ),
            ],
        ),
        Row(
            "Processes",
            [
                Panel(
                    "Answers at the door",
                    "Median and 99th percentile from a parsed post to its answer.",
                    SECONDS,
                    [
                        Query(quantile(0.5, "smsbridge_gateway_accept_duration_seconds", ""), "median"),
                        Query(quantile(0.99, "smsbridge_gateway_accept_duration_seconds", ""), "99 %"),
                    ],
                    width=8,
                ),
                Panel(
                    "Memory",
                    "Resident memory of each process.",
                    BYTES,
                    [
                        Query(
                            'process_resident_memory_bytes and on (job, instance) {__name__=~"smsbridge_.+"}',
                            "{{instance}} {{role}}",
                        )
                    ],
                    width=8,
                ),
                Panel(
                    "Started again",
                    "Processes that the supervisor of `run all` started again within an hour.",
                    NUMBER,
                    [
                        Query(
                            "sum by (child) (increase(smsbridge_supervisor_restarts_total[1h])) > 0",
                            "{{child}}",
                        )
                    ],
                    width=8,
                ),
            ],
        ),
    ],
)
