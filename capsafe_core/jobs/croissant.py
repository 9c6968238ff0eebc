"""What a bundle says of its files to tools that know Croissant 1.0 (MLCommons), as JSON-LD."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from capsafe_core import __version__
from capsafe_core.study import Study

NAME = "croissant.json"
CONFORMS_TO = "http://mlcommons.org/croissant/1.0"
_OWN = (
    *("citeAs", "column", "extract", "field", "fileProperty", "fileObject", "fileSet", "format", "includes"),
    *("isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex"),
    *("repeated", "replace", "separator", "source", "subField", "transform"),
)
"""terms of Croissant's own vocabulary"""
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "sc": "https://schema.org/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in _OWN},
}
_FORMATS = {".gz": "application/gzip", ".json": "application/json", ".jsonl": "application/jsonl"}
UNSTATED = "NOASSERTION"
"""SPDX's word for a licence that nobody stated: whoever publishes a bundle writes theirs in its place"""


def croissant(study: Study, digest: str, root: Path, made: str) -> dict[str, Any]:
    """The description of a bundle.

    Args:
        digest: of the study's text.
        root: the folder whose files are the bundle's.
        made: when, as an ISO date.
    """
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": study.name,
        "description": f"{study.title or study.name}. Outputs, judgments and labels of a study of fine-tuned "
        f"language models, as capsafe {__version__} packs them. Model outputs may be harmful.",
        "license": UNSTATED,
        "url": f"urn:capsafe:{digest}",
        "creator": {"@type": "sc:Organization", "name": "unknown"},
        "datePublished": made,
        "version": digest,
        "distribution": [_file(path, root) for path in files],
    }


def _file(path: Path, root: Path) -> dict[str, Any]:
    name = path.relative_to(root).as_posix()
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": _FORMATS.get(path.suffix, "text/plain"),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
