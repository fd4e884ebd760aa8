"""The lab: the scenarios in a browser. ``make lab``, or ``python -m demos.lab``.

An application of miniasgi that records others. From the bottom up: ``shelf`` keeps recordings,
``child`` makes one in a process of its own, ``runs`` starts children as jobs of our queue,
``pictures`` makes them visible, ``pages`` says what stands on each page, ``guard`` keeps strangers
out, ``application`` puts it all behind addresses, ``__main__`` serves it.
"""
