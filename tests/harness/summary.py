"""summary.py JUNIT_XML FUZZ_PASSED FUZZ_FAILED: what a run of ctest came to, in single test cases.

ctest knows programs; the cases within are read from what cmocka and unittest print. Shows the output
of what failed, names what was skipped, and ends with "N passed, N failed[, N skipped]"."""

import os
import re
import sys
import xml.etree.ElementTree

OUTPUT_MAX_LINES = 400

CMOCKA_OK = re.compile(r"^\[       OK \] ", re.MULTILINE)
CMOCKA_FAILED = re.compile(r"^\[  FAILED  \] (?!\d+ test\(s\))(\S+)", re.MULTILINE)
CMOCKA_SKIPPED = re.compile(r"^\[  SKIPPED \] (?!\d+ test\(s\))(\S+)", re.MULTILINE)
UNITTEST_RAN = re.compile(r"^Ran (\d+) tests? in ", re.MULTILINE)
UNITTEST_RESULT = re.compile(r"^(?:OK|FAILED)(?: \((.*)\))?$", re.MULTILINE)


def unittest_skips(output):
    """The lines between a test's name and its verdict may hold its docstring and its prints."""
    found = []
    for match in re.finditer(r"\.\.\. skipped (['\"])(.*)\1$", output, re.MULTILINE):
        names = re.findall(r"^(test_\w+|setUpClass)", output[:match.start()], re.MULTILINE)
        found.append((names[-1] if names else "?", match.group(2)))
    return found


def count(output, good):
    """(passed, failed, [(name, why skipped)]) of one program. `good`: its exit status was 0."""
    ran = UNITTEST_RAN.search(output)
    if ran:
        numbers = dict(part.split("=") for part in
                       ((UNITTEST_RESULT.findall(output) or [""])[-1] or "").split(", ") if part)
        skips = unittest_skips(output)
        failed = int(numbers.get("failures", 0)) + int(numbers.get("errors", 0))
        passed = max(0, int(ran.group(1)) - failed - int(numbers.get("skipped", 0)))
    else:
        failed = len(set(CMOCKA_FAILED.findall(output)))
        passed = len(CMOCKA_OK.findall(output))
        skips = [(name, "see its output") for name in sorted(set(CMOCKA_SKIPPED.findall(output)))]
        if good and not passed and not skips:
            passed = 1  # a program that is one test
    if not good and not failed:
        failed = 1  # it crashed, ran out of time, or leaked
    return passed, failed, skips


def main():
    path, passed, failed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    skipped = []
    cases = []
    if os.path.getsize(path):
        cases = xml.etree.ElementTree.parse(path).getroot().iter("testcase")
    for case in cases:
        name, output = case.get("name"), case.findtext("system-out") or ""
        good = case.get("status") == "run"
        one = count(output, good)
        passed, failed = passed + one[0], failed + one[1]
        skipped += [(f"{name} {what}", why) for what, why in one[2]]
        if not good:
            lines = output.splitlines()
            print(f"---- {name} FAILED; its output" +
                  (f" (the last {OUTPUT_MAX_LINES} lines)" if len(lines) > OUTPUT_MAX_LINES else ""))
            print("\n".join(lines[-OUTPUT_MAX_LINES:]))
    for what, why in skipped:
        print(f"skipped: {what}: {why}")
    line = f"{passed} passed, {failed} failed"
    if skipped:
        line += f", {len(skipped)} skipped"
    print(line)
    return 1 if failed else 0


sys.exit(main())
