"""What every page looks like beyond Streamlit's theme: room, contrast, and a visible focus. The skip link
is Streamlit's own."""

from __future__ import annotations

import streamlit as st

# Streamlit leaves a hand's breadth above the title; the finding should be above the fold.
ROOM = """
.stMainBlockContainer {padding-top: 3.6rem; padding-bottom: 3rem}
.stMainBlockContainer h1 {padding: 0 0 0.2rem 0}
.stMainBlockContainer h2 {padding: 0}
"""
# One finding at a time, for a wall: the headline largest, and nothing around it.
LARGE = """
[data-testid=stHeader], [data-testid=stSidebar] {display: none}
.stMainBlockContainer {padding: 1rem 4vw; max-width: 100%}
.stMainBlockContainer h1 {font-size: 42px; line-height: 1.15; padding: 0 0 0.4rem}
.stMainBlockContainer h2 {font-size: 40px; padding: 0}
.stMainBlockContainer [data-testid=stText] {font-size: 18px; line-height: 1.35}
.stMainBlockContainer [data-testid=stCaptionContainer] p {font-size: 15px}
"""
# Streamlit's faded texts have 60% of the text's colour, which is 3.9:1, its colours of code 2.6:1; AA asks
# for 4.5:1.
READABLE = """
[data-testid=stCaptionContainer], [data-testid=stCaptionContainer] p {color: inherit; opacity: 1}
[data-testid=stCaptionContainer] p {opacity: 0.88}
[data-testid=stCode] .token {color: inherit !important}
input::placeholder, textarea::placeholder {color: currentColor !important; opacity: 0.8 !important}
a:focus-visible, button:focus-visible, summary:focus-visible, [role=tab]:focus-visible,
[tabindex]:focus-visible, .react-aria-ComboBox > [role=group]:has(input:focus-visible)
{outline: 3px solid #2f7fb8 !important; outline-offset: 2px}
.react-aria-ComboBox input:focus-visible {outline: none !important}
[data-testid=stButtonGroup] [role=toolbar], [data-testid=stButtonGroup] [role=radiogroup]
{flex-wrap: wrap; row-gap: 0.3rem; overflow: visible; mask: none}
[class*=-list]:not(:focus-within)[class*=st-key-marks-]
{position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%)}
@media (max-width: 640px) {
  .stMainBlockContainer {padding-left: 1rem; padding-right: 1rem}
  .stMainBlockContainer h1 {font-size: 1.4rem}
  [class*=st-key-wide-] {overflow-x: auto}
  [class*=st-key-wide-] [data-testid=stFullScreenFrame] {min-width: 720px}
  .stMarkdownBadge {white-space: normal !important}
  [data-testid=stTabs] [role=tablist] {flex-wrap: wrap}
  [data-testid=stCode] :is(pre, code) {white-space: pre-wrap !important; overflow-wrap: anywhere}
}
"""

# Streamlit writes white on the primary colour, which is light on a dark page.
DARK = """
[data-testid=stBaseButton-primary], [data-testid=stBaseButton-primary] *, [data-tag-index], [data-tag-index] *
{color: #0f161d !important}
"""

# Charts have the colours of the theme that the page was asked in, and Streamlit does not ask again when the
# reader's system turns dark: the ground's colour is watched, and a change of it has the page drawn again.
_GROUND = st.components.v2.component(
    "capsafe_ground",
    html="<i></i>",
    css="i {background-color: var(--st-background-color); transition: background-color 1ms}",
    js="""
    export default function ({ parentElement, setTriggerValue }) {
      parentElement.querySelector("i").ontransitionend = () => setTriggerValue("changed", true);
    }
    """,
)
WATCH = """
.st-key-ground {position: absolute; visibility: hidden}
"""


def apply(presenting: bool) -> None:
    """Style the page that is being drawn; one that is presented has nothing around its finding."""
    with st.container(key="ground"):
        _GROUND(key="watched-ground", on_changed_change=lambda: None)
    dark = DARK if st.context.theme.type == "dark" else ""
    st.html(f"<style>{READABLE}{WATCH}{dark}{LARGE if presenting else ROOM}</style>")
