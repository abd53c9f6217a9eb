"""What things cost here (`callboard bench`)."""
