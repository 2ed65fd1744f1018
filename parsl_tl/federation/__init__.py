"""One workflow on several sites: which executor gets a task, and what becomes of lost ones."""

from parsl_tl.federation.federate import federate
from parsl_tl.federation.router import Router

__all__ = ["Router", "federate"]
