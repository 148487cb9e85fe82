"""The configuration: what it may say, and what is wrong with a given one, in one clear line each."""
