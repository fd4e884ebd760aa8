"""The lab: the same scenario on miniasgi, Starlette and FastAPI, recorded over real sockets."""
