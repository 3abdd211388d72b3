"""Tests of Spangate; the folders mirror the packages."""
