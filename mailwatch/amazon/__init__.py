"""What is known of Amazon: as data in the TOML files here, and the few pure functions that read it.

marketplaces.toml (hosts) · templates.toml (known mail forms) · wishes.toml (how buyers ask), and what reads them:
marketplace · order_id · sender · template · wish · words.
"""
