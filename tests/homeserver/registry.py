"""The list of tests."""

TESTS = []


def test(name):
    """Adds a test. Its name begins with the ID of the requirement that it tests."""

    def add(run):
        TESTS.append((name, run))
        return run

    return add
