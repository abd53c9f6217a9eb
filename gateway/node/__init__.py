"""A node's life: the data plane, its gateway actor, what programs of ours run on."""
