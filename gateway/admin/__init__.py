"""What a node shows to those who look after it: figures, health, and the port where they are served."""
