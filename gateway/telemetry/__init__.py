"""What can be seen from outside: log, spans, metrics, named counters."""
