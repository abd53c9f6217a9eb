"""The controller as a process: its services towards programs (northbound) and nodes (southbound), its
store."""
