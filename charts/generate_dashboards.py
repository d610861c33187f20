"""Writes Grafana's dashboards into the chart, or into the folder that is given.

    python -m charts.generate_dashboards [FOLDER]

What a panel shows stands in `charts/dashboards`, a module for each dashboard.
"""

import json
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from charts.dashboards import batches, bitrix24, build, delivery, numbers, operator, overview

FOLDER = Path(__file__).parent / "smsbridge" / "files" / "dashboards"
PAGES = (overview.PAGE, delivery.PAGE, batches.PAGE, bitrix24.PAGE, numbers.PAGE, operator.PAGE)


def render() -> dict[str, str]:
    """Text by file name."""
    return {
        f"{page.name}.json": json.dumps(build.render(page), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"
        for page in PAGES
    }


def write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in render().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
