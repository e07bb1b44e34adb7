"""Who somebody is: what the provider said of her, signed, not too old, and let in here."""

from __future__ import annotations

from dashboard.hosting.settings import Settings


def give_secrets(settings: Settings) -> None:
    """Hand Streamlit what its sign-in needs, in memory: no secrets.toml is written that somebody could read."""
    from streamlit.runtime.secrets import secrets_singleton

    secrets_singleton.merge_programmatic_secrets({"auth": streamlit_secrets(settings)})


def streamlit_secrets(settings: Settings) -> dict:
    """The section `auth` of what Streamlit calls secrets."""
    return {
        "redirect_uri": settings.redirect_uri,
        "cookie_secret": settings.cookie_secret,
        "client_id": settings.client_id,
        "client_secret": settings.client_secret,
        "server_metadata_url": settings.metadata_url,
    }
