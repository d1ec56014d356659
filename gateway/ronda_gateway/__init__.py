"""The edge gateway: verifies what handhelds signed, stores it, receipts it and feeds the office."""
