"""Pictures and masks of any origin, and pictures put together: what every user of files has in common."""
