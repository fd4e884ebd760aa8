"""The lab: what happens after the response, recorded over real sockets.

``python -m demos`` runs every scenario on miniasgi, Starlette and FastAPI, draws both ends of the
wire on one clock, and judges by the order of events. A scenario is one file, ``s01_order.py`` and
on; ``uvicorn demos.s01_order:miniasgi_app`` serves one by hand. How they are run, from the outside
in: ``__main__`` (the command), ``runner``, ``servers`` (processes), ``serve`` (inside one),
``scenario`` (what one is), ``stage`` (what its applications stand on), ``client`` (bare sockets),
``report``.
"""
