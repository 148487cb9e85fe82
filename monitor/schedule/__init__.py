"""When faults run: cron and intervals in their time zones, which fault next, and the scheduler that asks for it."""
