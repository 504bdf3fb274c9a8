"""The options of Jaeger's page name what spans carry."""

from __future__ import annotations

import json
import re
from pathlib import Path

from holdfast.tracing import convention

OPTIONS = Path(__file__).parent.parent.parent / "examples" / "jaeger" / "ui-config.json"


def test_every_tag_is_one_of_the_convention():
    """Those that stand first, and those that links are made of; ``error`` is Jaeger's own."""
    options = json.loads(OPTIONS.read_text(encoding="utf-8"))
    links = options["linkPatterns"]
    known = {attribute.name for attribute in convention.ATTRIBUTES} | {"error"}

    assert [] == [prefix for prefix in options["topTagPrefixes"] if not any(name.startswith(prefix) for name in known)]
    assert [] == [name for link in links for name in (link["key"], *re.findall(r"#\{([^}]*)\}", link["url"])) if name not in known]
