"""The fleet: announcements, views, leaders and their duties, topology."""
