"""What a request costs: miniasgi beside a bare ASGI function, Starlette, FastAPI and BlackSheep.

Each file answers one question and is run by itself: ``python -m demos.benchmarks.in_process``.
README.md says how each measures and what was seen. Nothing here is a test: a duration is no
verdict on a machine that does other work too (what noise cannot upset is in tests/opcodes.py).
"""
