"""Sum up what pytest's -rs says on standard input: how many tests were skipped for each reason."""

import re
import sys
from collections import Counter

SKIPPED = re.compile(r"SKIPPED \[(?P<count>\d+)\] [^ ]+?(?::\d+)?: (?P<reason>.+)")
"""SKIPPED [2] tests/test_x.py:7: the reason"""

reasons: Counter[str] = Counter()
for line in sys.stdin:
    if found := SKIPPED.match(line.rstrip()):
        reasons[found["reason"].removeprefix("Skipped: ")] += int(found["count"])
if reasons:
    sys.stdout.write(f"{reasons.total()} skipped:\n")
for reason, count in reasons.most_common():
    sys.stdout.write(f"{count:>6}  {reason}\n")
