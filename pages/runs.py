"""What is running, what ran, and what shall run next?"""

import streamlit as st

from capsafe_core.analysis.coverage import coverage_table
from capsafe_core.analysis.view import open_view
from capsafe_core.catalogue import judges, models
from capsafe_core.errors import CapsafeError
from capsafe_core.figures.squares import coverage_squares
from capsafe_core.jobs.engine_environment import read_state
from capsafe_core.jobs.small_run import BENCHMARKS, start_small_run
from capsafe_core.ui import job_list, screen
from capsafe_core.ui.owner import current_owner

st.title("What is running, what ran, and what shall run next?", anchor=False)
owner = current_owner()
engine = read_state()
st.text(f"Engine: {engine.words}")
with st.form("start", border=True):
    st.markdown("**Start a small run**")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        model = st.selectbox("Model: a name, a folder, a .gguf file or a hub id", [n for n, m in models().items() if "parameters" in m], accept_new_options=True, width=320)
        benchmark = st.selectbox("Benchmark", BENCHMARKS, width=240)
        size = st.number_input("Prompts", 1, 500, 12, width=120)
        chosen = st.multiselect("Judges", [n for n, j in judges().items() if j["type"] in ("prefixes", "coherence", "learnt")], ["prefix-zou", "coherence-rules"], width=360)
        go = st.form_submit_button("Start", icon=":material/play_arrow:", type="primary", disabled=not engine.ready)
if go:
    try:
        name = start_small_run(owner.settings.jobs_path, str(model), benchmark, int(size), chosen)
        st.success(f"{name} is queued. Its outputs appear as they come.")
        st.page_link(str(screen.PAGES / "outputs.py"), label=f"Outputs of {name}", icon=":material/chat:", query_params={"study": name})
    except CapsafeError as error:
        screen.show_error(error)
job_list.show()
st.subheader("What is there, and what is missing?", anchor=False)
try:
    view = open_view(owner.store, screen.selection())
    coverage = coverage_table(view)
    if len(coverage):
        clicked = screen.chart(coverage_squares(coverage), "coverage", "Which checkpoint has outputs on which benchmark, and how many judges have seen them")
        screen.caption(view, "Numbers: judges that have seen every output; + where another has seen some")
        if clicked:
            screen.open_outputs(checkpoints=(clicked.split("~")[0],), benchmarks=(clicked.split("~")[1],))
    else:
        st.info("There are no outputs yet.")
except CapsafeError as error:
    screen.show_error(error)
