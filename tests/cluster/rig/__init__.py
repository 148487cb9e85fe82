"""A real single-node Kubernetes, made of Debian's packages, in namespaces of its own.

The node is a Debian tree of its own with its own mount, pid, network, ipc and cgroup namespaces. Ending its
first process ends everything: no process, mount, link or firewall rule can stay behind, also when the rig
itself is killed. Nothing is installed on the machine. `python -m tests.cluster.rig` says what can be done.
"""
