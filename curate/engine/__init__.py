"""Where work runs: on this machine (`local`), or on the nodes of a cluster (`ray`)."""

LOCAL, RAY = "local", "ray"
ENGINES = (LOCAL, RAY)
