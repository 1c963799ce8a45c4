"""A test case with a stack of its own, started before and ended after each test."""

import unittest

from .stack import Stack


class StackCase(unittest.TestCase):
    settings = {}
    start_all = True

    def setUp(self):
        self.stack = Stack(settings=self.settings, start=self.start_all)
        self.stack.__enter__()
        self.addCleanup(self._end_stack)

    def _end_stack(self):
        good = self._outcome.success
        self.stack.__exit__(None if good else AssertionError, None, None)

    @property
    def hub(self):
        return self.stack.hub
