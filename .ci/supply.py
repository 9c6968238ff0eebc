"""What is installed in an environment: a bill of materials (CycloneDX 1.6), and whether its licences may be
there.

    PYTHON .ci/supply.py SBOM.json [ROOT ...]

Run with the interpreter of the environment; it asks no network. Whatever a ROOT (a distribution, with extras
as `capsafe[auth]`) needs is required, everything else is excluded from what people use, as what tests need.
Without a ROOT all is required. The exit status is 1 where something required has a licence that is not in
ALLOWED.
"""

from __future__ import annotations

import json
import re
import sys
import uuid
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ALLOWED = {
    *(
        "MIT",
        "MIT-0",
        "MIT-CMU",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "0BSD",
        "Apache-2.0",
        "LLVM-exception",
        "ISC",
    ),
    *("PSF-2.0", "CNRI-Python", "Zlib", "CC0-1.0", "MPL-2.0", "BSL-1.0", "Unlicense"),
    *("LGPL-2.1-only", "LGPL-2.1-or-later"),
}
"""SPDX ids; the LGPL's libraries are used as they are and not part of what capsafe gives out"""
NAMES = {
    "mit": "MIT",
    "mit license": "MIT",
    "bsd": "BSD License",
    "bsd license": "BSD License",
    "3-clause bsd license": "BSD-3-Clause",
    "apache": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache 2.0 license": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "isc license (iscl)": "ISC",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
    "the unlicense (unlicense)": "Unlicense",
    "bsd-3-clause, apache-2.0, dependency licenses": "BSD-3-Clause AND Apache-2.0",
}
"""how metadata call a licence, in lower case -> its SPDX expression, or a name that is none"""
READ = {"zss": "BSD-3-Clause", "locate": "MIT"}
"""distributions whose metadata say nothing of use: as their licence file says"""
UNTOLD = ("OSI Approved", "Other/Proprietary License")


def licence(found: metadata.Distribution) -> str:
    """The licence of a distribution: an SPDX expression, a name that is none, or nothing where it tells
    none."""
    name, told = canonicalize_name(found.metadata["Name"]), found.metadata
    if name in READ:
        return READ[name]
    if told.get("License-Expression"):
        return str(told["License-Expression"])
    classifiers = [c.split(" :: ")[-1] for c in told.get_all("Classifier", []) if c.startswith("License ::")]
    words = [c for c in classifiers if c not in UNTOLD] or (told.get("License") or "").strip().splitlines()[
        :1
    ]
    return " AND ".join(NAMES.get(word.lower(), word[:80]) for word in words)


def is_allowed(expression: str) -> bool:
    """Whether each licence of an expression, also of alternatives, may be there."""
    if expression == "BSD License":
        return True
    ids = re.findall(r"[A-Za-z0-9.+-]+", expression)
    return bool(ids) and all(one in ALLOWED or one in ("AND", "OR", "WITH") for one in ids)


def needed(found: metadata.Distribution, extras: set[str]) -> list[tuple[str, set[str]]]:
    """What a distribution needs here, each with its extras."""
    names = []
    for text in found.requires or []:
        one = Requirement(text)
        if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in extras | {""}):
            names.append((canonicalize_name(one.name), set(one.extras)))
    return names


def reached(installed: dict[str, metadata.Distribution], roots: list[str]) -> set[str]:
    """The names of whatever some distributions need, themselves among them."""
    waiting = [(canonicalize_name(one.name), frozenset(one.extras)) for one in map(Requirement, roots)]
    seen = set(waiting)
    while waiting:
        name, extras = waiting.pop()
        more = (
            [(n, frozenset(e)) for n, e in needed(installed[name], set(extras))] if name in installed else []
        )
        waiting += [one for one in more if one not in seen]
        seen.update(more)
    return {name for name, _ in seen}


def bill(installed: dict[str, metadata.Distribution], required: set[str]) -> dict[str, Any]:
    """A bill of materials; the same environment gives the same one."""
    refs = {name: f"pkg:pypi/{name}@{found.version}" for name, found in sorted(installed.items())}
    components, dependencies = [], []
    for name, ref in refs.items():
        told = licence(installed[name])
        kind = (
            {"expression": told}
            if is_allowed(told) and told != "BSD License"
            else {"license": {"name": told}}
        )
        components.append(
            {
                "type": "library",
                "bom-ref": ref,
                "name": installed[name].metadata["Name"],
                "version": installed[name].version,
                "scope": "required" if name in required else "excluded",
                "purl": ref,
                **({"licenses": [kind]} if told else {}),
            }
        )
        on = sorted({refs[n] for n, _ in needed(installed[name], set()) if n in refs})
        dependencies.append({"ref": ref, "dependsOn": on})
    number = uuid.uuid5(uuid.NAMESPACE_URL, " ".join(refs.values()))
    head = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{number}",
        "version": 1,
    }
    return {**head, "components": components, "dependencies": dependencies}


def main(place: str, *roots: str) -> int:
    """Write the bill, and say which licences may not be there."""
    installed = {canonicalize_name(d.metadata["Name"]): d for d in metadata.distributions()}
    required = reached(installed, list(roots)) & set(installed) if roots else set(installed)
    Path(place).write_text(json.dumps(bill(installed, required), indent=1) + "\n", encoding="utf-8")
    wrong = [(n, licence(installed[n])) for n in sorted(required) if not is_allowed(licence(installed[n]))]
    for name, told in wrong:
        print(f"capsafe: {name} is needed and has the licence {told or '(none told)'}")
    words = f"{len(required)} of {len(installed)} distributions required, {len(wrong)} licences not allowed"
    print(f"capsafe: {words}; {place}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
