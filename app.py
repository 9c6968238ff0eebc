"""capsafe's dashboard as an ASGI app: `streamlit run app.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import streamlit as st
from starlette.middleware import Middleware

from capsafe_core.settings import ROOT
from capsafe_core.ui.headers import SecurityHeaders
from capsafe_core.ui.owner import close_owner, current_owner


@asynccontextmanager
async def lifespan(app: st.App) -> AsyncIterator[dict[str, Any]]:
    """Own the store while the server runs."""
    current_owner()
    try:
        yield {}
    finally:
        close_owner()


app = st.App(str(ROOT / "capsafe_core" / "ui" / "router.py"), lifespan=lifespan, middleware=[Middleware(SecurityHeaders)])
