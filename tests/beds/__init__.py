"""Test beds: servers on loopback that a test owns, in order of how real they are.

    dovecot    a real IMAP server: what servers do
    tap        a recording TCP proxy before it: what a network does, and what the client said
    scripted   an IMAP server of our own: what servers should not do (`misbehave` holds the ready-made ways)
    recorder   an HTTP server that remembers: what reached a channel

Every bed is a context manager, listens on a free loopback port and leaves nothing behind.
"""
