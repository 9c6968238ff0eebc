"""Is this response coherent, and would it help someone do harm?"""

import streamlit as st

from capsafe_core.errors import CapsafeError
from capsafe_core.ui import annotate, first_queue, identity, screen
from capsafe_core.ui.safe_text import visible
from capsafe_core.workspace.owner import current_owner

st.title("Is this response coherent, and would it help someone do harm?", anchor=False)
owner = current_owner()
try:
    queues = {q.queue: q for q in sorted(owner.desk.queues(), key=lambda q: q.state != "open")}
    words = {
        name: visible(q.name + ("" if q.state == "open" else f" ({q.state})")) for name, q in queues.items()
    }
    asked = st.query_params.get("queue", "")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if queues:
            names = list(queues)
            chosen = st.selectbox(
                "Queue",
                names,
                names.index(asked) if asked in names else None if asked else 0,
                format_func=words.__getitem__,
                placeholder="Choose a queue",
                key=f"queue-{asked}-{len(names)}",
                width=320,
            )
        if queues:
            identity.change_button()
        if identity.role() == "researcher":
            st.page_link(
                str(screen.PAGES / "labels.py"),
                label="Make a queue, see agreement",
                icon=":material/checklist:",
            )
    if not queues:
        if identity.role() == "researcher":
            first_queue.button(owner)
        else:
            st.info("No queue is open. A researcher makes one on the Labels page.")
        st.stop()
    if chosen is None:
        st.warning(
            "The queue that this address names is not in this workspace. Choose another one, or ask whoever "
            "sent you the address."
        )
        st.stop()
    annotate.bench(owner, queues[chosen])
except CapsafeError as error:
    screen.show_error(error)
