"""What can be seen from outside: log, spans, metrics, named counters.

The counters' registry belongs to the actors' floor, whose parts count too; it is handed on from here.
"""

from actors.telemetry import Counts, Registry, Sample, counter

__all__ = ["Counts", "Registry", "Sample", "counter"]
