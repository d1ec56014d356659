"""Inside the VM: import a test module, run its `test_*` functions, print one line of JSON each.

A module may state `HEAP = "192k"`: read by the host (tests/conftest.py), not here.
"""

import gc
import io
import json
import sys


def run(module_name, only):
    module = __import__(module_name)
    for name in sorted(dir(module)):
        if not name.startswith("test_") or (only and name != only):
            continue
        gc.collect()
        error = ""
        try:
            outcome = getattr(module, name)()
            if hasattr(outcome, "send"):  # a coroutine: give it a loop
                import asyncio

                asyncio.run(outcome)
        except Exception as caught:
            out = io.StringIO()
            sys.print_exception(caught, out)
            error = out.getvalue()
        print("@TEST " + json.dumps({"name": name, "error": error}))


sys.path.pop(0)  # this script's folder: tests/handheld is not the package `handheld`
run(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
