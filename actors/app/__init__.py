"""One application of this process: its names, its sessions, what comes in and what goes out."""
