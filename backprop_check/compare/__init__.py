"""What a reply holds, what is expected of it, and where the two differ."""
