"""Tests of routing: who owns what, by whichever strategy."""
