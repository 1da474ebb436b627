"""Counts the tests in ctest's JUnit file one by one: those inside GoogleTest and pytest, those that
end in "N passed, N failed", any other entry as one. An entry that failed counts at least one failure, whatever it printed."""

import re
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter

GTEST = re.compile(r"^\[  (PASSED|FAILED|SKIPPED) +\] (\d+) tests?[.,]", re.MULTILINE)
PYTEST_LINE = re.compile(r"^=* ?(\d+ \w+(?:, \d+ \w+)*) in [\d.]+s.*$", re.MULTILINE)
PLAIN_LINE = re.compile(r"^(\d+) passed, (\d+) failed$", re.MULTILINE)
PYTEST_COUNT = re.compile(r"(\d+) (passed|failed|skipped|error)")


def count(entry):
    output = entry.findtext("system-out") or ""
    not_run = entry.find("skipped")
    if not_run is not None:
        return Counter(skipped=1) if not_run.get("message", "").startswith("SKIP") else Counter(failed=1)
    counts = Counter()
    for word, number in GTEST.findall(output):
        counts[word.lower()] += int(number)
    for line in PYTEST_LINE.findall(output):
        for number, word in PYTEST_COUNT.findall(line):
            counts["failed" if word == "error" else word] += int(number)
    for passed, failed in PLAIN_LINE.findall(output):
        counts.update(passed=int(passed), failed=int(failed))
    if entry.find("failure") is not None:
        counts["failed"] = max(counts["failed"], 1)
    elif not counts:
        counts["passed"] = 1
    return counts


total = sum((count(entry) for entry in ElementTree.parse(sys.argv[1]).iter("testcase")), Counter())
print(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")
