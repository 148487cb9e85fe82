"""The parts of the helm chart that are made from the code: schema, rights, dashboards, rules."""
