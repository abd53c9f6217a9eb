"""What applications and sessions say to one another."""
