"""Tests of the policy: how it is compiled, sealed, mapped and taken over."""
