"""What the status of an `SmscProvider` holds, as the API server keeps it and `kubectl get` shows it."""

from typing import Any

from smsbridge.provisioning import conditions

_READY = '.status.conditions[?(@.type=="Ready")]'


def schema() -> dict[str, Any]:
    return {
        "type": "object",
        "description": "What is so: written by the operator alone.",
        "properties": {
            "observedGeneration": {
                "type": "integer",
                "format": "int64",
                "description": "Generation of the resource that all this was found for.",
            },
            "handlerUrl": _text("Address that Bitrix24 calls with each message; its key is masked."),
            "callbackUrl": _text("Address to enter at SMSC for receipts; its key is masked."),
            "installUrl": _text("Address to enter in the Bitrix24 application; its key is masked."),
            "hlrUrl": _text("Address for a Webhook step of a workflow; its key is masked."),
            "balance": _text("Roubles on the SMSC account, as it said last."),
            "queued": {
                "type": "integer",
                "format": "int64",
                "description": "Messages that wait to be sent, and those that are held.",
            },
            "apiCallsToday": {
                "type": "integer",
                "format": "int64",
                "description": "Requests to the portal since midnight (UTC), of all roles.",
            },
            "lastSync": _time("When the portal was last seen to show what it should."),
            "conditions": _conditions(),
        },
    }


def columns() -> list[dict[str, Any]]:
    """They answer: is it well? Those of priority 1 show with `-o wide`."""
    return [
        _column("Code", ".spec.code"),
        _column("Portal", ".spec.portal.domain"),
        _column("Channel", ".spec.routing.channel"),
        _column("Ready", f"{_READY}.status"),
        _column("Balance", ".status.balance"),
        _column("Queued", ".status.queued", type_="integer"),
        _column("Age", ".metadata.creationTimestamp", type_="date"),
        _column("Reason", f"{_READY}.reason", priority=1),
        _column("URL", ".spec.publicUrl", priority=1),
    ]


def _conditions() -> dict[str, Any]:
    known = [kind.value for kind in conditions.Type]
    return {
        "type": "array",
        "description": f"What is true of the provider: {', '.join(known)}.",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "reason", "message", "lastTransitionTime"],
            "properties": {
                "type": {"type": "string", "enum": known, "description": "What it speaks of."},
                "status": {
                    "type": "string",
                    "enum": [status.value for status in conditions.Status],
                    "description": "Whether it is so.",
                },
                "reason": {
                    "type": "string",
                    "enum": [reason.value for reason in conditions.Reason],
                    "description": "Why, as a word out of a closed list; docs/runbook.md has each.",
                },
                "message": _text("Why, and what to do, as a sentence."),
                "observedGeneration": {
                    "type": "integer",
                    "format": "int64",
                    "description": "Generation of the resource that it was found for.",
                },
                "lastTransitionTime": _time("When the status changed last."),
            },
        },
    }


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


def _time(description: str) -> dict[str, Any]:
    return {"type": "string", "format": "date-time", "description": description}


def _column(name: str, path: str, *, type_: str = "string", priority: int = 0) -> dict[str, Any]:
    column = {"name": name, "type": type_, "jsonPath": path}
    return column | ({"priority": priority} if priority else {})
