"""The edge gateway: verifies what handhelds signed, stores, receipts and forwards it."""
