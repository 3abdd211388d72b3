"""Tests of load: what is measured, what is foretold, who is well."""
