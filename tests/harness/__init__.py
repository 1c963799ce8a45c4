"""What the system tests stand on: real servers on free ports in temporary folders, a small NATS
client, the recorded flights. Python's standard library alone."""

from .case import StackCase
from .client import NatsClient, NatsError
from .faults import FaultCase
from .hub import Hub, Reply
from .process import Process, TempFolder, free_port, scaled, stop_all, wait_until
from .proxy import Proxy
from .servers import NatsServer, Postgres
from .stack import Stack
from .trace import OWN_TRACES, Trace, envelope, find_trace, timestamp

__all__ = [
    "FaultCase", "Hub", "NatsClient", "NatsError", "NatsServer", "OWN_TRACES", "Postgres",
    "Process", "Proxy", "Reply", "Stack", "StackCase", "TempFolder", "Trace", "envelope",
    "find_trace", "free_port", "scaled", "stop_all", "timestamp", "wait_until",
]
