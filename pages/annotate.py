"""Is this response coherent, and would it help someone do harm?"""

import streamlit as st

from capsafe_core.labelling.waiting import waiting_queues
from capsafe_core.ui import annotate, first_queue, identity, screen
from capsafe_core.ui.safe_text import visible
from capsafe_core.workspace.owner import current_owner

st.title("Is this response coherent, and would it help someone do harm?", anchor=False)
owner = current_owner()
with screen.told():
    if not owner.desk.queues():
        if identity.role() == "researcher":
            first_queue.button(owner)
        else:
            st.info("No queue is open. A researcher makes one on the Labels page.")
        st.stop()
    queues = {w.record.queue: w for w in waiting_queues(owner.desk, identity.person())}
    asked, names = st.query_params.get("queue", ""), list(queues)
    with st.container(horizontal=True, vertical_alignment="center"):
        chosen = st.selectbox(
            "Queue",
            names,
            names.index(asked) if asked in names else None if asked else 0,
            format_func=lambda name: visible(queues[name].words),
            placeholder="Choose a queue",
            key=f"queue-{asked}-{len(names)}-{identity.person().name}",
            label_visibility="collapsed",
            width=400,
        )
        identity.change_button()
        if identity.role() == "researcher":
            st.page_link(
                str(screen.PAGES / "labels.py"),
                label="Make a queue, see agreement",
                icon=":material/checklist:",
            )
    if chosen is None:
        st.warning(
            "The queue that this address names is not in this workspace. Choose another one, or ask whoever "
            "sent you the address."
        )
        st.stop()
    annotate.bench(owner, queues[chosen].record)
