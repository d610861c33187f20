"""`smsbridge-operator`: the operator's own console script."""


def main() -> None:
    raise SystemExit("smsbridge-operator: cannot do anything yet")
