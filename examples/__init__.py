"""Programs to read and to run, each by its path. A package so that tests can import the actors among them."""
