"""A node's side of the control plane (`controller.md` 4, 6.1): names, routes, orders to moderators."""
