"""``python -m fuzz MINUTES [READER...]``: fuzz readers one after another and keep what did harm."""

import hashlib
import importlib.util
import sys
import time

from fuzz.guided import guide
from fuzz.readers import READERS
from fuzz.running import CASES, fuzz


def main() -> None:
    minutes, names = float(sys.argv[1]), sys.argv[2:] or list(READERS)
    if unknown := set(names) - set(READERS):
        sys.exit(f"no reader {', '.join(sorted(unknown))}; there are: {', '.join(READERS)}")
    guided = importlib.util.find_spec("atheris") is not None
    share = minutes * 60 / len(names) / (2 if guided else 1)
    seed = int(time.time())
    print(f"seed {seed}, {share:.0f} s a reader{', and as long guided by coverage' if guided else ''}")
    harmful = 0
    for name in names:
        outcome = fuzz(name, seconds=share, seed=seed)
        line = f"{name}: {outcome.tried} inputs, {outcome.right} of them read"
        if guided:
            more = guide(name, seconds=share)
            outcome.findings += more.findings
            line += f"; {more.tried} guided by coverage"
        print(f"{line}; {len(outcome.findings)} did harm", flush=True)
        for data, story in outcome.findings:
            if not data:
                sys.exit(story)  # no input did that
            path = CASES / name / hashlib.sha256(data).hexdigest()[:16]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            print(f"{path}:\n{story}", flush=True)
        harmful += len(outcome.findings)
    sys.exit(1 if harmful else 0)


main()
