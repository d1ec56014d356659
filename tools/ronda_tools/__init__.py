"""The `ronda` command: demo, simulator, technician's, operator's and auditor's tools."""
