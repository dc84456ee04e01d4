"""Reading the training logs of any framework."""

from lrdecay.logs.formats import LogError
from lrdecay.logs.log import Log, read, spans_a_decade

__all__ = ["Log", "LogError", "read", "spans_a_decade"]
