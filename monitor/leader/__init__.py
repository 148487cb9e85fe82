"""Several replicas of one service: one leads, the others stand by and take over."""
