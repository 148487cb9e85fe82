"""Our plugins for aiperf: strict endpoints, a journal of requests, a worker that collects its garbage.

Everything here runs inside aiperf's processes; the rest of `probes` never imports it.
"""
