"""The app's script: navigation over the pages by absolute path, so that a deep link to any page works on a
cold server."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from capsafe_core.places import ROOT
from capsafe_core.ui import address, identity, link, page_style

SCREENS = [
    ("overview.py", "Overview", ":material/insights:", ""),
    ("capability.py", "Capability and safety", ":material/trending_up:", "capability"),
    ("mitigations.py", "Mitigations", ":material/health_and_safety:", "mitigations"),
    ("incoherence.py", "Incoherence", ":material/blur_on:", "incoherence"),
    ("disagreement.py", "Judge disagreement", ":material/balance:", "disagreement"),
    ("conclusions.py", "Conclusions", ":material/rule:", "conclusions"),
    ("outputs.py", "Outputs", ":material/chat:", "outputs"),
    ("output.py", "One output", ":material/article:", "output"),
    ("annotate.py", "Annotate", ":material/edit_note:", "annotate"),
    ("labels.py", "Labels", ":material/checklist:", "labels"),
    ("runs.py", "Runs", ":material/play_circle:", "runs"),
    ("report.py", "Report", ":material/description:", "report"),
    ("data.py", "Data", ":material/database:", "data"),
]
# What each role sees, first where it starts. An annotator sees no judge's votes.
LOOKING = [file for file, *_ in SCREENS if file not in ("annotate.py", "labels.py", "runs.py", "data.py")]
ROLE_PAGES = {"viewer": LOOKING, "annotator": ["annotate.py"], "researcher": [file for file, *_ in SCREENS]}
FIRST = SCREENS[0][0]

st.set_page_config(page_title="capsafe", page_icon=str(Path(__file__).with_name("shield.svg")), layout="wide")
presenting = bool(st.query_params.get("present"))
page_style.apply(presenting)
open_to = ROLE_PAGES[identity.role()]
identity.require_store()
pages = {
    file: st.Page(
        str(ROOT / "pages" / file), title=title, icon=icon, url_path=path or "first", default=not path
    )
    for file, title, icon, path in SCREENS
    if file in open_to
}


def first_page() -> None:
    """Lead to the first page of a role: it may have an address of its own, which a default page cannot
    have."""
    st.switch_page(pages[open_to[0]], query_params=st.query_params.to_dict())


listed = [pages[file] for file in open_to]
# what the first page's file is called: people try it, and links of before had it
listed.append(st.Page(first_page, title="capsafe", url_path="overview", visibility="hidden"))
if FIRST not in pages:
    listed.append(st.Page(first_page, title="capsafe", default=True, visibility="hidden"))
page = st.navigation(listed, position="top")
address.come_back(page.url_path)
link.show_if_behind()
page.run()
if not presenting:
    link.show()
