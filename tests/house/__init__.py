"""Tests of the house itself: its rooms, their sizes and their doors."""
