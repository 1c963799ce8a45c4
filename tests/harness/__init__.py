"""What the system tests stand on: real servers on free ports in temporary folders, a small NATS
client, the recorded flights. Python's standard library alone."""

from .client import NatsClient, NatsError
from .hub import Hub, Reply
from .process import Process, TempFolder, free_port, scaled, stop_all, wait_until
from .proxy import Proxy
from .servers import NatsServer, Postgres
from .stack import Stack
from .trace import Trace, find_trace

__all__ = [
    "Hub", "NatsClient", "NatsError", "NatsServer", "Postgres", "Process", "Proxy", "Reply",
    "Stack", "TempFolder", "Trace", "find_trace", "free_port", "scaled", "stop_all", "wait_until",
]
