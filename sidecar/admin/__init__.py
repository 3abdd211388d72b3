"""The admin: what a person, a probe or a scraper asks a running gateway, over HTTP."""
