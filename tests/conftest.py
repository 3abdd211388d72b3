"""What every test may use."""

pytest_plugins = ["tests.parts.fixtures", "tests.coord.cluster"]
