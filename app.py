"""capsafe's dashboard as an ASGI app: `capsafe app`, or `streamlit run app.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import streamlit as st

from capsafe_core.errors import CapsafeError
from capsafe_core.places import PACKAGE
from capsafe_core.ui.door import Door, address
from capsafe_core.ui.headers import SecurityHeaders
from capsafe_core.workspace.owner import close_owner, current_owner
from capsafe_core.workspace.service import PATIENCE


@asynccontextmanager
async def lifespan(app: st.App) -> AsyncIterator[dict[str, Any]]:
    """Own the store while the server runs."""
    try:
        current_owner(address(), PATIENCE)
    except CapsafeError as error:
        # every page says it too, and tries again
        print(f"capsafe: {error}", flush=True)
    try:
        yield {}
    finally:
        close_owner()


app = st.App(str(PACKAGE / "ui" / "router.py"), lifespan=lifespan)
# `streamlit run` looks for the line above and serves what `app` then is: nothing reaches Streamlit past the
# door
app = SecurityHeaders(Door(app))
