"""docs/kubernetes-operator.md, made from the operator's settings: the page cannot say anything else."""

from smsbridge.runtime import reference
from smsbridge_operator.settings import OperatorSettings, Settings

_HEAD = """\
# The operator's settings

What the chart sets by itself, and what `operator.settings` of its values may change.
How the operator works in a cluster is in [kubernetes.md](kubernetes.md).

This page is made from the code: `python -m smsbridge_operator.reference > docs/kubernetes-operator.md`.

They are written as [configuration.md](configuration.md) says, in the environment or in a file.
Beside its own section the operator has these, as every process has them: {shared}.
Settings of the roles are none of the operator's, and are refused.
"""


def render() -> str:
    shared = [f"[`{name}`](configuration.md#{name})" for name in Settings.model_fields if name != "operator"]
    purpose = "What the operator looks after, and how quickly it tells."
    section = reference.section("operator", OperatorSettings, purpose=purpose)
    return _HEAD.format(shared=", ".join(shared)) + section


if __name__ == "__main__":
    print(render(), end="")
