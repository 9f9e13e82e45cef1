"""All results as JSON, schema faultline/1"""

from __future__ import annotations

import json
from pathlib import Path

from ..verdict import Run

OPTION = "json"
DEFAULT = "{command}.json"


def write(run: Run, path: Path) -> None:
    """Write a run to `path`; the schema is reports/faultline.schema.json."""
    path.write_text(json.dumps(run.as_json(), indent=2) + "\n", "utf-8")
