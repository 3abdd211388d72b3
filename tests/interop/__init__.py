"""Programs that nobody here wrote, through the gateway: what arrives is what they sent, byte by byte."""
