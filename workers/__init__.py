"""The processes: worker, event intake, dispatchers and the embedded stack."""
