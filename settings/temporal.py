"""Connect to the Temporal server that the settings name."""

import asyncio

from temporalio.client import Client
from temporalio.runtime import Runtime
from temporalio.service import TLSConfig

from settings.errors import SettingsError
from settings.model import Settings
from settings.payloads import DATA_CONVERTER

__all__ = ["connect", "tls"]

_CONNECT_TIMEOUT_S = 10


def tls(settings: Settings) -> TLSConfig | bool:
    """How to secure the connection: not at all, with the system's authorities, or with the given files."""
    files = (settings.temporal_tls_ca_file, settings.temporal_tls_cert_file, settings.temporal_tls_key_file)
    if not any(files):
        return settings.temporal_tls or settings.temporal_api_key is not None
    try:
        authority, certificate, key = (file.read_bytes() if file else None for file in files)
    except OSError as error:
        raise SettingsError(
            f"{error.filename}: {error.strerror}. Check the COUNTERSIGN_TEMPORAL_TLS_ files."
        ) from error
    return TLSConfig(server_root_ca_cert=authority, client_cert=certificate, client_private_key=key)


async def connect(settings: Settings, runtime: Runtime | None = None) -> Client:
    """A client of the runs' namespace that speaks pydantic, on the default runtime or another.

    Raises:
        SettingsError: it cannot be had.
    """
    address = settings.temporal_address
    if address is None:
        raise SettingsError(
            "no Temporal server is known. Start the stack with `countersign up`, or set COUNTERSIGN_TEMPORAL_ADDRESS."
        )
    key = settings.temporal_api_key
    try:
        return await asyncio.wait_for(
            Client.connect(
                address,
                namespace=settings.temporal_namespace,
                tls=tls(settings),
                api_key=None if key is None else key.get_secret_value(),
                data_converter=DATA_CONVERTER,
                runtime=runtime,
            ),
            _CONNECT_TIMEOUT_S,
        )
    except (RuntimeError, TimeoutError) as error:
        raise SettingsError(
            f"the Temporal server at {address} does not answer. "
            "Check `countersign status`, or COUNTERSIGN_TEMPORAL_ADDRESS and its TLS and key."
        ) from error
