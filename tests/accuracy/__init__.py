"""The proof that the client witness tells the truth: real aiperf, a server whose outages are known to the nanosecond."""
