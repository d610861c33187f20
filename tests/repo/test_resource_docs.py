"""docs/resource.md says what the code says, and the examples are manifests that can be used."""

from pathlib import Path

import pytest

from smsbridge.provisioning import manifests, reference

ROOT = Path(__file__).parents[2]


def test_resource_reference_is_fresh() -> None:
    assert (ROOT / "docs/resource.md").read_text(encoding="utf-8") == reference.render()


@pytest.mark.parametrize(
    ("file", "labels"),
    [
        ("sms.yaml", {"crm/smsc"}),
        ("cascade.yaml", {"crm/smsc-cascade"}),
        ("sandbox.yaml", {"sandbox/guide", "sandbox/http"}),
    ],
)
def test_examples_are_valid(file: str, labels: set[str]) -> None:
    read = manifests.read((ROOT / "examples" / file).read_bytes())

    assert read.errors == ()
    assert {item.label for item in read.declared} == labels
