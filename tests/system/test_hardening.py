"""The optimised program as it was built: what the compiler and the linker were asked for is in it."""

import json
import os
import platform
import re
import shutil
import subprocess
import unittest

from harness.process import BUILD_DIR, scaled

BUILD = os.environ.get("FLEETHUB_RELEASE_DIR") or BUILD_DIR
PROGRAM = os.path.join(BUILD, "hub", "fleethub")
LIBRARIES = [os.path.join(BUILD, "hub", "libhubcore.a"), os.path.join(BUILD, "twin", "libtwin.a")]
# Of the hardening guide, what Debian 12's gcc knows.
FLAGS = ("-D_FORTIFY_SOURCE=3", "-fstack-protector-strong", "-fstack-clash-protection",
         "-ftrivial-auto-var-init=zero", "-fno-delete-null-pointer-checks", "-fno-strict-overflow",
         "-fno-strict-aliasing", "-Werror", "-Wconversion", "-Wformat=2", "-Wtrampolines",
         "-Wbidi-chars=any")
# Functions that write to buffers, in the form that knows their size.
FORTIFIED_LEAST = 5


def configured(pattern):
    with open(os.path.join(BUILD, "CMakeCache.txt"), encoding="utf-8") as cache:
        return re.search(pattern, cache.read(), re.M)


@unittest.skipIf(configured(r"^(FLEETHUB_SANITIZE:\w+=.+|CMAKE_BUILD_TYPE:\w+=Debug)$"),
                 "no optimised build: tests/run makes one")
@unittest.skipUnless(shutil.which("readelf"), "readelf is not installed")
class Program(unittest.TestCase):
    def readelf(self, option, *paths):
        done = subprocess.run(["readelf", "-W", option, *paths], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=True, timeout=scaled(60))
        return done.stdout

    def test_addresses_are_random_and_relocations_read_only(self):
        self.assertRegex(self.readelf("-h", PROGRAM), r"Type: +DYN \(Position-Independent Exec")
        segments = self.readelf("-l", PROGRAM)
        self.assertIn("GNU_RELRO", segments)
        self.assertRegex(segments, r"GNU_STACK.* RW +0x")
        self.assertNotRegex(segments, r" RWE ")
        dynamic = self.readelf("-d", PROGRAM)
        self.assertRegex(dynamic, r"FLAGS\).*BIND_NOW")
        self.assertRegex(dynamic, r"FLAGS_1\).*NOW.*PIE")
        self.assertNotRegex(dynamic, r"\((RPATH|RUNPATH|TEXTREL)\)")

    def test_no_library_is_linked_that_is_not_used(self):
        needed = set(re.findall(r"NEEDED.*\[lib([a-z0-9-]+?)(?:-0)?\.so", self.readelf("-d", PROGRAM)))
        self.assertGreaterEqual(needed, {"nats", "pq", "microhttpd", "ssl", "crypto", "c"})
        self.assertLessEqual(needed, {"nats", "pq", "microhttpd", "ssl", "crypto", "c", "m", "z",
                                      "yaml", "jansson"})

    def test_buffers_and_stacks_are_guarded(self):
        symbols = self.readelf("--dyn-syms", PROGRAM)
        self.assertIn("__stack_chk_fail", symbols)
        fortified = set(re.findall(r" __(\w+)_chk@", symbols))
        self.assertGreaterEqual(len(fortified), FORTIFIED_LEAST, fortified)
        self.assertGreaterEqual(fortified, {"snprintf", "vsnprintf"})

    @unittest.skipUnless(platform.machine() == "x86_64", "of x86 alone")
    def test_every_object_allows_control_flow_enforcement(self):
        """The program itself only where libc's start files do, too."""
        for library in LIBRARIES:
            notes = self.readelf("-n", library)
            objects = len(re.findall(r"^File: ", notes, re.M))
            self.assertGreater(objects, 10)
            self.assertEqual(len(re.findall(r"x86 feature: IBT, SHSTK", notes)), objects, library)

    @unittest.skipIf(configured(r"^CMAKE_C_COMPILER:\w+=.*clang"), "clang knows other flags")
    def test_every_file_was_compiled_with_the_flags(self):
        with open(os.path.join(BUILD, "compile_commands.json"), encoding="utf-8") as commands:
            compiled = [entry for entry in json.load(commands)
                        if "/hub/" in entry["file"] or "/twin/" in entry["file"]]
        self.assertGreater(len(compiled), 100)
        for entry in compiled:
            missing = [flag for flag in FLAGS if flag not in entry["command"]]
            self.assertEqual(missing, [], entry["file"])


if __name__ == "__main__":
    unittest.main()
