"""What is installed, as a bill of materials, and which licences may be there."""

from __future__ import annotations

import importlib.util
import json
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from capsafe_core.settings import ROOT

_SPEC = importlib.util.spec_from_file_location("supply", ROOT / ".ci" / "supply.py")
assert _SPEC
assert _SPEC.loader
supply: Any = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(supply)
USED = "capsafe[auth,benchmarks]"


def install(folder: Path, name: str, *lines: str) -> metadata.Distribution:
    place = folder / f"{name}-1.0.dist-info"
    place.mkdir()
    (place / "METADATA").write_text(
        "\n".join(["Metadata-Version: 2.4", f"Name: {name}", "Version: 1.0", *lines])
    )
    return metadata.Distribution.at(place)


@pytest.mark.parametrize(
    ("lines", "allowed"),
    [
        (["License-Expression: MIT"], True),
        (["License-Expression: MIT AND (BSD-2-Clause OR LGPL-2.1-or-later)"], True),
        (["License-Expression: Apache-2.0 WITH LLVM-exception"], True),
        (["Classifier: License :: OSI Approved :: BSD License"], True),
        (["Classifier: License :: OSI Approved", "License: Apache 2.0"], True),
        (["License: MIT"], True),
        (["License-Expression: GPL-3.0-or-later"], False),
        (["License-Expression: MIT OR AGPL-3.0-only"], False),
        (["Classifier: License :: OSI Approved :: GNU General Public License v3 (GPLv3)"], False),
        (["Classifier: License :: Other/Proprietary License"], False),
        (["License: Intel End User License Agreement for Developer Tools"], False),
        (["License-Expression: MIT", "License: GPL"], True),
        (["License: Free for research, not for companies"], False),
        ([], False),
    ],
)
def test_a_licence_is_read_where_it_is_told_and_allowed_where_it_may_be_there(
    tmp_path: Path, lines: list[str], allowed: bool
) -> None:
    assert supply.is_allowed(supply.licence(install(tmp_path, "one", *lines))) == allowed


def test_what_something_needs_is_required_and_the_rest_is_not(tmp_path: Path) -> None:
    used = [
        *("Requires-Dist: middle[deep]", "Requires-Dist: tests-only; extra == 'dev'", "Provides-Extra: dev"),
        "Requires-Dist: windows; sys_platform == 'win32'",
    ]
    deep = ["Requires-Dist: app", "Requires-Dist: far; extra == 'deep'", "Provides-Extra: deep"]
    made = {
        "app": install(tmp_path, "App", "License-Expression: MIT", *used),
        "middle": install(tmp_path, "middle", "License: MIT", *deep),
        "far": install(tmp_path, "far", "License: A text of its own"),
        "tests-only": install(tmp_path, "tests_only", "License-Expression: GPL-3.0-only"),
    }
    required = supply.reached(made, ["app"])
    assert required == {"app", "middle", "far"}
    assert supply.reached(made, ["app[dev]"]) == {*required, "tests-only"}
    bill = supply.bill(made, required)
    assert bill == supply.bill(made, required)
    scopes = {one["purl"]: (one["scope"], one["licenses"]) for one in bill["components"]}
    assert scopes["pkg:pypi/far@1.0"] == ("required", [{"license": {"name": "A text of its own"}}])
    assert scopes["pkg:pypi/app@1.0"] == ("required", [{"expression": "MIT"}])
    assert scopes["pkg:pypi/tests-only@1.0"][0] == "excluded"
    assert {one["ref"]: one["dependsOn"] for one in bill["dependencies"]}["pkg:pypi/app@1.0"] == [
        "pkg:pypi/middle@1.0"
    ]


def test_what_people_install_has_licences_that_may_be_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "sbom.json"
    assert supply.main(str(place), USED) == 0, capsys.readouterr().out
    bill = json.loads(place.read_text())
    scopes = {one["name"].lower(): one["scope"] for one in bill["components"]}
    assert scopes["streamlit"] == scopes["duckdb"] == scopes["authlib"] == "required"
    assert scopes["krippendorff"] == scopes["pytest"] == "excluded"
    refs = [one["bom-ref"] for one in bill["components"]]
    assert len(set(refs)) == len(refs) == len(bill["dependencies"]) > 100
    assert supply.main(str(place)) == 1
    assert "krippendorff is needed and has the licence GPL" in capsys.readouterr().out
