"""The lines that scripts/test counts: "ok name" and "not ok name"."""
import sys
import traceback

_failed = 0


def check(name, good, why=""):
    """Prints one line; the reason follows a failed one, indented."""
    global _failed
    print(("ok " if good else "not ok ") + name, flush=True)
    if not good:
        _failed += 1
        for line in str(why).splitlines():
            print("    " + line, flush=True)
    return good


def run(name, function, *arguments):
    """Runs function(*arguments), which returns a list of complaints (or None); anything raised is one."""
    try:
        complaints = function(*arguments) or []
    except Exception:  # pylint: disable=broad-except  # whatever it is, the test failed
        complaints = [traceback.format_exc()]
    return check(name, not complaints, "\n".join(str(c) for c in complaints[:20]))


def finish():
    sys.exit(1 if _failed else 0)
