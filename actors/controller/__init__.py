"""The controller: which nodes, routes and channels there are to be, and what is missing for it."""
