"""Write the results of benchmarks (benchmarks/results) into the pages that show them: see benchmarks/stored.py.

python scripts/make_pages.py
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import stored  # noqa: E402  # lies beside the benchmarks, which are no package


def main() -> None:
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        old = path.read_text(encoding="utf-8")
        new = stored.with_results(old)
        if new != old:
            path.write_text(new, encoding="utf-8")
            print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
