"""docs/configuration.md, made from the settings' own descriptions: the page cannot say anything else."""

import pydantic

from smsbridge.runtime import reference
from smsbridge.targets.settings import Settings

_HEAD = """\
# Configuration

Settings are for whoever runs smsbridge.
What a provider does stands in its manifest, see [resource.md](resource.md).
Every setting has a default that fits, so a first run needs none.

This page is made from the code: `python -m smsbridge.targets.reference > docs/configuration.md`.

A setting `a.b` is written in a YAML file that is given with `--config FILE`:

```yaml
sender:
  default_region: KZ
embedded:
  maxmemory_mb: 4096
```

or in the environment as `SMSBRIDGE_A__B`, with two underscores between section and name:

```sh
SMSBRIDGE_SENDER__DEFAULT_REGION=KZ
SMSBRIDGE_ACCOUNT__LOGIN_PROBES_SECONDS='[30, 120, 600]'   # lists as in YAML
```

The command line wins over the environment, the environment over the file, the file over the defaults.
A setting that does not exist is refused with the nearest name that does.
`smsbridge config show` prints all of them with the values they have here.
`smsbridge config check` only says whether they are right.

`_seconds` and `_ms` in a name are the unit.
Times that keep a promise (leases, deadlines, holds) were chosen together; shorten them for tests only.
The operator has settings of its own: [kubernetes-operator.md](kubernetes-operator.md).
With `run all` much follows from `--data`: the addresses of the roles and of the store,
the master key's file and the journal's directory.
"""


def render() -> str:
    return _HEAD + "".join(_section(name, field) for name, field in Settings.model_fields.items())


def _section(name: str, field: pydantic.fields.FieldInfo) -> str:
    model = field.annotation
    if not isinstance(model, type) or not issubclass(model, pydantic.BaseModel):
        raise TypeError(f"{name} is no section")
    return reference.section(name, model, purpose=field.description or "")


if __name__ == "__main__":
    print(render(), end="")
