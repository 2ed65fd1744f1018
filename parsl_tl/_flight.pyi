"""The transport over Arrow Flight."""

from types import ModuleType

from parsl_tl._native import Channel, Handler, Listener

def set_errors(errors: ModuleType) -> None: ...
def connect(address: str, ca_certificate: str = "", provider_id: int = 0) -> Channel: ...
def listen(
    address: str,
    handler: Handler,
    threads: int = 4,
    certificate: str = "",
    key: str = "",
    provider_id: int = 0,
    shared: bool = False,
) -> Listener: ...
